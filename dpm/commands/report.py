"""`dpm report`: show runs as one HTML page, written once or served with live curves."""

import argparse
import importlib.util
import os
from collections.abc import Sequence

from dpm.base.command_line import Parser, run_command
from dpm.base.errors import InputError
from dpm.engines.names import ENGINES

PROG = "dpm report"
OUTPUT, PORT = "report.html", 8765


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command; options without a value are None or False."""
    top = Parser(
        prog=prog,
        description="Show runs of train.py as one HTML page that needs nothing else.",
        examples=[
            ("DiffusionModel_MNIST-...", f"write {OUTPUT}, with samples and the terms of K of the trained model"),
            ("DiffusionModel_MNIST-... --watch", f"serve live curves of a run on http://127.0.0.1:{PORT}/"),
        ],
    )
    top.add_argument(
        "runs", metavar="RUN", nargs="+", help="run folder of train.py, also one still running, or its checkpoint.h5; "
        "at most 8",
    )  # fmt: skip
    add = top.group("the model").add_argument
    add("--no-model", action="store_true", help="show only the files of the folders: compile nothing, no KL_t")
    add("--backend", choices=ENGINES, help="engine that evaluates the models (default: auto)")
    add("--data-path", metavar="PATH", help="folder(s) or file to look for the test data in (default: as in training)")
    add = top.group("while a run trains").add_argument
    add("--watch", action="store_true", help="serve the page on this machine with live curves until "
        "Ctrl-C; models are not evaluated")  # fmt: skip
    add("--port", type=int, help=f"port on 127.0.0.1; 0 for any free port (default: {PORT})")
    add = top.group("output").add_argument
    add("--output", metavar="FILE.html", help=f"the page (default: {OUTPUT}, here)")
    add("--quiet", action="store_true", help="print only errors")
    return top


def check_options(options: argparse.Namespace) -> None:
    """Raise InputError for contradictory or unused options and for missing packages."""
    if options.watch:
        for name in ("output", "backend", "data_path"):
            if getattr(options, name) is not None:
                raise InputError(f"--{name.replace('_', '-')} is not used by --watch; leave one out")
    elif options.port is not None:
        raise InputError(f"--port {options.port} is for --watch; add that, or leave it out")
    if options.port is not None and not 0 <= options.port < 2**16:
        raise InputError(f"--port: {options.port} is not accepted; take 0 to 65535")
    for name in ("backend", "data_path"):
        if options.no_model and getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is not used with --no-model; leave one out")
    for package in ("jinja2", "bokeh"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"the package {package} is not installed; pip install '.[report]'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or serve the page; return the exit status."""
    options = build_parser().parse_args(arguments)

    def action() -> int | None:
        check_options(options)
        runs = [os.path.dirname(run) or "." if run.endswith(".h5") else run for run in options.runs]
        if options.watch:
            from dpm.reports.html.live import watch

            return watch(runs, PORT if options.port is None else options.port, options.quiet)
        from dpm.reports.html.page import write_page

        return write_page(
            runs,
            options.output or OUTPUT,
            evaluate=not options.no_model,
            engine=options.backend or "auto",
            data_path=options.data_path,
            quiet=options.quiet,
            replace=options.output is not None,
        )

    return run_command(PROG, action)
