"""Options that several commands share, and the run that they name."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpm.base.arguments import parse_literals
from dpm.base.command_line import Parser, argument_type
from dpm.base.progress import Progress
from dpm.engines.names import ENGINES, NOISE_SOURCES, PRECISIONS

if TYPE_CHECKING:
    import numpy as np

    from dpm.runs.loading import Run


@dataclass(frozen=True)
class ModelOptions:
    """The values of the options of every command that takes a checkpoint of ours or a model.pkl of 2015."""

    checkpoint: str
    backend: str
    threads: int | None
    noise: str | None
    precision: str | None
    cluster: str | None
    model_args: dict[str, Any]
    scale: float | None
    shift: float | None
    quiet: bool


def add_model_options(parser: Parser) -> None:
    """Add the options of every command that takes a checkpoint of ours or a model.pkl of 2015."""
    add = parser.group("speed").add_argument
    add("--backend", choices=ENGINES, default="auto", help="engine (default: %(default)s)")
    add("--threads", type=int, metavar="N", help="microbatches computed in parallel (default: number of processors)")
    add_device_options(parser)
    add_cluster_option(parser)
    add = parser.group("a model.pkl of 2015").add_argument
    add(
        "--model-args",
        type=argument_type(parse_model_args),
        metavar="TEXT",
        default={},
        help='arguments of DiffusionModel that the arrays do not determine, as "n_scales=3"; help: list them',
    )
    add("--scale", type=float, help="the model's units are scale * x + shift (default: 1)")
    add("--shift", type=float, help="see --scale (default: 0)")
    parser.group("output").add_argument("--quiet", action="store_true", help="print only errors")


def add_device_options(parser: Parser) -> None:
    """Add the options of an accelerator: where random numbers are drawn, and the precision of products."""
    add = parser.group("speed").add_argument
    add(
        "--noise",
        choices=NOISE_SOURCES,
        help="where random numbers are drawn; the host draws the same numbers for every engine (default: device on "
        "an accelerator, host on a CPU)",
    )
    add("--precision", choices=PRECISIONS, help="of products of float32 numbers on a GPU (default: float32)")


def add_cluster_option(parser: Parser) -> None:
    """Add the option that names a Dask cluster."""
    parser.group("speed").add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="compute on the workers of a Dask cluster, with the same bits: local[:N] starts N on this machine; "
        "tcp://HOST:PORT, tls://HOST:PORT or scheduler.json joins one (docs/scaling.md)",
    )


def parse_model_args(text: str) -> dict[str, Any]:
    """Return the arguments of a text; for "help" print a list of them, and exit with status 0."""
    if text != "help":
        return parse_literals(text)
    from dpm.runs.model_help import print_arguments

    print_arguments(faithful=True)
    sys.exit(0)


def open_run_of(options: ModelOptions, size: int | None = None) -> "Run":
    """Open the run that the options name."""
    with Progress(desc=f"opening {options.checkpoint}", quiet=options.quiet):
        from dpm.runs.loading import open_run

        return open_run(
            options.checkpoint,
            options.backend,
            options.threads,
            size=size,
            quiet=options.quiet,
            model_args=options.model_args,
            scale=options.scale,
            shift=options.shift,
            noise=options.noise,
            precision=options.precision or "float32",
        )


def read_input_of(run: "Run", name: str, quiet: bool) -> "np.ndarray":
    """Return the images of --input, as read_images does; those for a model of crops are cut as in training."""
    from dpm.runs.user_images import read_images

    crop, report = run.settings.crop if run.settings else None, None if quiet else print
    return read_images(name, run.model.example_shape, run.quantized, crop=crop, report=report)
