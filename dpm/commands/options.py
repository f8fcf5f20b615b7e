"""Options that several commands share."""

from dpm.base.arguments import parse_literals
from dpm.base.command_line import argument_type
from dpm.engines.names import ENGINES


def add_model_options(parser):
    """Those of every command that takes a checkpoint of ours or a model.pkl of 2015."""
    add = parser.add_argument
    add("--backend", choices=ENGINES, default="auto", help="engine (default: %(default)s)")
    add("--threads", type=int, metavar="N", help="parts of a batch computed at the same time (default: as many as the "
        "machine has processors)")  # fmt: skip
    add("--model-args", "--model_args", type=argument_type(parse_literals), default={},
        help="model.pkl only: arguments of DiffusionModel where its arrays do not tell them")  # fmt: skip
    add("--scale", type=float, help="model.pkl only: the model's units are scale * x + shift (default: 1)")
    add("--shift", type=float, help="model.pkl only (default: 0)")
    add("--quiet", action="store_true", help="print nothing but errors")
