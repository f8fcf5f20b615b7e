"""Simple density models to compare a diffusion model with, and the choice among them on held-out examples."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dpm.base.errors import InputError
from dpm.likelihood import bernoulli_mixture

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
