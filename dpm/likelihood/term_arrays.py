"""The terms of K (Eq. 14) of examples as arrays: their sums, errors and means over t."""

from typing import NamedTuple

import numpy as np

from dpm.likelihood.standard_errors import estimate

LOCAL = 10  # examples of like times whose mean is subtracted


class TermMeans(NamedTuple):
    """Means of KL_t over bins of t, in nats per example, each (bins,).

    Attributes:
        first, last: first and last t of each bin.
        mean: mean over the bin's t and over examples; times the number of t in each bin they add up to the sum of KL_t.
        error: standard error of the mean.
        draws: number of draws; a mean of no draw and an error of fewer than two are NaN.
    """

    first: np.ndarray
    last: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    draws: np.ndarray


class Terms(NamedTuple):
    """Parts of K (Eq. 14) of n examples, in nats per example.

    Eq. 14 has H_p in place of means of -log pi(x_t) (Eq. 42). This is correct for the mean over data with the prior's
    mean and variance: K is a bound for such data together, not for each example.

    Attributes:
        times: times t at which each example was evaluated, (n, k), in ascending order.
        kl: D_KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) at these times, from one draw of x_t each, (n, k).
        weights: times each of these terms counts in the sum over t = 2..T, (n, k): 1 where an example has every t,
            1 / (k p(t)) where k times were drawn from p. The expectation is the sum, whatever p is.
        forward_T: H_q(X_T | X_0), (n,).
        forward_1: H_q(X_1 | X_0), (n,).
        prior: H_p(X_T), (n,).
        T: trajectory length.
    """

    times: np.ndarray
    kl: np.ndarray
    weights: np.ndarray
    forward_T: np.ndarray
    forward_1: np.ndarray
    prior: np.ndarray
    T: int

    @property
    def sum_kl(self) -> np.ndarray:
        """The sum over t = 2..T of KL_t of each example, or its unbiased estimate from k times, (n,)."""
        total: np.ndarray = (self.weights * self.kl).sum(axis=1, dtype=np.float64)
        return total

    @property
    def K(self) -> np.ndarray:
        """K = -sum over t = 2..T of KL_t + H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T), shape (n,)."""
        return -self.sum_kl + self.forward_T - self.forward_1 - self.prior

    @property
    def L_null(self) -> np.ndarray:
        """Log likelihood under pi of data with its mean and variance, -H_p(X_T), shape (n,)."""
        return -self.prior

    @property
    def error(self) -> float:
        """Standard error of the mean of K over all data, from the spread over examples; NaN for a single example."""
        return estimate(self.K).standard_error

    @property
    def draws_error(self) -> float:
        """Part of `error` due to the draws of t and x_t: the standard error of the mean of K over these very examples.

        Next to the mean over examples of like t, neighboring terms of an example differ by noise only, so half the mean
        square of their differences is the variance of a term (the successive-difference estimator, von Neumann 1941).
        The last and the first term count as neighbors, so that each term occurs twice. NaN for a single example or a
        single time.
        """
        n, k = self.kl.shape
        if n < 2 or k < 2:
            return float("nan")
        values = subtract_local_mean(self.times, self.weights * self.kl.astype(np.float64))
        squares = (np.diff(values, axis=1) ** 2).sum() + ((values[:, 0] - values[:, -1]) ** 2).sum()
        return float(np.sqrt(squares / 2) / n)

    def by_time(self, edges: np.ndarray | None = None) -> TermMeans:
        """Return the mean of KL_t over bins of t: each t, or bins that begin at `edges`, (bins + 1,), up to T."""
        edges = np.arange(2, self.T + 2) if edges is None else edges
        n_bins, index = len(edges) - 1, np.searchsorted(edges, self.times.ravel(), side="right") - 1
        values = (self.weights * self.kl).ravel().astype(np.float64)
        count = np.bincount(index, minlength=n_bins)
        total = np.bincount(index, values, n_bins)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.bincount(index, (values - (total / count)[index]) ** 2, n_bins) / (count - 1)
            size = len(self.kl) * np.diff(edges) * np.where(count > 0, 1, np.nan)
            return TermMeans(edges[:-1], edges[1:] - 1, total / size, np.sqrt(spread * count) / size, count)


def subtract_local_mean(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Subtract from values (n, k) their mean over examples of like times (n, k): some LOCAL of each column's in order.

    The result is scaled up so that independent values keep their variance.
    """
    n = len(values)
    order = np.argsort(times, axis=0, kind="stable")
    rest = np.take_along_axis(values, order, axis=0)
    for part in np.array_split(np.arange(n), max(1, n // LOCAL)):
        rest[part] -= rest[part].mean(axis=0)
        rest[part] *= np.sqrt(len(part) / (len(part) - 1))
    result = np.empty_like(values)
    np.put_along_axis(result, order, rest, axis=0)
    return result
