"""`python -m dpm COMMAND ...`, and the console command `dpm`."""

import importlib
import sys

import dpm
from dpm.base.command_line import error_line

COMMANDS = {
    "train": "train a model, or resume a run",
    "sample": "draw samples; in-paint, denoise, or multiply by any r(x)",
    "evaluate": "compute the bound K of a trained model, or log p(x) of single examples",
    "parzen": "compute the Parzen-window log likelihood of samples (Table 2)",
    "baselines": "fit simple density models to the same data",
    "compare": "compare with arrays exported from a 2015 installation",
    "checkpoint": "verify, show, compare and export checkpoints",
    "datasets": "list, fetch, convert, make and export data sets",
    "report": "show runs as one HTML page",
    "graph": "draw the graph of a model as one HTML page",
    "reproduce": "reproduce the paper's tables and figures",
}


def usage() -> str:
    """Return the list of commands that `dpm --help` prints."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name.ljust(width)}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: dpm COMMAND [OPTIONS]",
            "",
            "Train, sample and evaluate diffusion probabilistic models (Sohl-Dickstein et al., ICML 2015).",
            "",
            *lines,
            "",
            "dpm COMMAND --help lists the options of a command; dpm --version prints the version.",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"dpm {dpm.__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        print(error_line("dpm", f"unknown command {name!r}; expected one of {', '.join(COMMANDS)}"), file=sys.stderr)
        return 2
    return importlib.import_module(f"dpm.commands.{name}").main(rest)


if __name__ == "__main__":
    sys.exit(main())
