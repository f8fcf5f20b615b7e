"""`dpm parzen`: compute the Parzen-window log likelihood of samples (Table 2)."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpm.base.atomic import writable_folder, write_json
from dpm.base.command_line import Parser, run_command
from dpm.base.errors import InputError
from dpm.base.pieces import Mapper
from dpm.base.progress import Progress
from dpm.base.wording import count, plural
from dpm.cluster.mapper import open_mapper
from dpm.commands.options import add_cluster_option, add_device_options
from dpm.engines.names import ENGINES

if TYPE_CHECKING:
    import numpy as np

    from dpm.engines.engine import Engine
    from dpm.likelihood.parzen_window import ParzenResult
    from dpm.runs.data import RunData

    Found = tuple[np.ndarray, RunData, int | None, object, Engine | None]

PROG = "dpm parzen"
# The protocol of Goodfellow et al. (2014): their number of samples, and the first 1,000 of the validation part for the
# choice of sigma.
N_SAMPLES = 10_000
VALIDATION_EXAMPLES = 1000
SEED = 12345  # as in sample.py
LARGEST_SIGMA = 1e100


@dataclass(frozen=True)
class Options:
    """The values of all options."""

    source: str
    dataset: str | None
    data_path: str | None
    n_samples: int | None
    sigmas: list[float] | None
    clip: bool
    seed: int | None
    backend: str | None
    noise: str | None
    precision: str | None
    cluster: str | None
    output_dir: str
    quiet: bool


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command."""
    top = Parser(
        prog=prog,
        description=str(__doc__).partition(": ")[2],
        examples=[
            ("DiffusionModel_MNIST-...", f"draw {N_SAMPLES:,} samples of a run, and compare them with its test data"),
            ("parzen_samples.npz --dataset MNIST --clip", "the same of samples that are drawn already"),
        ],
    )
    top.add_argument(
        "source",
        metavar="RUN|SAMPLES",
        help="run folder, or its checkpoint.h5, from which samples are drawn; or samples in data units: FILE.npz (its "
        "array X) or FILE.hdf5[:SPLIT[:A-B]], A to B - 1 of a split",
    )
    add = top.group("data").add_argument
    add(
        "--dataset",
        metavar="NAME",
        help="SAMPLES: the data to compare with, as in train.py --dataset (default: MNIST)",
    )
    add("--data-path", metavar="PATH", help="folder(s) or file to search for the data")
    add = top.group("samples").add_argument
    add(
        "--n-samples",
        type=int,
        metavar="N",
        help=f"RUN: how many samples to draw (default: {N_SAMPLES:,}); SAMPLES: how many to take (default: all)",
    )
    add("--seed", type=int, help=f"RUN: seed of the noise, as in sample.py (default: {SEED})")
    add("--clip", action="store_true", help="samples of pixels: clip to 0..1 (default: as drawn)")
    top.group("estimate").add_argument(
        "--sigmas",
        type=float,
        nargs="+",
        metavar="SIGMA",
        help="widths to choose from, in data units (default: 10 from 0.1 to 1, evenly spaced in their logarithm)",
    )
    top.group("speed").add_argument("--backend", choices=ENGINES, help="RUN: engine (default: auto)")
    add_device_options(top)
    add_cluster_option(top)
    add = top.group("output").add_argument
    add(
        "--output-dir",
        default=".",
        help="existing folder for parzen.json and, from a run, parzen_samples.npz (default: here)",
    )
    add("--quiet", action="store_true", help="print only the last line")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = Options(**vars(build_parser().parse_args(arguments)))
    return run_command(PROG, lambda: run_parzen(options))


def run_parzen(options: Options) -> int:
    """Check the options, and estimate with the cluster that they name."""
    from dpm.runs.folder import find_checkpoint

    from_run = find_checkpoint(options.source).suffix == ".h5"
    folder = writable_folder("--output-dir", options.output_dir)
    check_options(options, from_run)
    with open_mapper(options.cluster, options.quiet) as mapper:
        return estimate_window(options, from_run, folder, mapper)


def estimate_window(options: Options, from_run: bool, folder: Path, mapper: Mapper) -> int:
    """Draw or read samples, print their log likelihood and write parzen.json."""
    import numpy as np

    from dpm.likelihood.parzen_window import SIGMAS, parzen

    sigmas = [float(sigma) for sigma in sorted(set(options.sigmas or SIGMAS))]
    found = draw_samples(options, folder, mapper) if from_run else read_samples(options)
    samples, data, crop, place, engine = found
    check_finite(samples, options.source)
    if options.clip:
        samples = samples.clip(0, 1)
    valid, test = split_validation(data, crop)
    say = (lambda text: None) if options.quiet else print
    held = f"{len(valid):,} validation {plural(len(valid), 'example')}"
    say(f"data     {data.name} from {data.path}: {held} of the training split")
    span = f"in [{test.min():g}, {test.max():g}]"
    say(f"         {count(len(test), 'test example')}, {count(test.shape[1], 'number')} each, {span}")
    say(f"samples  {len(samples):,}, {'clipped to 0..1' if options.clip else 'not clipped'}: {place}")
    with Progress(total=len(valid) + len(test), unit="example", quiet=options.quiet, desc="densities") as bar:
        result = parzen(flatten(samples), valid, test, sigmas, bar.update, mapper)
    at_edge = len(sigmas) > 1 and result.sigma in (sigmas[0], sigmas[-1])
    say(f"sigma    {result.sigma:.4g}, of {len(sigmas)} from {sigmas[0]:.4g} to {sigmas[-1]:.4g}")
    if at_edge:
        side = "smaller" if result.sigma == sigmas[0] else "larger"
        print(
            f"{PROG}: warning: sigma {result.sigma:.4g} is at the edge of the grid; give {side} --sigmas too",
            file=sys.stderr,
        )
    facts = {
        "samples": {"n": len(samples), "place": str(place), "clipped": options.clip, "source": options.source},
        "data": {"name": data.name, "path": data.path, "hash": data.hash}
        | {"n_valid": len(valid), "n_test": len(test), "dimension": test.shape[1]},
        "seed": seed_of(options) if from_run else None,
        "noise": engine.noise if engine else None,
        "precision": engine.precision if engine else None,
    }
    has_error = bool(np.isfinite(result.standard_error))
    write_json(folder / "parzen.json", describe_window(result, sigmas, at_edge, has_error) | facts)
    error = f"+- {result.standard_error:.2f}" if has_error else "(one example, so no error)"
    print(f"Parzen log likelihood {result.value:.2f} {error} nats per example, sigma {result.sigma:.4g}")
    return 0


