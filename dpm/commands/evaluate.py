"""`dpm evaluate`: K of a trained model term by term (Eq. 14), or log p(x) of single examples (Eq. 9)."""

import csv
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dpm.base.command_line import Parser, argument_type, print_table, run_command
from dpm.base.errors import InputError
from dpm.base.wording import plural
from dpm.cluster.mapper import mapped
from dpm.commands.options import ModelOptions, add_model_options, open_run_of, read_input_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from dpm.runs.evaluation import Evaluation
    from dpm.runs.loading import Run

PROG = "dpm evaluate"
ESTIMATORS = ("exact", "reference-2015")
DRAWS, SINGLE_EXAMPLES = 10_000, 10  # as in dpm/runs/evaluation.py
LARGEST_BATCH = 200
LEVEL_TOLERANCE = 1e-3  # as in dpm/datasets/scaling.py
STEMS = {"exact": "evaluation", "reference-2015": "evaluation_2015", "trajectories": "log_likelihood"}


@dataclass(frozen=True)
class Options(ModelOptions):
    """The values of all options."""

    input: str | None
    split: str | None
    data_path: str | None
    n_examples: int | None
    t_per_example: int | str | None
    estimator: str | None
    draws: int | None
    trajectories: int | None
    batch_size: int | None
    seed: int | None
    output_dir: str


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command."""
    top = Parser(
        prog=prog,
        description=str(__doc__).partition(": ")[2],
        examples=[
            ("DiffusionModel_MNIST-... --t-per-example 20", "K of the test data from 20 times of each example"),
            ("DiffusionModel_MNIST-... --input other.hdf5:test:0-100", "K of the first 100 test examples of a file"),
        ],
    )
    top.add_argument("checkpoint", metavar="RUN", help="run folder, its checkpoint.h5, or a model.pkl of 2015 with "
        "--input")  # fmt: skip
    _add_example_options(top)
    _add_estimate_options(top)
    top.group("output").add_argument(
        "--output-dir", default=".", help="existing folder for evaluation.* (default: here)"
    )
    add_model_options(top)
    return top


def _add_example_options(parser: Parser) -> None:
    """Add the options that choose the examples."""
    add = parser.group("examples to evaluate").add_argument
    add(
        "--input",
        metavar="FILE",
        help="other examples than the run's: .npz, .png, or FILE.hdf5[:SPLIT[:A-B]], A to B - 1 of a split",
    )
    add("--split", choices=("test", "train"), help="which examples of the run (default: test)")
    add("--data-path", metavar="PATH", help="folder(s) or file where the run's data are now")
    add(
        "--n-examples",
        type=int,
        metavar="N",
        help=f"the first N examples (default: all; {SINGLE_EXAMPLES} with --trajectories)",
    )


def _add_estimate_options(parser: Parser) -> None:
    """Add the options that choose the estimator and its precision."""
    add = parser.group("estimator").add_argument
    add(
        "--t-per-example",
        type=argument_type(parse_times),
        metavar="N",
        help="times t of each example, more where the terms of K are large; all: every t once (default: as training "
        "evaluates, 2 for images, 50 for vectors)",
    )
    add("--estimator", choices=ESTIMATORS, help="reference-2015: as the released code printed it (default: exact)")
    add("--draws", type=int, metavar="N", help=f"reference-2015: minibatches, each at one random t (default: {DRAWS})")
    add(
        "--trajectories",
        type=int,
        metavar="M",
        help="instead of K: log p(x) of single examples by M forward trajectories each (Eq. 9)",
    )
    add(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"examples (trajectories) computed at once, up to {LARGEST_BATCH}, which changes only the last bits; "
        "reference-2015: minibatch size (default: the run's)",
    )
    add("--seed", type=int, help="seed of all draws (default: the run's)")


def parse_times(text: str) -> int | str:
    """Return the number of --t-per-example, or "all"; raise InputError for another text."""
    if text == "all" or text.lstrip("-").isdecimal():
        return text if text == "all" else int(text)
    raise InputError(f"got {text}; expected a number of times, or all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = Options(**vars(build_parser().parse_args(arguments)))
    return run_command(PROG, lambda: evaluate_run(options))


def evaluate_run(options: Options) -> int:
    """Evaluate with the options of a command line; write files with the names in STEMS."""
    check_options(options)
    from dpm.base.atomic import writable_folder
    from dpm.likelihood.units import why_no_levels
    from dpm.runs.evaluation import default_seed, evaluate, exact_references

    folder = writable_folder("--output-dir", options.output_dir)
    estimator = "trajectories" if options.trajectories else options.estimator or "exact"
    path = check_earlier(folder / f"{STEMS[estimator]}.json", options.checkpoint)
    run = open_run_of(options)
    model = run.model
    seed = default_seed(run) if options.seed is None else options.seed
    given = read_input(options, run) if options.input else read_split(options, run)
    model.kernel.check(given.X, f"--input {options.input}" if options.input else given.name)
    with mapped(run.compiled, options.cluster, options.quiet):
        result = evaluate(
            run,
            given.X,
            options.estimator or "exact",
            t_per_example=options.t_per_example,  # type: ignore[arg-type]
            draws=options.draws or DRAWS,
            trajectories=options.trajectories,
            batch_size=options.batch_size,
            seed=seed,
            quiet=options.quiet,
            split="" if options.input else options.split or "test",
        )
    about = {
        "checkpoint": str(options.checkpoint),
        "path": path,
        "examples": given.name,
        "n_examples": len(given.X),
        "estimator": estimator,
        "trajectory_length": model.trajectory_length,
        "seed": seed,
        "engine": str(run.engine),
        "noise": "host" if options.estimator == "reference-2015" else run.engine.noise,
        "precision": run.engine.precision,
        "unit": model.unit,
    }
    about |= {} if options.input else exact_references(run, options.quiet)
    levels = bits_of_levels(result, why_no_levels(given.quantized, model.uniform_noise, run.scaling.scale))
    if not options.quiet:
        report(about, result, levels)
    paths = write(folder, about, result, levels)
    if about["estimator"] == "exact":
        paths.append(plot(folder / f"{STEMS['exact']}.png", result, model.unit))
    if not options.quiet:
        print(f"written: {', '.join(map(str, paths))}")
    return 0


def check_earlier(file: "Path", checkpoint: str) -> str:
    """Return the absolute path of the checkpoint; raise InputError if the file holds the evaluation of another one."""
    from dpm.runs.folder import find_checkpoint

    path = str(find_checkpoint(checkpoint).resolve())
    earlier = None
    with suppress(OSError, ValueError):
        earlier = json.loads(file.read_text())
    other = earlier.get("path", path) if isinstance(earlier, dict) else path
    if other != path:
        raise InputError(
            f"--output-dir: {file} is the evaluation of another checkpoint, {other}; give another folder, or remove "
            "the file"
        )
    return path


def check_options(options: Options) -> None:
    """Raise InputError for a number that is not accepted and for an option that would be ignored."""
    for name in ("n_examples", "t_per_example", "draws", "trajectories", "batch_size", "threads"):
        value = getattr(options, name)
        if value not in (None, "all") and value < 1:
            raise InputError(f"--{name.replace('_', '-')}: {value} is not accepted; take 1 or more")
    if options.seed is not None and options.seed < 0:
        raise InputError(f"--seed: {options.seed} is not accepted; take 0 or more")
    reference = options.estimator == "reference-2015"
    contradictions = [
        ("trajectories", "estimator"),
        ("trajectories", "t_per_example"),
        ("input", "split"),
        ("input", "data_path"),
    ] + reference * [("estimator", "t_per_example")]
    for first, second in contradictions:
        if getattr(options, first) is not None and getattr(options, second) is not None:
            names = [f"--{name.replace('_', '-')} {getattr(options, name)}" for name in (first, second)]
            raise InputError(f"{names[1]} is not used with {names[0]}; leave one out")
    if options.draws is not None and not reference:
        raise InputError(f"--draws {options.draws} is used only by --estimator reference-2015; leave it out")
    if not reference and (options.batch_size or 0) > LARGEST_BATCH:
        raise InputError(f"--batch-size: {options.batch_size} is not accepted; take up to {LARGEST_BATCH}")


# ------------------------------------------------------------------ the examples


class Examples(NamedTuple):
    """Examples to evaluate.

    Attributes:
        X: scaled examples, (n, ...), in the float type of the run.
        name: a description.
        quantized: True for 8-bit levels.
    """

    X: "np.ndarray"
    name: str
    quantized: bool


def first_examples(X: "np.ndarray", options: Options, kind: str, name: str) -> "tuple[np.ndarray, str]":
    """Return the first --n-examples of X and how many they are, in words. Raises InputError if there are fewer."""
    n = options.n_examples or (min(SINGLE_EXAMPLES, len(X)) if options.trajectories else len(X))
    words = f"{kind}{plural(len(X), 'example')} of {name}"
    if n > len(X):
        raise InputError(f"--n-examples: {n} is more than there are, {len(X)} {words}; take at most that")
    return X[:n], f"{n} {words}" if n == len(X) else f"the first {n} of {len(X)} {words}"


def read_split(options: Options, run: "Run") -> Examples:
    """Return examples of the data that the run was trained on or tested with."""
    split = options.split or "test"
    data = run.load_data(options.data_path)
    X, name = first_examples(run.data(split), options, f"{split} ", f"{data.name} ({data.path})")
    return Examples(X, name, data.quantized)


def read_input(options: Options, run: "Run") -> Examples:
    """Return the examples of --input."""
    import numpy as np

    from dpm.likelihood.units import LEVELS

    X = read_input_of(run, str(options.input), options.quiet)
    X, name = first_examples(X, options, "", str(options.input))
    levels = LEVELS * X
    on_grid = (np.abs(levels - np.rint(levels)) <= LEVEL_TOLERANCE).all() and X.min() >= 0 and X.max() <= 1
    scaled = run.scaling.forward(X).astype(run.engine.dtype)
    return Examples(scaled, name, bool(run.quantized and on_grid))


def bits_of_levels(result: "Evaluation", reason: str | None) -> tuple[float | None, str | None]:
    """Return (bits per dimension of 8-bit levels, why there are none): one of both is None."""
    key = next(key for key in ("log_p", "K_eq12", "K") if key in result.values)
    if reason:
        return None, reason
    return result.units.bits_of_levels(result.units.in_data_units(key, result.values[key])), None


# ------------------------------------------------------------------ output


def report(about: dict[str, Any], result: "Evaluation", levels: tuple[float | None, str | None]) -> None:
    """Print the tables of an Evaluation."""
    import numpy as np

    from dpm.likelihood.result import format_references
    from dpm.likelihood.units import NAMES, format_number

    units = result.units
    if result.line:
        print(result.line)
    if exact := format_references(about, about["unit"]):
        print(exact)
    print(f"{about['checkpoint']}: T = {about['trajectory_length']}, seed {about['seed']}, {about['engine']}")
    print(about["examples"])
    if "log_p" in result.values:
        header = ("example", "log p(x_0), nats", "error", "effective", "K, nats")
        rows = [
            (str(row[0]), format_number(row[1]), format_number(row[2]), format_number(row[3], 1), format_number(row[4]))
            for row in result.rows[1:]
        ]
        print_table([header, *rows])
    factors = {unit: units.factors()[unit] for unit in units.distinct_units()}

    def row(label: str, nats: float) -> list[str]:
        return [label, *(format_number(nats * factor) for factor in factors.values())]

    head = "bits: probabilities" if units.scale is None else "scaled units"
    print_table(
        [[head, *factors]]
        + [row(NAMES[key], nats) for key, nats in result.values.items()]
        + [row(label, nats) for label, nats in result.errors.items()]
    )
    if units.scale is not None:
        print(
            f"scaled units are {units.scale:.6g} x + shift of the data's x; a log density in data units has "
            f"{np.log(units.scale):+.4f} nats/dimension:"
        )
        keys = [key for key in ("L_null", "K", "K_eq12", "log_p") if key in result.values]
        print_table(
            [["data units", *factors]] + [row(NAMES[key], units.in_data_units(key, result.values[key])) for key in keys]
        )
        value, reason = levels
        of = "log p(x_0)" if "log_p" in result.values else "K"
        text = f"none, as {reason}" if reason else f"{value:.4f} bits/dimension, uniform dequantization"
        print(f"8-bit levels, by {of}: {text}")
    for line in result.notes:
        print(line)


def write(
    folder: "Path", about: dict[str, Any], result: "Evaluation", levels: tuple[float | None, str | None]
) -> "list[Path]":
    """Write the .json, .npz and, if there are rows, .csv file; return their paths. Raises InputError on a full disk."""
    import numpy as np

    from dpm.base.atomic import atomic_write

    units, stem = result.units, STEMS[about["estimator"]]
    paths = [folder / f"{stem}{ending}" for ending in (".json", ".npz", ".csv")[: 2 + bool(result.rows)]]
    summary = (
        about | result.facts | {"scaled_units": {key: units.in_all_units(nats) for key, nats in result.values.items()}}
    )
    if units.scale is not None:
        summary["data_units"] = {
            key: units.in_all_units(units.in_data_units(key, nats)) for key, nats in result.values.items()
        }
        summary["scale"] = units.scale
        summary["bits_per_dimension_of_8_bit_levels"] = levels[0]
    summary["errors"] = {label: units.in_all_units(nats) for label, nats in result.errors.items()}
    means: dict[str, Any] = {f"mean_{key}": np.float64(nats) for key, nats in result.values.items()}
    packed, table = io.BytesIO(), io.StringIO(newline="")
    contents_by_name: dict[str, Any] = means | result.arrays
    np.savez(packed, **contents_by_name)
    csv.writer(table).writerows([["none" if value != value else value for value in row] for row in result.rows])
    text = json.dumps(summary, indent=2) + "\n"
    contents = [text.encode(), packed.getvalue(), table.getvalue().encode()]
    try:
        for path, content in zip(paths, contents, strict=False):
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise InputError(f"--output-dir: cannot write in {folder} ({error}); give another folder") from None
    return paths


def plot(path: "Path", result: "Evaluation", unit: str) -> "Path":
    """Plot KL_t next to the bounds of Eq. 23; return the path."""
    import numpy as np

    from dpm.plots.bounds import plot_terms

    first, last, kl, error, _, gap = np.array(result.rows[1:], dtype=np.float64).T
    times = np.arange(first[0], last[-1] + 1)
    kl, error, gap = (np.repeat(values, (last - first + 1).astype(int)) for values in (kl, error, gap))
    factor = result.units.factors()["bits/pixel"]
    return plot_terms(times, kl * factor, error * factor, gap * factor, path, unit)
