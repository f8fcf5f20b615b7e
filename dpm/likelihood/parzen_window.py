"""Log likelihood by Parzen windows around samples, as in Goodfellow et al. (2014): Table 2."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from dpm.likelihood.standard_errors import estimate

SIGMAS = tuple(np.logspace(-1, 0, 10))  # the grid of Goodfellow et al. (2014)
CHUNK = 1 << 22  # squared distances at once, 32 MB
EXACT_TO = 1e-9  # nats: rounding of squared distances that may reach a result


class ParzenResult(NamedTuple):
    """value: mean log density of the test examples, nats; standard_error: of that mean, NaN for one example; sigma:
    the width chosen; validation: mean log density of the validation examples for each width, (k,)."""

    value: float
    standard_error: float
    sigma: float
    validation: np.ndarray


def log_density(X, centers, sigmas, progress=None):
    """log of the mean over the centers of N(x; center, sigma^2 I), nats an example: (k, n).

    X: (n, D); centers: (m, D); sigmas: k widths, in the units of X. Beside its arguments and float64 copies of both it
    holds at most 3 x 32 MB, or 3 m numbers where m is above 4 million. progress: called with the number of examples
    after each part.
    """
    X, centers = (np.asarray(a, dtype=np.float64) for a in (X, centers))
    middle = centers.mean(axis=0)
    X, centers = X - middle, centers - middle  # smaller numbers, whose products round less
    rows = max(1, CHUNK // len(centers))
    values = np.empty((len(sigmas), len(X)))
    for start in range(0, len(X), rows):
        part = slice(start, min(start + rows, len(X)))
        distances = squared_distances(X[part], centers, EXACT_TO * 2 * min(sigmas) ** 2)
        # Behind the least distance the largest exponent is 0, so that no sum vanishes however far x is.
        least = distances.min(axis=1, keepdims=True)
        distances -= least
        terms = np.empty_like(distances)
        for value, sigma in zip(values, sigmas, strict=True):
            np.exp(np.multiply(distances, -0.5 / sigma**2, out=terms), out=terms)
            normalizer = X.shape[1] * np.log(sigma * np.sqrt(2 * np.pi))
            value[part] = np.log(terms.mean(axis=1)) - least[:, 0] * (0.5 / sigma**2) - normalizer
        if progress:
            progress(part.stop - part.start)
    return values


def squared_distances(X, centers, tolerance):
    """Squared Euclidean distances, (n, m), with an error of at most `tolerance` or of some roundings of the distance.

    By one product of matrices; rows where that would cancel too many digits are computed from differences.
    """
    sizes, center_sizes = (np.einsum("ij,ij->i", a, a) for a in (X, centers))
    distances = X @ centers.T
    distances *= -2
    distances += sizes[:, None]
    distances += center_sizes
    # Each of the three parts is rounded at its own size, the sums of products more than once.
    rounding = 8 * np.finfo(np.float64).eps * (sizes + center_sizes.max())
    exact = rounding > np.maximum(tolerance, 1e-12 * distances.min(axis=1))
    distances[exact] = cdist(X[exact], centers, "sqeuclidean")
    return np.maximum(distances, 0, out=distances)


def parzen(centers, valid, test, sigmas, progress=None):
    """The log likelihood of `test` under a Parzen window whose width is the best of `sigmas` for `valid`: ParzenResult.

    centers: samples of the model, (m, D); valid: (v, D), of the training split; test: (n, D).
    """
    validation = log_density(valid, centers, sigmas, progress).mean(axis=1)
    sigma = sigmas[int(validation.argmax())]
    (values,) = log_density(test, centers, [sigma], progress)
    value, error = estimate(values)
    return ParzenResult(value, error, float(sigma), validation)