def describe_window(result: "ParzenResult", sigmas: list[float], at_edge: bool, has_error: bool) -> dict[str, Any]:
    """Return the figures of parzen.json."""
    return {
        "value": result.value,
        "standard_error": result.standard_error if has_error else None,
        "unit": "nats per example, density in data units",
        "sigma": result.sigma,
        "sigma_at_edge": at_edge,
        "sigmas": sigmas,
        "validation": result.validation.tolist(),
    }


def check_finite(samples: "np.ndarray", source: str) -> None:
    """Raise InputError for samples that are not finite."""
    import numpy as np

    if wrong := int((~np.isfinite(flatten(samples)).all(axis=1)).sum()):
        raise InputError(
            f"{source}: {wrong:,} of {count(len(samples), 'sample')} are not finite; train the model further, or "
            "train it again with a smaller --lr"
        )


def seed_of(options: Options) -> int:
    """Return the seed of the samples."""
    return SEED if options.seed is None else options.seed


def check_options(options: Options, from_run: bool) -> None:
    """Raise InputError for a value that is not accepted and for an option that would be ignored."""
    for name in ("dataset",) if from_run else ("seed", "backend", "noise", "precision"):
        if getattr(options, name) is not None:
            kind = "a checkpoint, which names its data" if from_run else "samples that are drawn already"
            raise InputError(f"--{name}: is not used with {kind}; leave it out")
    if not from_run and not {".npz", ".hdf5"} & {Path(part).suffix for part in options.source.split(":")}:
        raise InputError(
            f"{options.source}: accepted are a run folder, checkpoint.h5, FILE.npz and FILE.hdf5[:SPLIT[:A-B]]; for a "
            "model.pkl draw with sample.py and give its samples.npz"
        )
    if options.n_samples is not None and options.n_samples < 1:
        raise InputError(f"--n-samples: {options.n_samples} is not accepted; take 1 or more")
    if options.seed is not None and options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    for sigma in options.sigmas or ():
        if not 1 / LARGEST_SIGMA <= sigma <= LARGEST_SIGMA:
            raise InputError(f"--sigmas: {sigma} is not accepted; take numbers above 0, such as 0.1 0.2 0.5")


def check_clip(options: Options, data: "RunData") -> None:
    """Raise InputError for --clip with continuous data."""
    if options.clip and not data.quantized:
        raise InputError(f"--clip: is for pixels; {data.name} is continuous, leave it out")


def draw_samples(options: Options, folder: Path, mapper: Mapper) -> "Found":
    """Draw samples from a checkpoint; return them in data units, the data, the crop size, their file and the engine."""
    from dpm.runs.loading import open_run
    from dpm.runs.sample_files import draw_or_resume

    precision = options.precision or "float32"
    run = open_run(
        options.source, options.backend or "auto", quiet=options.quiet, noise=options.noise, precision=precision
    )
    if run.model.kernel.binary:
        raise InputError(f"{options.source}: a model of bits, which have no density; K bounds their log likelihood")
    data = run.load_data(options.data_path)
    check_clip(options, data)  # drawing takes long
    n = options.n_samples or N_SAMPLES
    with run.compiled.mapped_by(mapper):
        samples, place = draw_or_resume(run, n, seed_of(options), folder, options.quiet)
    return samples, data, run.settings.crop if run.settings else None, place, run.engine


def read_samples(options: Options) -> "Found":
    """Read samples from a file; return the same as draw_samples."""
    from dpm.runs.data import load_data
    from dpm.runs.settings import Settings
    from dpm.runs.user_images import read_images

    given = {"dataset": options.dataset, "data_path": options.data_path, "quiet": options.quiet or None}
    data = load_data(Settings.from_arguments(**{key: value for key, value in given.items() if value is not None}))
    check_clip(options, data)
    samples = read_images(options.source, data.example_shape, data.quantized, "samples")
    if len(samples) < (options.n_samples or 1):
        raise InputError(f"--n-samples: {options.source} holds {len(samples)}; take at most that, or leave it out")
    return samples[: options.n_samples], data, None, options.source, None


def split_validation(data: "RunData", crop: int | None) -> "tuple[np.ndarray, np.ndarray]":
    """Return validation examples of the training split and the test examples, in data units: (v, D), (n, D)."""
    import numpy as np

    from dpm.runs.data import cut_pieces, validation_start

    start = validation_start(len(data.train))
    valid = cut_pieces(data.train[start : start + VALIDATION_EXAMPLES], crop)

    def unscale(scaled: np.ndarray) -> np.ndarray:
        values = data.scaling.inverse(scaled.astype(np.float64))
        return flatten(np.rint(255 * values) / 255 + 0.0 if data.quantized else values)

    return unscale(valid), unscale(data.test)


def flatten(examples: "np.ndarray") -> "np.ndarray":
    """Return examples as vectors, (n, D)."""
    return examples.reshape(len(examples), -1)
