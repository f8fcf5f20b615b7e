"""Weighted particles and their resampling (sequential Monte Carlo)."""

import numpy as np
from scipy.special import logsumexp

from dpm.base.errors import InputError


def systematic(weights, uniform, n=None):
    """n indices, as many as weights unless given, drawn in proportion to weights from one uniform number (systematic
    resampling, Kitagawa 1996)."""
    n = len(weights) if n is None else n
    places = (np.arange(n) + uniform) / n
    return np.minimum(np.searchsorted(np.cumsum(weights) / np.sum(weights), places), len(weights) - 1)


class Particles:
    """Weighted particles, resampled below half the effective sample size; with log Z and their first ancestors.

    n: how many; rng: the Generator of the resampling. history: effective sample size after each update, before it is
    resampled.
    """

    def __init__(self, n, rng):
        self.n, self.rng = n, rng
        self.log_w = np.zeros(n)
        self.ancestors = np.arange(n)
        self.log_Z, self.resamplings = 0.0, 0
        self.history = []

    @property
    def weights(self):
        """Normalized, (n,)."""
        return np.exp(self.log_w - logsumexp(self.log_w))

    @property
    def effective(self):
        """Effective sample size, 1 / sum of squared weights."""
        return 1 / np.sum(self.weights**2)

    def update(self, X, log_factors, resample_below=0.5):
        """The particles after their weights are multiplied, (n, ...).

        Raises InputError where a weight is not a number or all are 0.
        """
        self.log_w = self.log_w + np.asarray(log_factors, dtype=np.float64)
        if np.isnan(self.log_w).any() or not self.log_w.max() < np.inf:
            raise InputError(
                "log r: it is not a finite number at a particle; accepted: an r that is above 0 everywhere"
            )
        if self.log_w.max() == -np.inf:
            raise InputError("log r: r is 0 at every particle; take more particles, or an r that is above 0")
        self.history.append(self.effective)
        return self.resampled(X) if self.history[-1] < resample_below * self.n else X

    def resampled(self, X, n=None):
        """n particles, as many as there are unless given, in proportion to their weights, which all become 1."""
        chosen = systematic(self.weights, self.rng.random(), n)
        self.log_Z += logsumexp(self.log_w) - np.log(self.n)
        self.n, self.log_w, self.ancestors = len(chosen), np.zeros(len(chosen)), self.ancestors[chosen]
        self.resamplings += 1
        return X[chosen]

    def log_Z_error(self):
        """Standard error of log Z from the weight shared by each first ancestor (Lee and Whiteley 2018, Eq. 4)."""
        shares = np.bincount(self.ancestors, self.weights, minlength=self.n)
        correction = (self.n / (self.n - 1)) ** (self.resamplings + 1)
        return float(np.sqrt(max(0.0, 1 - correction * (1 - np.sum(shares**2)))))
