"""The page: everything about the runs put into its template."""

import json
import os
import platform
import secrets
import sys
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import dpm
from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError
from dpm.reports.html import charts, paper
from dpm.reports.html.facts import facts
from dpm.reports.html.players import saved_players, shown, stamp
from dpm.reports.html.runs import read_runs


def write(options, default):
    """Write the page of the options; returns 0, or 1 where a model could not be evaluated, which is told."""
    output = checked_output(options.output or default)
    runs = read_runs(options.runs)
    found, notes = {}, []
    if not options.no_model:
        found, notes = evaluate(runs, options)
    text = page(runs, found, notes)
    with atomic_write(output) as temporary:
        temporary.write_text(text)
    if not options.quiet:
        print(f"{len(runs)} run{'s' * (len(runs) > 1)}: {output} ({len(text) / 1e6:.1f} MB); open it in a browser")
    return 1 if notes else 0


def checked_output(name):
    """The path of the page. Raises InputError where it cannot be written."""
    path = Path(name)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output: {path} is not accepted; take a name that ends in .html")
    if path.is_dir():
        raise InputError(f"--output: {path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"--output: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"--output: {path.parent} cannot be written; give another folder")
    return path


def evaluate(runs, options):
    """({number of a run: (Divergences, players)}, what is said of those whose model could not be evaluated)."""
    from dpm.reports.html.model import evaluate_run  # it imports the compilers

    found, notes = {}, []
    for number, run in enumerate(runs):
        try:
            found[number] = evaluate_run(run, options.backend or "auto", options.data_path, options.quiet)
        except InputError as error:
            notes.append(f"{run.name}: the model was not evaluated: {' '.join(str(error).split())}")
            print(f"warning: {notes[-1]}", file=sys.stderr)
    return found, notes


def page(runs, found, notes, live=False):
    """The page as text. found, notes: as evaluate gives them; live: whether its curves ask for what is new."""
    environment = Environment(
        loader=PackageLoader("dpm.reports.html"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {}  # unsorted: in Bokeh's JSON a model comes before its references
    stamps = [stamp(run.folder) for run in runs if live]  # before they are read: what comes later is new
    curves, divergences = chart_data(runs, found)
    players = [found[n][1] if n in found else saved_players(run.folder) for n, run in enumerate(runs)]
    players = [[shown(player, run.name) for player in of] for of, run in zip(players, runs, strict=True)]
    library = Resources("inline", components=["bokeh"]).js_raw
    return environment.get_template("page.html").render(
        runs=runs,
        colors=charts.COLOURS,
        facts=facts(runs),
        configs=[json.dumps(run.config, indent=2) for run in runs],
        table=paper.compared(runs),
        curves=[title for title, _ in curves],
        divergences=[title for title, _ in divergences],
        measured=[(runs[number], values) for number, (values, _) in found.items()],
        players=players,
        notes=notes,
        live=live,
        data={
            "charts": [item for _, item in curves + divergences],
            "players": [p for of in players for p in of],
            "live": live,
            "pictures": stamps,
        },
        nonce=secrets.token_urlsafe(16),
        style=_part("style.css"),
        script=_part("report.js"),
        library=Markup("\n".join(library)),
        made=f"{datetime.now():%Y-%m-%d %H:%M} by dpm {dpm.__version__}, Bokeh {version('bokeh')}, "
        f"Python {platform.python_version()}",
    )


def chart_data(runs, found):
    """(curves, divergences), each a list of (title, JSON): charts with the runs of one unit each."""
    curves, divergences = [], []
    for unit in dict.fromkeys(run.unit for run in runs):
        numbers = [number for number, run in enumerate(runs) if run.unit == unit]
        curves.append(charts.curves([runs[number] for number in numbers], numbers))
        numbers = [number for number in numbers if number in found]
        if numbers:
            of = [runs[number] for number in numbers]
            divergences.append(charts.divergence_chart([found[number][0] for number in numbers], of, numbers))
    return curves, divergences


def _part(name):
    """A file of the templates as it is: it is ours, and holds nothing of a run."""
    return Markup(files("dpm.reports.html").joinpath("templates", name).read_text())
