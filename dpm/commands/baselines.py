"""`dpm baselines`: compute the log likelihood of simple models on the data of a diffusion model, in the units of K."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dpm.base.command_line import Parser, print_table, run_command
from dpm.base.errors import InputError
from dpm.base.pieces import Mapper
from dpm.base.progress import Progress
from dpm.base.wording import plural
from dpm.cluster.address import parse_address
from dpm.cluster.mapper import open_mapper
from dpm.commands.options import add_cluster_option
from dpm.likelihood.density_models import FLOORS, KINDS, LARGEST, Kind, choose, score_fits
from dpm.runs.settings import Settings

if TYPE_CHECKING:
    import numpy as np

PROG = "dpm baselines"


class Data(NamedTuple):
    """Scaled and dequantized examples as training sees them, and their units.

    Attributes:
        train, test: (n, D) float64.
        shape: (c, h, w) of an image, or None for vectors.
        elements: numbers of an example that a figure is stated for: the channels of a pixel, or a whole vector.
        scale: the model's units are scale * x + shift of the data's.
        L_null: log likelihood under the prior, bits.
        truth: true log likelihood, bits, if it is known.
        unit: "bits/pixel" or "bits/example".
        text: a description.
    """

    train: "np.ndarray"
    test: "np.ndarray"
    shape: tuple[int, int, int] | None
    elements: int
    scale: float
    L_null: float
    truth: float | None
    unit: str
    text: str

    @property
    def bits(self) -> bool:
        """True if all numbers are 0 or 1."""
        import numpy as np

        return bool(np.isin(self.train[:1000], (0, 1)).all())

    def in_bits(self, nats: Any) -> Any:
        """Convert nats per example to the units of K: bits per pixel, or per vector."""
        import numpy as np

        return nats / float(np.log(2)) * self.elements / self.train.shape[1]


def in_data_units(bits: float, elements: int, scale: float) -> float:
    """Convert a log density of scaled data to data units: each element has dx_scaled / dx = scale."""
    import numpy as np

    return bits + elements * float(np.log2(scale))


def build_parser(prog: str = PROG) -> Parser:
    """Return the parser of the command."""
    top = Parser(
        prog=prog,
        description=str(__doc__).partition(": ")[2],
        examples=[
            ("DiffusionModel_MNIST-...", "all models that fit the data of a run"),
            ("--experiment heartbeat --small", "the same for data of an experiment, without a run"),
        ],
    )
    top.add_argument("run", nargs="?", metavar="RUN", help="run folder, or its checkpoint.h5, whose data are taken")
    add = top.group("data, where no run is named").add_argument
    add("--experiment", metavar="NAME", help="data of a named experiment, as in train.py --experiment")
    add("--small", action="store_true", help="the data of its small variant")
    add("--dataset", metavar="NAME", help="data set, as in train.py --dataset (default: MNIST)")
    add("--crop", type=int, metavar="SIDE", help="pieces of this side of the images, side by side")
    add = top.group("data").add_argument
    add("--data-path", metavar="PATH", help="folder(s) or file to search for the data")
    add(
        "--noise",
        type=float,
        metavar="VARIANCE",
        help="of Gaussian noise mixed into all examples, as x_1 has; K leaves the noise of beta_1 in the data "
        "(default: none)",
    )
    add("--seed", type=int, help="seed of generated data, dequantization and starts (default: 0; with RUN, generated "
        "data have the seed of the run)")  # fmt: skip
    add = top.group("models").add_argument
    add(
        "--kinds",
        nargs="+",
        choices=KINDS,
        metavar="KIND",
        help=f"of {', '.join(KINDS)} (default: all that fit the data)",
    )
    add(
        "--floors",
        nargs="+",
        type=float,
        metavar="FLOOR",
        help=f"values to choose from, added to all variances (default: {', '.join(f'{floor:g}' for floor in FLOORS)})",
    )
    add_cluster_option(top)
    top.group("output").add_argument("--quiet", action="store_true", help="print only the table")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = build_parser().parse_args(arguments)
    chosen = ("run", "kinds", "floors", "noise", "cluster")
    given = {k: v for k, v in vars(options).items() if k not in chosen and v is not None and v is not False}
    return run_command(
        PROG,
        lambda: compare_models(given, options.run, options.kinds, options.floors, options.noise, options.cluster),
    )


def compare_models(
    given: dict[str, Any],
    run: str | None,
    names: Sequence[str] | None,
    floors: Sequence[float] | None = None,
    variance: float | None = None,
    cluster: str | None = None,
) -> int:
    """Fit the models and print the table.

    Args:
        given: settings of train.py that determine the data.
        run: a run whose data are taken, or None.
        names, floors: as in choose_kinds.
        variance: as in add_noise, or None.
        cluster: address of a Dask cluster that fits the models, or None.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise InputError('scikit-learn is not installed; take the extra: pip install -e ".[baselines]"') from None
    from dpm.runs.data import validation_start

    if cluster is not None:
        parse_address(cluster)
    settings, saved = Settings.from_arguments(**given), None
    seed, quiet = settings.seed, settings.quiet
    if run is not None:
        settings, saved = read_run(run, given)
    data = load_examples(settings.replace(dtype="float64"), seed, saved)
    if variance is not None:
        data = add_noise(data, variance, seed)
    kinds = choose_kinds(names, data, floors)
    start = validation_start(len(data.train))
    held = len(data.train) - start
    if not quiet:
        print(data.text)
        print(f"chosen   on the last {held:,} training {plural(held, 'example')}, then fitted to all of them")
    header = ("kind", "what", "chosen", f"log p, {data.unit}", "error", "minus L_null", "in data units", "seconds")
    rows: list[Sequence[str]] = [header, ("L_null", "prior of the model", "", *format_figures(data, data.L_null), "")]
    if data.truth is not None:
        rows.append(("truth", "distribution of the data", "", *format_figures(data, data.truth), ""))
    with open_mapper(cluster, quiet) as mapper:
        for place, (name, kind) in enumerate(kinds.items()):
            rows.append(fit_row(name, kind, data, start, seed, place, quiet, mapper))
    print_table(rows)
    return 0


