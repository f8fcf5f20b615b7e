"""K on a data set: every picture once, in any batches, with an honest error."""

import numpy as np
import pytest
from scipy import stats

from dpm.base.noise import stratified_times
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.likelihood import estimates as likelihood
from dpm.model import DiffusionModel

ARGUMENTS = {
    "spatial_width": 4,
    "n_colors": 1,
    "trajectory_length": 12,
    "n_temporal_basis": 2,
    "n_hidden_conv": 2,
    "n_layers_conv": 1,
    "n_hidden_dense_lower": 0,
    "n_hidden_dense_upper": 3,
}


@pytest.fixture(scope="module")
def compiled():
    engine = Engine("auto", "float64")
    with engine:
        return CompiledModel(DiffusionModel(**ARGUMENTS), engine)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((23, 1, 4, 4))


def test_batches_do_not_matter_and_the_last_partial_one_counts(compiled, X):
    theta = 0.3 * np.random.default_rng(1).standard_normal(compiled.layout.size)
    whole = likelihood.example_costs(compiled, theta, X, 0, 23)
    assert whole.shape == (23,)
    np.testing.assert_allclose(likelihood.example_costs(compiled, theta, X, 0, 10), whole, rtol=1e-12)


def test_the_estimate_is_the_mean_over_pictures_and_draws(compiled, X):
    theta = 0.3 * np.random.default_rng(1).standard_normal(compiled.layout.size)
    costs = [likelihood.example_costs(compiled, theta, X, 0, 23, draw) for draw in range(3)]
    estimate = likelihood.K_minus_L_null(compiled, theta, X, 0, 23, draws=3)
    assert estimate.value == pytest.approx(-np.mean(costs), rel=1e-12)
    assert 0 < estimate.standard_error < 3 * stats.sem(costs[0])


def test_the_error_of_stratified_times_is_the_spread_of_the_mean():
    """Values that depend strongly on time, plus noise: the error is what the mean really varies by, to 10 %, while
    the formula for independent values would be several times too large."""
    rng = np.random.default_rng(0)
    means, errors, naive = [], [], []
    for _ in range(1500):
        t = stratified_times(rng, 200, 1000)
        values = 5 * np.cos(t / 300) + 0.5 * rng.standard_normal(200)
        means.append(values.mean())
        errors.append(likelihood.stratified_error(values, t))
        naive.append(stats.sem(values))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)
    assert np.mean(naive) > 3 * np.std(means)


def test_independent_values_have_scipys_error():
    values = np.random.default_rng(0).standard_normal(50)
    assert likelihood.estimate(values) == pytest.approx((values.mean(), stats.sem(values)), rel=1e-12)


def test_one_value_has_no_error():
    """One number cannot have a standard error: NaN by name, without a warning."""
    estimate = likelihood.estimate(np.array([2.0]))
    assert estimate.value == 2.0
    assert np.isnan(estimate.standard_error)


def test_L_null_is_the_entropy_of_the_unit_gaussian(compiled):
    """-0.5 log2(2 pi e) = -2.047 bits for each element of a pixel."""
    expected = -stats.norm.entropy() / np.log(2)
    assert likelihood.L_null(compiled.model) == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(-2.047, abs=1e-3)


def test_released_estimator_averages_minibatches_of_one_time(compiled, X):
    theta = np.zeros(compiled.layout.size)
    estimates = list(likelihood.reference_likelihood(compiled, theta, X, 0, 23, 40))
    assert len(estimates) == 40
    assert np.isnan(estimates[0].standard_error)
    # T - 1 = 11 times: the spread between minibatches is that between times, far above that within one.
    assert estimates[-1].standard_error > 0
