"""Standard errors of means."""

import numpy as np
import pytest
from scipy import stats

from dpm.base.noise import stratified_times
from dpm.likelihood.standard_errors import estimate, stratified_error


def test_stratified_error_is_the_spread_of_the_mean():
    """Values that depend strongly on time, plus noise: the error is the true spread of the mean within 10 %, while the
    formula for independent values would be several times too large."""
    rng = np.random.default_rng(0)
    means, errors, naive = [], [], []
    for _ in range(1500):
        t = stratified_times(rng, 200, 1000)
        values = 5 * np.cos(t / 300) + 0.5 * rng.standard_normal(200)
        means.append(values.mean())
        errors.append(stratified_error(values, t))
        naive.append(stats.sem(values))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)
    assert np.mean(naive) > 3 * np.std(means)


def test_error_of_independent_values_equals_scipys():
    values = np.random.default_rng(0).standard_normal(50)
    assert estimate(values) == pytest.approx((values.mean(), stats.sem(values)), rel=1e-12)


def test_one_value_has_no_error():
    """The error of a single number is NaN, without a warning."""
    value, error = estimate(np.array([2.0]))
    assert value == 2.0
    assert np.isnan(error)
