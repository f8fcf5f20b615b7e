"""python -m dpm baselines: the log likelihood of simple models on the data of a diffusion model, in units of its K."""

import itertools
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dpm.base import noise
from dpm.base.command_line import Parser, print_table, run_command
from dpm.base.errors import InputError
from dpm.likelihood import bernoulli_mixture
from dpm.likelihood.estimates import estimate
from dpm.runs.flags import check_numbers

PROG = "dpm baselines"
LOG_2 = float(np.log(2))
# Added to all variances, in scaled units. The noise in a gray level has about 1e-5.
FLOORS = (1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-6)
COMPONENTS = (2, 5, 10, 20, 50, 100, 200)
DIRECTIONS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 600, 700, 1000, 1500, 2000)
STEPS = 50  # of EM
LARGEST = 4096  # elements of an example whose covariance is computed: 0.13 GB
LARGEST_COVARIANCES = 10**8  # numbers in those of all components; with their factors 1.6 GB


@dataclass(frozen=True)
class Kind:
    """One baseline.

    text: what it is; axes: what is chosen on the validation part, a dict of name to values, from the simplest on.
    fit(X, rng, **chosen): a fitted model, which has score_samples(X): nats an example. bits: for binary data.
    square: whether it computes with D x D covariances.
    """

    text: str
    axes: dict[str, tuple]
    fit: Callable
    bits: bool = False
    square: bool = False


