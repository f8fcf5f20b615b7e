"""`dpm train`, and train.py: train a model, or resume a run."""

import argparse

from dpm.base.arguments import parse_switch
from dpm.base.command_line import Parser, argument_type, run_command, spellings
from dpm.engines.names import DTYPES, ENGINES
from dpm.runs.flags import OPTIMIZERS, TRAIN_FLAGS, check_numbers

CHOICES = {"backend": ENGINES, "dtype": DTYPES, "optimizer": OPTIMIZERS, "in-memory": ("auto", "yes", "no")}


def build_parser(prog="dpm train"):
    """The options of train.py; absent ones are not set."""
    parser = Parser(
        prog=prog,
        description="Train a diffusion probabilistic model (Sohl-Dickstein et al., ICML 2015).",
        argument_default=argparse.SUPPRESS,
    )
    for flag in TRAIN_FLAGS:
        options: dict = {"dest": flag.key, "help": f"{flag.help} (default: {flag.default})"}
        if flag.kind is parse_switch:
            options |= {"nargs": "?", "const": True, "metavar": "true|false"}
        elif flag.name in CHOICES:
            options |= {"choices": CHOICES[flag.name]}
        else:
            options |= {"metavar": flag.kind.__name__.upper() if flag.kind in (int, float) else "TEXT"}
        parser.add_argument(*spellings(flag.name), type=argument_type(flag.kind), **options)
    return parser


def main(arguments=None, prog="dpm train"):
    """Run the command; return the exit status."""
    given = vars(build_parser(prog).parse_args(arguments))

    def action():
        check_numbers(given)
        from dpm.training.run import train

        return train(given)

    return run_command(prog, action)
