"""Simple density models for comparison with a diffusion model, and their selection on held-out examples."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dpm.base.blas import one_blas_thread
from dpm.base.errors import InputError
from dpm.likelihood import bernoulli_mixture
from dpm.likelihood.conditional_mixture import ConditionalMixture, draw_patches

# Added to all variances, in scaled units. The dequantization noise of a gray level has a variance of about 1e-5.
FLOORS = (1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-6)
COMPONENTS = (2, 5, 10, 20, 50, 100, 200)
RADII = (1, 2)  # of causal neighborhoods: 4 and 12 pixels
DIRECTIONS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 600, 700, 1000, 1500, 2000)
STEPS = 50  # of EM
LARGEST = 4096  # largest dimension of a covariance: 0.13 GB
LARGEST_COVARIANCES = 10**8  # largest number of entries of all components' covariances: 1.6 GB with their factors


@dataclass(frozen=True)
class Kind:
    """One kind of density model.

    Attributes:
        text: a description.
        axes: hyperparameters, chosen on the validation part: name to values, from the simplest on.
        fit: function fit(X, rng, **hyperparameters) of examples (n, D) that returns a fitted model; its
            score_samples(X) is log p in nats per example, (n,).
        bits: True if it is for data of 0 and 1.
        square: True if it computes with D x D covariances.
        images: True if its fit needs `shape`, that of an image (c, h, w).
    """

    text: str
    axes: dict[str, tuple]
    fit: Callable
    bits: bool = False
    square: bool = False
    images: bool = False

    def for_images(self, shape: tuple[int, int, int]) -> "Kind":
        """Return the kind with its fit told the shape (c, h, w) of images, and radii that fit into them."""
        radii = tuple(radius for radius in self.axes["radius"] if 2 * radius < min(shape[1:]))
        return replace(self, axes=self.axes | {"radius": radii}, fit=partial(self.fit, shape=shape))


def gaussian_mixture(
    X: np.ndarray, rng: np.random.Generator, covariance: str, floor: float, components: int = 1
) -> Any:
    """Fit a mixture of Gaussians by EM; a single one is the maximum likelihood in closed form.

    Args:
        X: examples, (n, D).
        rng: generator of the start.
        covariance: "full" or "diag".
        floor: added to all variances.
        components: number of Gaussians.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    seed = int(rng.integers(2**31))
    model = GaussianMixture(components, covariance_type=covariance, reg_covar=floor, max_iter=STEPS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is limited on purpose
        return model.fit(X)


def ppca(X: np.ndarray, rng: np.random.Generator, directions: int) -> Any:
    """Fit probabilistic PCA (Tipping & Bishop 1999): the leading directions, and one variance for all others."""
    from sklearn.decomposition import PCA

    return PCA(directions, svd_solver="covariance_eigh").fit(X)


def bernoulli(X: np.ndarray, rng: np.random.Generator, components: int = 1) -> bernoulli_mixture.BernoulliMixture:
    """Fit independent bits, or a mixture of them, to X, (n, D) of 0 and 1."""
    return bernoulli_mixture.fit(X, components, rng)


def conditional_mixture(
    X: np.ndarray,
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    radius: int,
    floor: float,
    components: int,
) -> ConditionalMixture:
    """Fit Gaussians with full covariances to pixels with their causal neighborhoods.

    Args:
        X: images, (n, c h w).
        rng: generator of the choice of patches and of the start.
        shape: (c, h, w) of an image.
        radius: of the neighborhood, in pixels.
        floor, components: as in gaussian_mixture.
    """
    patches = draw_patches(X.reshape(-1, *shape), radius, rng)
    return ConditionalMixture(gaussian_mixture(patches, rng, "full", floor, components), shape, radius)


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
    "conditional-mixture": Kind(
        "Gaussians of pixels with causal neighborhoods",
        {"radius": RADII, "floor": FLOORS, "components": (1, *COMPONENTS)},
        conditional_mixture,
        images=True,
    ),
    "bernoulli": Kind("independent bits", {}, bernoulli, bits=True),
    "bernoulli-mixture": Kind("independent bits in components", {"components": COMPONENTS}, bernoulli, bits=True),
}


def climb(evaluate: Callable[[dict[str, Any]], float], axes: dict[str, tuple]) -> tuple[float, dict[str, Any]]:
    """Search for the best choice of one value per axis, from the first values, one step along one axis at a time.

    A step is kept if it raises the value; not every combination is tried (coordinate ascent).

    Args:
        evaluate: function of a choice, name to value, that returns its score.
        axes: values by name, from the simplest on.

    Returns:
        The best score and its choice.
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


def feasible_axes(kind: Kind, n: int, dimension: int) -> dict[str, tuple]:
    """Return the axes of a kind without values that need more examples, dimensions or memory.

    Args:
        kind: a kind of model.
        n: number of examples.
        dimension: number of elements of an example.

    Raises:
        InputError: an axis has no value left.
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


def choose_model(
    kind: Kind,
    train: np.ndarray,
    start: int,
    rng: np.random.Generator,
    progress: Callable[[dict[str, Any], float], object],
) -> tuple[Any, dict[str, Any]]:
    """Choose hyperparameters on train[start:], for models of train[:start], then fit a model to all of train.

    Args:
        kind: a kind of model.
        train: training examples, (n, D).
        start: number of examples before the validation part.
        rng: generator of starts.
        progress: called after each fit with the choice and its mean log p on the validation part, in nats per example.

    Returns:
        The fitted model and its hyperparameters.
    """

    def evaluate(choice):
        value = float(kind.fit(train[:start], rng, **choice).score_samples(train[start:]).mean())
        progress(choice, value)
        return value

    choice: dict[str, Any] = {}
    with one_blas_thread(train.shape[1]):
        if kind.axes:
            _, choice = climb(evaluate, feasible_axes(kind, start, train.shape[1]))
        return kind.fit(train, rng, **choice), choice
