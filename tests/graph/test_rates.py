"""Schedule and temporal basis of the released code, in closed form."""

import numpy as np
import pytest

from dpm.graph import rates as schedule
from tests.helpers.graphs import constant, value


@pytest.mark.parametrize("T", [2, 3, 10, 1000])
def test_unperturbed_schedule_is_one_over_linspace(T):
    """beta_t = 1/linspace(T, 2, T) squeezed between 1e-6 (plus step1_beta at t = 1) and 1 - 1e-5 (golden fact 7)."""
    basis = schedule.generate_temporal_basis(T, 4)
    np.testing.assert_allclose(basis.sum(axis=0), 1, rtol=1e-14)
    beta = value(schedule.generate_beta_arr(constant(np.zeros(4)), basis, 0.002))
    smallest = np.full(T, 1e-6)
    smallest[0] += 0.002
    expected = smallest + (1 - smallest - 1e-5) / np.linspace(T, 2, T)
    np.testing.assert_allclose(beta, expected, rtol=1e-12)
    cumulative = value(schedule.cumulative_beta(constant(expected)))
    np.testing.assert_allclose(cumulative[1:], 1 - np.cumprod(1 - expected), rtol=1e-10)
    assert cumulative[0] == 0


def test_time_weights_interpolate():
    """A whole time picks its own entry of an array over 1..T; 2.25 takes 3/4 of t = 2 and 1/4 of t = 3."""
    weights = value(schedule.get_t_weights(constant([1.0, 2.25, 5.0]), 5))
    np.testing.assert_array_equal(weights, [[1, 0, 0, 0, 0], [0, 0.75, 0.25, 0, 0], [0, 0, 0, 0, 1]])


def test_bumps_are_those_of_equation_64():
    """g_j(t) = exp(-(t - tau_j)^2 / 2 w^2) over their sum, w half the distance of the centers as released."""
    basis = schedule.generate_temporal_basis(7, 3)
    time, centers = np.arange(7.0), np.array([0.0, 3.0, 6.0])
    bumps = np.exp(-((time - centers[:, None]) ** 2) / (2 * 1.5**2))
    np.testing.assert_allclose(basis, bumps / bumps.sum(axis=0), rtol=1e-12)


def test_rates_stay_in_range_for_large_coefficients():
    """0 < beta < 1 whatever the perturbation is, also in float32."""
    basis = schedule.generate_temporal_basis(20, 4)
    for sign in (-1, 1):
        beta = value(schedule.generate_beta_arr(constant(sign * np.full(4, 1e4)), basis, 0.001))
        assert ((beta > 0) & (beta < 1)).all()
