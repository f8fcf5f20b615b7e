"""Simple density models for comparison with a diffusion model, and their selection on held-out examples."""

import copy
import itertools
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from dpm.base.blas import one_blas_thread
from dpm.base.errors import InputError
from dpm.base.pieces import HERE, Mapper, Report
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
        skip: function skip(X, rng, **hyperparameters) that draws from rng what `fit` draws, and nothing else.
        bits: True if it is for data of 0 and 1.
        square: True if it computes with D x D covariances.
        images: True if its fit needs `shape`, that of an image (c, h, w).
    """

    text: str
    axes: dict[str, tuple]
    fit: Callable
    skip: Callable
    bits: bool = False
    square: bool = False
    images: bool = False

    def for_images(self, shape: tuple[int, int, int]) -> "Kind":
        """Return the kind with its fit told the shape (c, h, w) of images, and radii that fit into them."""
        radii = tuple(radius for radius in self.axes["radius"] if 2 * radius < min(shape[1:]))
        fit, skip = (partial(function, shape=shape) for function in (self.fit, self.skip))
        return replace(self, axes=self.axes | {"radius": radii}, fit=fit, skip=skip)


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
    # Threads of k-means, from which EM starts, would add up in any order.
    with warnings.catch_warnings(), threadpool_limits(1, "openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is limited on purpose
        return model.fit(X)


def skip_mixture(X: np.ndarray, rng: np.random.Generator, **choice: Any) -> None:
    """Draw what `gaussian_mixture` draws."""
    rng.integers(2**31)


def ppca(X: np.ndarray, rng: np.random.Generator, directions: int) -> Any:
    """Fit probabilistic PCA (Tipping & Bishop 1999): the leading directions, and one variance for all others."""
    from sklearn.decomposition import PCA

    return PCA(directions, svd_solver="covariance_eigh").fit(X)


def skip_nothing(X: np.ndarray, rng: np.random.Generator, **choice: Any) -> None:
    """Draw nothing, as `ppca`."""


def bernoulli(X: np.ndarray, rng: np.random.Generator, components: int = 1) -> bernoulli_mixture.BernoulliMixture:
    """Fit independent bits, or a mixture of them, to X, (n, D) of 0 and 1."""
    return bernoulli_mixture.fit(X, components, rng)


def skip_bernoulli(X: np.ndarray, rng: np.random.Generator, components: int = 1) -> None:
    """Draw what `bernoulli` draws."""
    for _ in range(bernoulli_mixture.count_starts(components)):
        rng.integers(2**31)


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


def skip_conditional_mixture(
    X: np.ndarray, rng: np.random.Generator, shape: tuple[int, int, int], radius: int, **choice: Any
) -> None:
    """Draw what `conditional_mixture` draws."""
    draw_patches(X.reshape(-1, *shape), radius, rng)
    skip_mixture(X, rng)


COVARIANCE = partial(gaussian_mixture, covariance="full")
KINDS = {
    "gaussian": Kind("Gaussian, full covariance", {"floor": FLOORS}, COVARIANCE, skip_mixture, square=True),
    "ppca": Kind("probabilistic PCA", {"directions": DIRECTIONS}, ppca, skip_nothing, square=True),
    "mixture": Kind(
        "Gaussians, full covariances",
        {"floor": FLOORS, "components": COMPONENTS},
        COVARIANCE,
        skip_mixture,
        square=True,
    ),
    "diagonal-mixture": Kind(
        "Gaussians, diagonal covariances",
        {"floor": FLOORS, "components": COMPONENTS},
        partial(gaussian_mixture, covariance="diag"),
        skip_mixture,
    ),
    "conditional-mixture": Kind(
        "Gaussians of pixels with causal neighborhoods",
        {"radius": RADII, "floor": FLOORS, "components": (1, *COMPONENTS)},
        conditional_mixture,
        skip_conditional_mixture,
        images=True,
    ),
    "bernoulli": Kind("independent bits", {}, bernoulli, skip_bernoulli, bits=True),
    "bernoulli-mixture": Kind(
        "independent bits in components", {"components": COMPONENTS}, bernoulli, skip_bernoulli, bits=True
    ),
}


def climb(
    evaluate: Callable[[list[dict[str, Any]]], Generator[float, None, None]], axes: dict[str, tuple]
) -> tuple[float, dict[str, Any]]:
    """Search for the best choice of one value per axis, from the first values, one step along one axis at a time.

    A step is kept if it raises the value; not every combination is tried (coordinate ascent).

    Args:
        evaluate: generator function of choices, name to value, that yields the score of each in turn. It is closed at
            the first one that is no step, so those after it need not be evaluated.
        axes: values by name, from the simplest on.

    Returns:
        The best score and its choice.
    """
    place, stuck = dict.fromkeys(axes, 0), 0
    choice = {name: values[0] for name, values in axes.items()}
    (value,) = evaluate([choice])
    for name in itertools.cycle(axes):
        if stuck == len(axes):
            break
        stuck += 1
        further = [choice | {name: other} for other in axes[name][place[name] + 1 :]]
        with closing(evaluate(further)) as values:
            for other, found in zip(further, values, strict=False):
                if found <= value:
                    break
                value, choice, stuck = found, other, 1
                place[name] += 1
    return value, choice


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
    """Choose hyperparameters as `choose` does, then fit a model to all of train.

    Returns:
        The fitted model and its hyperparameters.
    """
    choice = choose(kind, train, start, rng, progress)
    with one_blas_thread(train.shape[1]):
        return kind.fit(train, rng, **choice), choice


def choose(
    kind: Kind,
    train: np.ndarray,
    start: int,
    rng: np.random.Generator,
    progress: Callable[[dict[str, Any], float], object],
    mapper: Mapper = HERE,
) -> dict[str, Any]:
    """Choose hyperparameters on train[start:], for models of train[:start].

    Args:
        kind: a kind of model.
        train: training examples, (n, D).
        start: number of examples before the validation part.
        rng: generator of starts.
        progress: called after each fit with the choice and its mean log p on the validation part, in nats per example.
        mapper: computes the fits along an axis, which need not wait for one another. Those after the first one that is
            no better are not used.

    Returns:
        The hyperparameters.
    """
    X, held_out = train[:start], train[start:]

    def evaluate(choices: list[dict[str, Any]]) -> Generator[float, None, None]:
        pieces = fits_ahead(kind, X, rng, choices)
        found = mapper.map(score_fits, (kind, X, held_out), pieces)
        for choice, scores in zip(choices, found, strict=False):
            kind.skip(X, rng, **choice)  # a fit that is used
            value = float(scores.mean())
            progress(choice, value)
            yield value

    return climb(evaluate, feasible_axes(kind, start, train.shape[1]))[1] if kind.axes else {}


def fits_ahead(
    kind: Kind, X: np.ndarray, rng: np.random.Generator, choices: Iterable[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], np.random.Generator]]:
    """Yield each choice with the generator that its fit has if all fits before it are used."""
    ahead = copy.deepcopy(rng)
    for choice in choices:
        yield choice, copy.deepcopy(ahead)
        kind.skip(X, ahead, **choice)


def score_fits(
    kind: Kind,
    X: np.ndarray,
    others: np.ndarray,
    pieces: Iterable[tuple[dict[str, Any], np.random.Generator]],
    report: Report,
) -> Iterator[np.ndarray]:
    """Yield log p of other examples in nats, (m,), under a model that is fitted to X, for each choice and generator."""
    for choice, rng in pieces:
        with one_blas_thread(X.shape[1]):
            scores = kind.fit(X, rng, **choice).score_samples(others)
        yield scores
        report(1)
