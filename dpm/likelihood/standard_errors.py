"""Means with their standard errors."""

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A mean in bits a pixel and its standard error (NaN where one number cannot have one)."""

    value: float
    standard_error: float


def estimate(values):
    """Mean and standard error of independent values."""
    n = len(values)
    error = float(np.std(values, ddof=1) / n**0.5) if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), error)


def stratified_error(values, times):
    """Standard error of the mean of values whose times are spread evenly: NaN for a single one.

    Values at neighboring times differ by chance alone, so the mean square of their differences is twice the
    variance that is left within a stratum (the successive-difference estimator, von Neumann 1941).
    """
    if len(values) < 2:
        return float("nan")
    differences = np.diff(np.asarray(values)[np.argsort(times, kind="stable")])
    return float(np.sqrt(np.mean(differences**2) / 2 / len(values)))
