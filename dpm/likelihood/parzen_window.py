"""Log likelihood by Parzen windows around samples (Goodfellow et al. 2014), as in Table 2."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from dpm.base.blas import count_threads, one_blas_thread
from dpm.base.pieces import HERE, Mapper, Report
from dpm.likelihood.standard_errors import estimate

SIGMAS = tuple(np.logspace(-1, 0, 10))  # widths of Goodfellow et al. (2014), in units of the data
CHUNK = 1 << 22  # number of squared distances computed at once, 32 MB
BLOCKS = 4  # of these distances, each computed by one thread: BLAS's own threads would change the last bits
EXACT_TO = 1e-9  # nats; largest effect of rounded squared distances on a result


class ParzenResult(NamedTuple):
    """Log likelihood under a Parzen window.

    Attributes:
        value: mean log density of the test examples, in nats per example.
        standard_error: its standard error; NaN for a single example.
        sigma: the chosen width.
        validation: mean log density of the validation examples for each width, in nats per example, (k,).
    """

    value: float
    standard_error: float
    sigma: float
    validation: np.ndarray


def log_density(
    X: np.ndarray,
    centers: np.ndarray,
    sigmas: Sequence[float],
    progress: Callable[[int], object] | None = None,
    mapper: Mapper = HERE,
) -> np.ndarray:
    """Return the log of the mean over the centers of N(x; center, sigma^2 I), in nats per example, shape (k, n).

    In addition to its arguments and float64 copies of X and centers it holds at most 3 x 32 MB, or 3 m numbers if m is
    above 4 million.

    Args:
        X: examples, (n, D).
        centers: centers of the windows, (m, D).
        sigmas: k widths, in the units of X.
        progress: called with the number of examples after each batch.
        mapper: computes the batches.
    """
    X, centers = (np.asarray(a, dtype=np.float64) for a in (X, centers))
    middle = centers.mean(axis=0)
    X, centers = X - middle, centers - middle  # smaller numbers: their products lose fewer digits
    rows = max(1, CHUNK // len(centers))
    parts = (X[start : start + rows] for start in range(0, len(X), rows))
    found = mapper.map(compute_densities, (centers, sigmas), parts, progress)
    return np.concatenate([np.empty((len(sigmas), 0)), *found], axis=1)


def compute_densities(
    centers: np.ndarray, sigmas: Sequence[float], parts: Iterable[np.ndarray], report: Report
) -> Iterator[np.ndarray]:
    """Yield log_density of each part of the examples, (k, m); all arrays float64 and centered."""
    with ThreadPoolExecutor(min(BLOCKS, count_threads()), "parzen") as pool:
        for X in parts:
            rows = -(-len(X) // BLOCKS)
            blocks = [X[start : start + rows] for start in range(0, len(X), rows)]
            with one_blas_thread():
                values = [*pool.map(lambda block: _block_density(block, centers, sigmas), blocks)]
            yield np.concatenate(values, axis=1)
            report(len(X))


def _block_density(X: np.ndarray, centers: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """Return log_density of a block, (k, m)."""
    values = np.empty((len(sigmas), len(X)))
    distances = squared_distances(X, centers, EXACT_TO * 2 * min(sigmas) ** 2)
    # Subtract the smallest distance first (log-sum-exp), so the sum cannot underflow.
    least = distances.min(axis=1, keepdims=True)
    distances -= least
    terms = np.empty_like(distances)
    for value, sigma in zip(values, sigmas, strict=True):
        np.exp(np.multiply(distances, -0.5 / sigma**2, out=terms), out=terms)
        normalizer = X.shape[1] * np.log(sigma * np.sqrt(2 * np.pi))
        value[:] = np.log(terms.mean(axis=1)) - least[:, 0] * (0.5 / sigma**2) - normalizer
    return values


def squared_distances(X: np.ndarray, centers: np.ndarray, tolerance: float | np.floating) -> np.ndarray:
    """Return squared Euclidean distances, (n, m), by one matrix product.

    Rows in which the product would cancel too many digits are computed from differences.

    Args:
        X: points, (n, D).
        centers: points, (m, D).
        tolerance: largest error; errors of a few roundings of the distance are accepted in any case.
    """
    sizes, center_sizes = (np.einsum("ij,ij->i", a, a) for a in (X, centers))
    with one_blas_thread(X.shape[1]):
        distances = X @ centers.T
    distances *= -2
    distances += sizes[:, None]
    distances += center_sizes
    # Each of the three parts is rounded relative to its size, and sums of products more than once.
    rounding = 8 * np.finfo(np.float64).eps * (sizes + center_sizes.max())
    exact = rounding > np.maximum(tolerance, 1e-12 * distances.min(axis=1))
    distances[exact] = cdist(X[exact], centers, "sqeuclidean")
    return np.maximum(distances, 0, out=distances)


def parzen(
    centers: np.ndarray,
    valid: np.ndarray,
    test: np.ndarray,
    sigmas: Sequence[float],
    progress: Callable[[int], object] | None = None,
    mapper: Mapper = HERE,
) -> ParzenResult:
    """Return the log likelihood of test examples under a Parzen window whose width is chosen on validation examples.

    Args:
        centers: samples of a model, (m, D).
        valid: validation examples, of the training split, (v, D).
        test: test examples, (n, D).
        sigmas: widths to choose from, in the units of the data.
        progress: called with the number of examples after each batch.
        mapper: computes the batches.
    """
    validation = log_density(valid, centers, sigmas, progress, mapper).mean(axis=1)
    sigma = sigmas[int(validation.argmax())]
    (values,) = log_density(test, centers, [sigma], progress, mapper)
    value, error = estimate(values)
    return ParzenResult(value, error, float(sigma), validation)
