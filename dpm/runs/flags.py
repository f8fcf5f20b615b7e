"""The flags of train.py as an argument parser, made from the fields of Settings."""

import argparse
from collections.abc import Sequence
from typing import Any

from dpm.base.arguments import parse_switch
from dpm.base.command_line import Parser, argument_type, spellings
from dpm.engines.names import DTYPES, ENGINES
from dpm.runs.settings import OPTIMIZERS, TRAIN_FLAGS

CHOICES = {"backend": ENGINES, "dtype": DTYPES, "optimizer": OPTIMIZERS, "in-memory": ("auto", "yes", "no")}


def build_train_parser(prog: str = "dpm train") -> Parser:
    """Return the parser of train.py; flags that are not given are not set."""
    parser = Parser(
        prog=prog,
        description="Train a diffusion probabilistic model (Sohl-Dickstein et al., ICML 2015).",
        argument_default=argparse.SUPPRESS,
    )
    for flag in TRAIN_FLAGS:
        options: dict[str, Any] = {
            "dest": flag.key,
            "help": flag.help + (f" (default: {flag.default})" if flag.default not in (None, "", {}) else ""),
        }
        if flag.parse is parse_switch:
            options |= {"nargs": "?", "const": True, "metavar": "true|false"}
        elif flag.name in CHOICES:
            options |= {"choices": CHOICES[flag.name]}
        else:
            options |= {"metavar": flag.parse.__name__.upper() if flag.parse in (int, float) else "TEXT"}
        parser.add_argument(*spellings(flag.name), type=argument_type(flag.parse), **options)
    return parser


def parse_flags(words: Sequence[str], prog: str = "dpm train") -> dict[str, Any]:
    """Return the given flags of a command line by the names of Settings; exit with status 2 for one not accepted."""
    return vars(build_train_parser(prog).parse_args(words))
