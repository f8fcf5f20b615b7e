"""The HTML page: its template filled with everything about the runs."""

import json
import platform
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import unescape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import dpm
from dpm.base.atomic import atomic_write, html_file
from dpm.base.errors import InputError
from dpm.base.wording import plural
from dpm.reports.html import charts
from dpm.reports.html.facts import collect_facts
from dpm.reports.html.paper import compare_with_paper
from dpm.reports.html.players import Player, compute_stamp, load_players, render_player
from dpm.reports.html.runs import RunFiles, group_by_unit, read_runs

if TYPE_CHECKING:
    from dpm.reports.html.model import Divergences

HEAD = 10_000  # characters, which hold the title of a page

Evaluations = dict[int, tuple["Divergences", list[Player]]]  # by the position of the run on the page


def write_page(
    folders: Sequence[str],
    output: str,
    *,
    evaluate: bool = True,
    engine: str = "auto",
    data_path: str | None = None,
    quiet: bool = False,
    replace: bool = True,
) -> int:
    """Write the page of some run folders.

    Args:
        folders: run folders.
        output: path of the page, which ends in .html.
        evaluate: evaluate the models of the newest checkpoints; otherwise show only what the folders hold.
        engine: engine that evaluates them.
        data_path: folder(s) or file with the test data; default: as in training.
        quiet: print only errors.
        replace: write also over the page of runs that are not among these.

    Returns:
        0, or 1 if a model could not be evaluated; then the page and a warning say why.

    Raises:
        InputError: the page cannot be written or must not be replaced, or a folder is not a run folder.
    """
    path = html_file("--output", output)
    runs = read_runs(folders)
    if not replace:
        check_replaced(path, [run.name for run in runs])
    evaluations: Evaluations = {}
    notes: list[str] = []
    if evaluate:
        evaluations, notes = evaluate_models(runs, engine, data_path, quiet)
    text = render_page(runs, evaluations, notes)
    with atomic_write(path) as temporary:
        temporary.write_text(text, "utf-8", "backslashreplace")  # a path may have bytes that are no text
    if not quiet:
        print(f"{len(runs)} {plural(len(runs), 'run')}: {path} ({len(text) / 1e6:.1f} MB); open it in a browser")
    return 1 if notes else 0


def check_replaced(path: Path, names: Sequence[str]) -> None:
    """Raise InputError if there is a page of a run that is not one of these names: its title lists its runs."""
    try:
        with path.open(errors="replace") as file:
            title = re.search("<title>(.*?)</title>", file.read(HEAD), re.DOTALL)
    except OSError:
        return
    shown = unescape(title[1]) if title else ""
    others = [] if shown in ("", ", ".join(names)) else [name for name in shown.split(", ") if name not in names]
    if others:
        raise InputError(
            f"{path}: is the page of another run, {others[0]}; give --output another name, or the same to replace it"
        )


def evaluate_models(
    runs: Sequence[RunFiles], engine: str, data_path: str | None, quiet: bool
) -> tuple[Evaluations, list[str]]:
    """Evaluate the newest checkpoint of each run; a failure becomes a note and a warning."""
    from dpm.reports.html.model import evaluate_run  # imports the compilers

    evaluations, notes = {}, []
    for number, run in enumerate(runs):
        try:
            evaluations[number] = evaluate_run(run, engine, data_path, quiet)
        except InputError as error:
            notes.append(f"{run.name}: the model was not evaluated: {' '.join(str(error).split())}")
            print(f"warning: {notes[-1]}", file=sys.stderr)
    return evaluations, notes


def render_page(
    runs: Sequence[RunFiles], evaluations: Evaluations, notes: Sequence[str] = (), live: bool = False
) -> str:
    """Return the page as HTML.

    Args:
        runs: the runs, in the order of their colors.
        evaluations: results of their models, by position.
        notes: warnings for the head of the page.
        live: let the page poll for new curves and images.
    """
    stamps = [compute_stamp(run.folder) for run in runs if live]  # taken before reading, so that no change is missed
    curves, divergences = make_charts(runs, evaluations)
    players = render_players(runs, evaluations)
    return make_environment().get_template("page.html").render(
        runs=runs,
        colors=charts.COLORS,
        facts=collect_facts(runs),
        configs=[json.dumps(run.config, indent=2) for run in runs],
        table=compare_with_paper(runs),
        curves=[title for title, _ in curves],
        divergences=[title for title, _ in divergences],
        evaluated=[(runs[number], terms) for number, (terms, _) in evaluations.items()],
        players=players,
        notes=notes,
        live=live,
        data={
            "charts": [item for _, item in curves + divergences],
            "players": [player for of_run in players for player in of_run],
            "live": live,
            "stamps": stamps,
        },
        nonce=secrets.token_urlsafe(16),
        style=_read_part("style.css"),
        script=_read_part("report.js"),
        library=Markup("\n".join(Resources("inline", components=["bokeh"]).js_raw)),
        created=f"{datetime.now():%Y-%m-%d %H:%M} with dpm {dpm.__version__}, Bokeh {version('bokeh')}, "
        f"Python {platform.python_version()}",
    )  # fmt: skip


def make_environment() -> Environment:
    """Return the Jinja environment of the template, which escapes everything that comes from a run."""
    environment = Environment(
        loader=PackageLoader("dpm.reports.html"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    # Keep the order of keys: in Bokeh's JSON a model must come before the references to it.
    environment.policies["json.dumps_kwargs"] = {}
    return environment


def render_players(runs: Sequence[RunFiles], evaluations: Mapping[int, tuple]) -> list[list[dict]]:
    """Return the rendered players of each run: of its evaluated model, or of the arrays that training saved."""
    rendered = []
    for number, run in enumerate(runs):
        players = evaluations[number][1] if number in evaluations else load_players(run.folder)
        rendered.append([render_player(player, run.name) for player in players])
    return rendered


def make_charts(runs: Sequence[RunFiles], evaluations: Evaluations) -> tuple[list[charts.Chart], list[charts.Chart]]:
    """Return the charts of the bound and of KL_t; each has the runs of one unit."""
    curves, divergences = [], []
    for numbers in group_by_unit(runs):
        curves.append(charts.make_bound_chart([runs[number] for number in numbers], numbers))
        numbers = [number for number in numbers if number in evaluations]
        if numbers:
            terms = [evaluations[number][0] for number in numbers]
            divergences.append(charts.make_divergence_chart(terms, [runs[number] for number in numbers], numbers))
    return curves, divergences


def _read_part(name: str) -> Markup:
    """Read a template file unescaped: it is part of the package and holds nothing from a run."""
    return Markup(files("dpm.reports.html").joinpath("templates", name).read_text())