def read_run(path: str, given: dict[str, Any]) -> tuple[Settings, Any]:
    """Return the settings of a run with the given --data-path, and what its config holds about its data.

    Raises:
        InputError: it is no run of train.py, or other data are given too.
    """
    from dpm.runs import checkpoint
    from dpm.runs.folder import find_checkpoint

    for name in ("experiment", "small", "dataset", "crop"):
        if name in given:
            raise InputError(f"--{name}: is not used with {path}, a run, which names its data; leave one out")
    found = find_checkpoint(path)
    config = checkpoint.load_run(found)[0]["config"]
    more = {key: given[key] for key in ("data_path", "quiet") if key in given}
    return Settings.from_checkpoint(config, found, **more), config["data"]


def fit_row(
    name: str, kind: Kind, data: Data, start: int, seed: int, place: int, quiet: bool, mapper: Mapper
) -> Sequence[str]:
    """Fit one kind of model; return its row of the table."""
    from dpm.base import noise
    from dpm.likelihood.standard_errors import estimate

    began = time.monotonic()
    with Progress(desc=name, unit="fit", quiet=quiet) as bar:

        def progress(choice: dict[str, Any], value: float) -> None:
            bar.set_postfix(choice | {"log p": f"{data.in_bits(value):.3f}"})
            bar.update()

        rng = noise.generator(seed, noise.BASELINE, 1 + place)
        choice = choose(kind, data.train, start, rng, progress, mapper)
        (scores,) = mapper.map(score_fits, (kind, data.train, data.test), [(choice, rng)])
    result = estimate(data.in_bits(scores))
    chosen = ", ".join(f"{axis} {value:g}" for axis, value in choice.items())
    return (name, kind.text, chosen, *format_figures(data, *result), f"{time.monotonic() - began:.0f}")


def format_figures(data: Data, value: float, error: float | None = None) -> tuple[str, str, str, str]:
    """Return log p, its error (None for an exact value), log p - L_null and log p in data units, as texts."""
    in_units = in_data_units(value, data.elements, data.scale)
    shown = "" if error is None or error != error else f"{error:.3f}"
    return f"{value:.3f}", shown, f"{value - data.L_null:.3f}", f"{in_units:.3f}"


