"""Weighted particles and their resampling (sequential Monte Carlo)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from dpm.base.errors import InputError


def draw_systematic(weights: np.ndarray, uniform: float, n: int | None = None) -> np.ndarray:
    """Draw indices in proportion to weights, from a single uniform number (systematic resampling, Kitagawa 1996).

    Args:
        weights: weights with any sum, (m,).
        uniform: a number in [0, 1).
        n: number of indices; m if None.
    """
    n = len(weights) if n is None else n
    places = (np.arange(n) + uniform) / n
    return np.minimum(np.searchsorted(np.cumsum(weights) / np.sum(weights), places), len(weights) - 1)


class Particles:
    """Weights of particles, with log Z and the first ancestor of each particle.

    Args:
        n: number of particles.
        rng: generator of the resampling.

    Attributes:
        log_w: logs of the weights, (n,).
        ancestors: number of each particle's ancestor at the start, (n,).
        log_Z: log of the product of mean weights up to the last resampling, in nats.
        resamplings: number of resamplings.
        history: effective sample size after each update, before its resampling.
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.n, self.rng = n, rng
        self.log_w = np.zeros(n)
        self.ancestors = np.arange(n)
        self.log_Z, self.resamplings = 0.0, 0
        self.history: list[float] = []

    @property
    def weights(self) -> np.ndarray:
        """Normalized weights, (n,)."""
        return np.exp(self.log_w - logsumexp(self.log_w))

    @property
    def effective(self) -> float:
        """Effective sample size, 1 / sum of squared weights."""
        return float(1 / np.sum(self.weights**2))

    def update(self, X: np.ndarray, log_factors: ArrayLike, resample_below: float = 0.5) -> np.ndarray:
        """Multiply the weights; resample if the effective sample size is low.

        Args:
            X: particles, (n, ...).
            log_factors: logs of the factors, (n,).
            resample_below: share of n below which the effective sample size is low.

        Returns:
            The particles, (n, ...), resampled or not.

        Raises:
            InputError: a weight is not a number, or all weights are 0.
        """
        self.log_w = self.log_w + np.asarray(log_factors, dtype=np.float64)
        if np.isnan(self.log_w).any() or not self.log_w.max() < np.inf:
            raise InputError("log r: not a finite number at a particle; accepted: an r that is above 0 everywhere")
        if self.log_w.max() == -np.inf:
            raise InputError("log r: r is 0 at every particle; take more particles, or an r that is above 0")
        self.history.append(self.effective)
        return self.resample(X) if self.history[-1] < resample_below * self.n else X

    def resample(self, X: np.ndarray, n: int | None = None) -> np.ndarray:
        """Draw n particles in proportion to their weights and set all weights to 1; n stays the same if None."""
        chosen = draw_systematic(self.weights, self.rng.random(), n)
        self.log_Z += logsumexp(self.log_w) - np.log(self.n)
        self.n, self.log_w, self.ancestors = len(chosen), np.zeros(len(chosen)), self.ancestors[chosen]
        self.resamplings += 1
        return X[chosen]

    def log_Z_error(self) -> float:
        """Return the standard error of log Z, from the weight per first ancestor (Lee and Whiteley 2018, Eq. 4)."""
        shares = np.bincount(self.ancestors, self.weights, minlength=self.n)
        correction = (self.n / (self.n - 1)) ** (self.resamplings + 1)
        return float(np.sqrt(max(0.0, 1 - correction * (1 - np.sum(shares**2)))))
