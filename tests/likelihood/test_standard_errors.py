"""Standard errors of means."""

import numpy as np
import pytest
from scipy import stats

from dpm.likelihood.standard_errors import estimate


def test_error_of_independent_values_equals_scipys():
    values = np.random.default_rng(0).standard_normal(50)
    assert estimate(values) == pytest.approx((values.mean(), stats.sem(values)), rel=1e-12)


def test_one_value_has_no_error():
    """The error of a single number is NaN, without a warning."""
    value, error = estimate(np.array([2.0]))
    assert value == 2.0
    assert np.isnan(error)
