"""Means with their standard errors."""

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """Mean with its standard error, which is NaN if it cannot be estimated."""

    value: float
    standard_error: float


def estimate(values: np.ndarray) -> Estimate:
    """Return mean and standard error of independent values, (n,); the error of a single value is NaN."""
    n = len(values)
    error = float(np.std(values, ddof=1) / n**0.5) if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), error)
