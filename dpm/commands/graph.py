"""`dpm graph`: draw the graph of a model as one interactive HTML page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpm.base.atomic import html_file
from dpm.base.command_line import Parser, argument_type, run_command
from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.runs.flags import HELP, MODEL_ARGS_HELP, parse_model_args

if TYPE_CHECKING:
    from dpm.reports.graphs.page import Drawing

PROG = "dpm graph"
PAGE = "graph.html"
WHAT = ("K", "gradient", "reverse-step")


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command; options of the model that are not given are None."""
    top = Parser(
        prog=prog,
        description="Draw the symbolic graph of a model as one HTML page that needs nothing else: its nodes in groups "
        "by brick and by equation, as built and as PyTensor rewrites it.",
        examples=[
            ("--what K --html graph.html", "draw the bound K of the released model"),
            ("--what gradient --experiment swissroll", f"write {PAGE}, the gradient of a toy problem's bound"),
            ("DiffusionModel_MNIST-... --what reverse-step", "draw a step of sampling with the model of a run"),
        ],
    )
    add = top.group("the graph").add_argument
    add("--what", choices=WHAT, default="K", help="K: the bound, K - L_null; gradient: of the cost in all parameters; "
        "reverse-step: x_{t-1} from x_t (default: %(default)s)")  # fmt: skip
    add = top.group("the model").add_argument
    add("run", metavar="RUN", nargs="?", help="run folder of train.py, or its checkpoint.h5; default: a new model")
    add("--experiment", metavar="NAME", help=HELP["experiment"])
    add("--model", metavar="NAME", help=HELP["model"])
    add("--model-args", type=argument_type(parse_model_args), metavar="TEXT", help=HELP["model_args"])
    add = top.group("output").add_argument
    add("--html", metavar="FILE.html", default=PAGE, help="the page (default: %(default)s, here)")
    add("--quiet", action="store_true", help="print only errors")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; return the exit status."""
    options = build_parser().parse_args(arguments)
    given = {
        name: getattr(options, name)
        for name in ("experiment", "model", "model_args")
        if getattr(options, name) is not None
    }
    if given.get("model_args") == MODEL_ARGS_HELP:
        from dpm.runs.model_help import print_arguments

        del given["model_args"]
        sys.exit(run_command(PROG, lambda: print_arguments(**given)))

    def action() -> None:
        if options.run is not None and given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(f"{flags}: the run {options.run} has its own model; leave one out")
        path = html_file("--html", options.html)
        with Progress(desc="drawing", quiet=options.quiet):
            drawing = _draw(options, given)
            drawing.save(path)
        if not options.quiet:
            print(_summary(path, drawing))

    return run_command(PROG, action)


def _draw(options: argparse.Namespace, given: dict) -> "Drawing":
    """Return the drawing that the options describe."""
    from dpm.reports.graphs.quantities import build_model, draw_quantity
    from dpm.runs.loading import open_run
    from dpm.runs.settings import Settings

    if options.run is not None:
        run = open_run(options.run)
        n = run.settings.batch_size if run.settings else Settings().batch_size
        return draw_quantity(run.model, options.what, n, Path(options.run).name)
    settings = Settings.from_arguments(**given)
    model = build_model(settings)
    return draw_quantity(model, options.what, settings.batch_size, settings.experiment or type(model).__name__)


def _summary(path: Path, drawing: "Drawing") -> str:
    """Return the line that says what was written."""
    counts = [f"{graph.n_operations} nodes in {len(graph.groups)} groups" for graph in (drawing.before, drawing.after)]
    size = path.stat().st_size / 1e6
    return f"{path} ({size:.1f} MB): {counts[0]}, rewritten {counts[1]}; open it in a browser"
