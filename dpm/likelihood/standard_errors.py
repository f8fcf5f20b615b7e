"""Means with their standard errors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Estimate(NamedTuple):
    """Mean with its standard error, which is NaN if it cannot be estimated."""

    value: float
    standard_error: float


def estimate(values: np.ndarray) -> Estimate:
    """Return mean and standard error of independent values, (n,); the error of a single value is NaN."""
    n = len(values)
    error = float(np.std(values, ddof=1) / n**0.5) if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), error)


def stratified_error(values: ArrayLike, times: np.ndarray) -> float:
    """Return the standard error of the mean of values, (n,), whose times are spread evenly; NaN for a single value.

    Values at neighboring times differ by noise only, so the mean square of their differences is twice the variance
    within a stratum (the successive-difference estimator, von Neumann 1941).
    """
    values = np.asarray(values)
    if len(values) < 2:
        return float("nan")
    differences = np.diff(values[np.argsort(times, kind="stable")])
    return float(np.sqrt(np.mean(differences**2) / 2 / len(values)))