def gaussian_mixture(X, rng, covariance, floor, components=1):
    """Gaussians fitted by EM; one is the maximum likelihood in closed form. covariance: "full" or "diag"."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    seed = int(rng.integers(2**31))
    model = GaussianMixture(components, covariance_type=covariance, reg_covar=floor, max_iter=STEPS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is part of what is chosen
        return model.fit(X)


def ppca(X, rng, directions):
    """Probabilistic PCA (Tipping & Bishop 1999): the leading directions, and one variance for all others."""
    from sklearn.decomposition import PCA

    return PCA(directions, svd_solver="covariance_eigh").fit(X)


def bernoulli(X, rng, components=1):
    """Independent bits, or a mixture of them."""
    return bernoulli_mixture.fit(X, components, rng)


COVARIANCE = partial(gaussian_mixture, covariance="full")
KINDS = {
    "gaussian": Kind("Gaussian, full covariance", {"floor": FLOORS}, COVARIANCE, square=True),
    "ppca": Kind("probabilistic PCA", {"directions": DIRECTIONS}, ppca, square=True),
    "mixture": Kind(
        "Gaussians, full covariances", {"floor": FLOORS, "components": COMPONENTS}, COVARIANCE, square=True
    ),
    "diagonal-mixture": Kind(
        "Gaussians, diagonal covariances",
        {"floor": FLOORS, "components": COMPONENTS},
        partial(gaussian_mixture, covariance="diag"),
    ),
    "bernoulli": Kind("independent bits", {}, bernoulli, bits=True),
    "bernoulli-mixture": Kind("independent bits in components", {"components": COMPONENTS}, bernoulli, bits=True),
}


class Data(NamedTuple):
    """Scaled and dequantized examples as training sees them, (n, D) float64, and what their units are.

    elements: of what a figure is stated for, the colors of a pixel or a whole vector; scale: of the data's units,
    model = scale * x + shift; L_null: as of a model, bits. truth: bits, where it is known, or None.
    """

    train: np.ndarray
    test: np.ndarray
    elements: int
    scale: float
    L_null: float
    truth: float | None
    unit: str
    text: str

    @property
    def bits(self):
        """Whether all numbers are 0 or 1."""
        return bool(np.isin(self.train[:1000], (0, 1)).all())

    def in_bits(self, nats):
        """nats an example in the units of K: bits a pixel, or a vector."""
        return nats / LOG_2 * self.elements / self.train.shape[1]


def in_data_units(bits, elements, scale):
    """A log density of scaled data as that of the data themselves: each element has dx_scaled / dx = scale."""
    return bits + elements * float(np.log2(scale))


def climb(evaluate, axes):
    """The best (value, choice) that is reached from the first entries of all axes, one step along one axis at a time.

    axes: dict of name to values; evaluate: a function of a choice, dict of name to value. A step is kept where it makes
    the value higher; not every combination is tried.
    """
    place = dict.fromkeys(axes, 0)

    def at(place):
        choice = {name: axes[name][index] for name, index in place.items()}
        return evaluate(choice), choice

    best, stuck = at(place), 0
    for name in itertools.cycle(axes):
        if stuck == len(axes):
            break
        stuck += 1
        while place[name] + 1 < len(axes[name]):
            further = place | {name: place[name] + 1}
            if (found := at(further))[0] <= best[0]:
                break
            best, place, stuck = found, further, 1
    return best


def usable(kind, n, dimension):
    """The axes of a kind without what n examples, the dimension or the memory are too few for.

    Raises InputError where nothing is left.
    """
    components = min(n // 2, LARGEST_COVARIANCES // dimension**2) if kind.square else n // 2
    most = {"components": components, "directions": min(n, dimension) - 1}
    left = {name: tuple(v for v in values if v <= most.get(name, v)) for name, values in kind.axes.items()}
    for name, values in left.items():
        if not values:
            raise InputError(
                f"--kinds: {n} examples of {dimension} numbers are too few for {name} {kind.axes[name][0]}; leave that "
                "kind out"
            )
    return left


def chosen_model(kind, train, start, rng, progress):
    """(model, choice): the choice is the best for train[start:] of models of train[:start]; then all is fitted.

    progress: called after each fit with the choice and its value, nats an example.
    """

    def evaluate(choice):
        value = float(kind.fit(train[:start], rng, **choice).score_samples(train[start:]).mean())
        progress(choice, value)
        return value

    choice = {}
    if kind.axes:
        _, choice = climb(evaluate, usable(kind, start, train.shape[1]))
    return kind.fit(train, rng, **choice), choice


# ------------------------------------------------------------------ the command


def parser():
    """The options of the command."""
    top = Parser(prog=PROG, description=__doc__.partition(": ")[2])
    add = top.add_argument
    add("--experiment", help="data of a named run, as train.py --experiment")
    add("--small", action="store_true", help="those of its small variant")
    add("--dataset", help="data set, as train.py --dataset (default: MNIST)")
    add("--data-path", help="folder(s) or file to look for the data in")
    add("--crop", type=int, help="pieces of this side of the pictures, side by side")
    add("--kinds", nargs="+", choices=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)} (default: all that the data "
        "can have)")  # fmt: skip
    add("--floors", nargs="+", type=float, metavar="FLOOR", help="what may be added to all variances (default: "
        f"{', '.join(f'{floor:g}' for floor in FLOORS)})")  # fmt: skip
    add("--seed", type=int, default=0, help="of made data, noise in gray levels and starts (default: %(default)s)")
    add("--quiet", action="store_true", help="print the table alone")
    return top


def main(arguments=None):
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    return run_command(PROG, lambda: run(options))


def run(options):
    """Print the table; returns 0."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise InputError('scikit-learn is not installed; take the extra: pip install -e ".[baselines]"') from None
    from dpm.runs.data import validation_start

    data = load_data(options)
    kinds = chosen_kinds(options.kinds, data, options.floors)
    start = validation_start(len(data.train))
    if not options.quiet:
        print(data.text)
        print(f"chosen   on the last {len(data.train) - start:,} training examples, then fitted to all of them")
    rows = [("kind", "what", "chosen", f"log p, {data.unit}", "error", "minus L_null", "in data units", "seconds")]
    known = [("L_null", "prior of the model", data.L_null)]
    known += [("truth", "what made the data", data.truth)] if data.truth is not None else []
    for name, text, value in known:
        rows.append((name, text, "", *figures(data, value, None), ""))
    for place, (name, kind) in enumerate(kinds.items()):
        began = time.monotonic()
        with tqdm(desc=name, unit="fit", disable=options.quiet or None) as bar:

            def progress(choice, value, bar=bar):
                bar.set_postfix(choice | {"log p": f"{data.in_bits(value):.3f}"})
                bar.update()

            rng = noise.generator(options.seed, noise.BASELINE, 1 + place)
            model, choice = chosen_model(kind, data.train, start, rng, progress)
        result = estimate(data.in_bits(model.score_samples(data.test)))
        texts = ", ".join(f"{axis} {value:g}" for axis, value in choice.items())
        seconds = f"{time.monotonic() - began:.0f}"
        rows.append((name, kind.text, texts, *figures(data, *result), seconds))
    print_table(rows)
    return 0


