"""`dpm train`, and train.py: train a model, or resume a run."""

import sys
from collections.abc import Sequence

from dpm.base.command_line import run_command
from dpm.base.progress import Progress
from dpm.runs.flags import build_train_parser as build_parser
from dpm.runs.flags import parse_flags
from dpm.runs.setting_checks import check_numbers

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None, prog: str = "dpm train") -> int:
    """Run the command; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    given = parse_flags(words, prog)

    def action() -> int:
        check_numbers(given)
        with Progress(desc="loading the program", quiet=given.get("quiet", False)):
            from dpm.training.run import run_training

        return run_training(given, [*prog.split(), *words])

    return run_command(prog, action)