def choose_kinds(given: Sequence[str] | None, data: Data, floors: Sequence[float] | None = None) -> dict[str, Kind]:
    """Return the kinds of model for the data by name.

    Args:
        given: names, or None for all that fit the data.
        data: the examples.
        floors: replaces FLOORS.

    Raises:
        InputError: a kind does not fit the data, or has no floors although they are given.
    """
    dimension = data.train.shape[1]
    fitting_names = [n for n, kind in KINDS.items() if kind.bits == data.bits and (data.shape or not kind.images)]
    kinds = {name: KINDS[name] for name in given or fitting_names}
    for name, kind in kinds.items():
        if kind.images and data.shape is None:
            raise InputError(f"--kinds {name}: the data are not images; accepted: {', '.join(fitting_names)}")
        if kind.bits != data.bits:
            raise InputError(
                f"--kinds {name}: the data are {'' if data.bits else 'not '}bits; accepted: {', '.join(fitting_names)}"
            )
        if kind.square and dimension > LARGEST:
            raise InputError(
                f"--kinds {name}: examples of {dimension:,} numbers are too large for a covariance; take up to "
                f"{LARGEST:,} by --crop, or --kinds diagonal-mixture"
            )
    if data.shape is not None:
        kinds = {name: kind.for_images(data.shape) if kind.images else kind for name, kind in kinds.items()}
    if floors is None:
        return kinds
    if wrong := [floor for floor in floors if not 0 < floor < float("inf")]:
        raise InputError(f"--floors: {wrong[0]:g} is not accepted; give numbers above 0")
    if none := [name for name, kind in kinds.items() if "floor" not in kind.axes]:
        fitting = " ".join(name for name, kind in KINDS.items() if "floor" in kind.axes)
        raise InputError(f"--floors: {none[0]} has none; give --kinds of {fitting}, or leave --floors out")
    chosen = {"floor": tuple(sorted(set(floors), reverse=True))}
    return {name: replace(kind, axes=kind.axes | chosen) for name, kind in kinds.items()}


def add_noise(data: Data, variance: float, seed: int) -> Data:
    """Return the examples as x_1 of a Gaussian diffusion with that beta_1: sqrt(1 - beta_1) x + sqrt(beta_1) noise.

    K is at most E[log p(x_1)] + E[log pi(x_0) / pi(x_1)], since the step from x_1 to x_0 is not learned (Appendix
    B.2). The second term is 0 if the test data have variance 1. So K is comparable with log p of these examples.

    Raises:
        InputError: the variance is not between 0 and 1, or the data are bits.
    """
    import numpy as np

    from dpm.base import noise

    if not 0 < variance < 1:
        raise InputError(f"--noise: {variance:g} is not accepted; give a variance above 0 and below 1")
    if data.bits:
        raise InputError("--noise: the data are bits, which have no Gaussian noise; leave it out")
    rng = noise.generator(seed, noise.BASELINE, 0, 1)
    train, test = (
        np.sqrt(1 - variance) * x + np.sqrt(variance) * rng.standard_normal(x.shape) for x in (data.train, data.test)
    )
    return data._replace(train=train, test=test, text=f"{data.text}\nnoise    of variance {variance:g}, as x_1 has")


def load_examples(settings: Settings, seed: int, saved: Any = None) -> Data:
    """Return the Data of the settings, as training has them.

    Args:
        settings: of the run, or of one that would have these data.
        seed: of the dequantization.
        saved: as in dpm.runs.data.load_data.

    Raises:
        InputError: as train.py does.
    """
    import numpy as np

    from dpm.base import noise
    from dpm.experiments.toys import HEARTBEAT
    from dpm.graph.kernels.binomial import BinomialKernel
    from dpm.graph.kernels.gaussian import GaussianKernel
    from dpm.runs.data import cut_pieces, load_data
    from dpm.training.building import gray_level_noise

    data, toy = load_data(settings, saved), settings.toy
    train, test = cut_pieces(data.train[:], settings.crop), data.test
    if width := settings.model_args.get("uniform_noise", gray_level_noise(settings.variant, data)):
        train = train + (noise.generator(seed, noise.BASELINE, 0).random(train.shape) - 0.5) * width
        # The noise of the test examples is the one that their K is computed with.
        _, U = noise.example_noise(seed, noise.EVALUATION, range(len(test)), test.shape[1:], "normal")
        test = test + (U - 0.5) * width
    shape = test.shape[1:]
    elements = test[0].size if toy else shape[0]
    prior = BinomialKernel(1 / HEARTBEAT["period"]) if settings.experiment == "heartbeat" else GaussianKernel()
    train, test = (a.reshape(len(a), -1).astype(np.float64) for a in (train, test))
    return Data(
        train=train,
        test=test,
        shape=None if toy else tuple(shape),
        elements=elements,
        scale=data.scaling.scale,
        L_null=-elements * prior.prior_entropy() / float(np.log(2)),
        truth=toy.log_likelihood(toy.complete(settings.model_args)) if toy else None,
        unit="bits/example" if toy else "bits/pixel",
        text=f"data     {data.name} from {data.path}: {len(train):,} training and {len(test):,} test "
        f"{plural(len(test), 'example')} of {test[0].size} {plural(test[0].size, 'number')}\nunits    {data.units}",
    )