def figures(data, value, error):
    """log p, its error, log p - L_null and log p in data units, as texts; error: None where the value is exact."""
    in_units = in_data_units(value, data.elements, data.scale)
    shown = "" if error is None or np.isnan(error) else f"{error:.3f}"
    return f"{value:.3f}", shown, f"{value - data.L_null:.3f}", f"{in_units:.3f}"


def chosen_kinds(given, data, floors=None):
    """{name: Kind} of the baselines for the data. floors: in the place of FLOORS.

    Raises InputError for a kind that the data cannot have, or that has no floors where these are given.
    """
    dimension = data.train.shape[1]
    kinds = {name: KINDS[name] for name in given or [name for name, kind in KINDS.items() if kind.bits == data.bits]}
    for name, kind in kinds.items():
        if kind.bits != data.bits:
            fitting = ", ".join(n for n, kind in KINDS.items() if kind.bits == data.bits)
            raise InputError(f"--kinds {name}: the data are {'' if data.bits else 'not '}bits; accepted: {fitting}")
        if kind.square and dimension > LARGEST:
            raise InputError(
                f"--kinds {name}: examples of {dimension:,} numbers are too large for a covariance; take up to "
                f"{LARGEST:,} by --crop, or --kinds diagonal-mixture"
            )
    if floors is None:
        return kinds
    if wrong := [floor for floor in floors if not 0 < floor < np.inf]:
        raise InputError(f"--floors: {wrong[0]:g} is not accepted; give numbers above 0")
    if none := [name for name, kind in kinds.items() if "floor" not in kind.axes]:
        fitting = " ".join(name for name, kind in KINDS.items() if "floor" in kind.axes)
        raise InputError(f"--floors: {none[0]} has none; give --kinds of {fitting}, or leave --floors out")
    chosen = {"floor": tuple(sorted(set(floors), reverse=True))}
    return {name: replace(kind, axes=kind.axes | chosen) for name, kind in kinds.items()}


def load_data(options):
    """The Data of the options, as training has them. Raises InputError as train.py does."""
    from dpm.experiments.toys import HEARTBEAT, TOYS, make_data
    from dpm.graph.kernels.binomial import BinomialKernel
    from dpm.graph.kernels.gaussian import GaussianKernel
    from dpm.runs.data import pieces, prepared_data
    from dpm.training import run as training

    values = {name: value for name, value in vars(options).items() if name not in ("kinds", "floors")}
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    check_numbers(given)
    flags, variant = training.new_flags(given)
    flags = flags | {"dtype": "float64"}
    toy = TOYS.get(flags["experiment"])
    data: dict[str, Any]
    if toy:
        options_of_data = (flags[key] for key in ("model_args", "small", "seed", "dtype"))
        data = make_data(toy, flags["experiment"], *options_of_data)._asdict()
    else:
        data = prepared_data(flags, variant, None)
    train, test = pieces(data["train"][:], flags["crop"]), data["test"]
    if width := training.gray_level_noise(variant, data):
        train = train + (noise.generator(flags["seed"], noise.BASELINE, 0).random(train.shape) - 0.5) * width
        # The noise of the test examples is what their K is computed with.
        _, U = noise.example_noise(flags["seed"], noise.EVALUATION, range(len(test)), test.shape[1:], "normal")
        test = test + (U - 0.5) * width
    elements = test[0].size if toy else test.shape[1]
    prior = BinomialKernel(1 / HEARTBEAT["period"]) if flags["experiment"] == "heartbeat" else GaussianKernel()
    train, test = (a.reshape(len(a), -1).astype(np.float64) for a in (train, test))
    return Data(
        train=train,
        test=test,
        elements=elements,
        scale=data["scaling"].scale,
        L_null=-elements * prior.prior_entropy() / LOG_2,
        truth=toy.log_likelihood(toy.complete(flags["model_args"])) if toy else None,
        unit="bits/example" if toy else "bits/pixel",
        text=f"data     {data['name']} from {data['path']}: {len(train):,} training and {len(test):,} test examples of "
        f"{test[0].size} numbers\nunits    {data['units']}",
    )


if __name__ == "__main__":
    sys.exit(main())
