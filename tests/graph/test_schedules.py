"""Schedules beta_1..beta_T (section 2.4.1): their shares of signal, their limits, and that learned ones stay inside."""

import numpy as np
import pytensor
import pytest

from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.graph import schedules


def beta_of(brick, values, dtype="float64"):
    """The schedule's rates and the derivative of their sum, for the given parameters."""
    (parameter,) = brick.parameters().values()
    variable = parameter.variable
    beta = brick.beta_arr()
    function = pytensor.function([variable], [beta, pytensor.grad(beta.sum(), variable)], mode="FAST_COMPILE")
    return function(np.asarray(values, dtype))


@pytest.mark.parametrize("T", [2, 3, 10, 2000])
def test_an_equal_share_of_signal_is_erased_at_each_step(T):
    """beta_t = 1 / (T - t + 1) leaves alpha_bar_t = (T - t) / T (2.4.1), nothing at T."""
    alpha_bar = np.cumprod(1 - schedules.erase_equally(T))
    np.testing.assert_allclose(alpha_bar, 1 - np.arange(1, T + 1) / T, rtol=1e-10, atol=1e-15)


def test_fixed_schedules_are_their_formulas():
    np.testing.assert_allclose(schedules.released(4), [1 / 4, 3 / 10, 3 / 8, 1 / 2], rtol=1e-15)
    np.testing.assert_array_equal(schedules.constant(3, 0.1), [0.1, 0.1, 0.1])
    linear = schedules.linear(1000)
    assert (linear[0], linear[-1]) == (1e-4, 0.02)
    assert np.ptp(np.diff(linear)) < 1e-15
    cosine, T, s = schedules.cosine(50), 50, 0.008
    t = np.arange(1, T)
    f = np.cos((t / T + s) / (1 + s) * np.pi / 2) ** 2 / np.cos(s / (1 + s) * np.pi / 2) ** 2
    np.testing.assert_allclose(np.cumprod(1 - cosine)[:-1], f, rtol=1e-12)
    assert cosine[-1] == 0.999


@pytest.mark.parametrize("name", schedules.FIXED)
@pytest.mark.parametrize("T", [2, 3, 10, 400])
def test_every_fixed_schedule_is_accepted(name, T):
    beta = schedules.FIXED[name](T, *([0.1] if name == "constant" else []))
    assert schedules.FixedSchedule(beta).trajectory_length == T


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_free_schedule_starts_where_it_is_told_and_stays_inside(dtype):
    """0 < beta < 1 for any parameters, with a finite derivative; beta_1 does not move (2.4.1)."""
    start = np.array([1e-3, 1e-5, 0.3, 0.5, 0.99])
    with Engine("auto", dtype):
        brick = schedules.FreeSchedule(start)
        np.testing.assert_allclose(beta_of(brick, np.zeros(4), dtype)[0], start, rtol=1e-5)
        for extreme in (1e4, -1e4):
            beta, slope = beta_of(brick, np.full(4, extreme), dtype)
            assert np.all((beta > 0) & (beta < 1))
            assert np.isfinite(slope).all()
            assert beta[0] == np.asarray(1e-3, dtype)


def test_the_released_form_is_the_baseline_at_zero():
    with Engine("auto", "float64"):
        beta, _ = beta_of(schedules.BasisSchedule(40, 5, 0.0), np.zeros(5))
    np.testing.assert_allclose(beta, schedules.released(40), rtol=1e-4)


@pytest.mark.parametrize(
    ("beta", "named"),
    [
        ([0.1], "shape (1,)"),
        ([[0.1, 0.2]], "shape (1, 2)"),
        ([0.1, 0.0], "beta_2 = 0.0"),
        ([1.0, 0.5], "beta_1 = 1.0"),
        ([0.1, 1.5], "beta_2 = 1.5"),
        ([0.1, np.nan], "beta_2 = nan"),
    ],
)
def test_what_is_no_schedule_is_refused(beta, named):
    for brick in (schedules.FixedSchedule, schedules.FreeSchedule):
        with pytest.raises(InputError) as error:
            brick(np.array(beta))
        assert named in str(error.value)


def test_the_released_form_needs_two_steps_and_two_bumps():
    for arguments in ((1, 10), (10, 1)):
        with pytest.raises(InputError, match="2 or more"):
            schedules.BasisSchedule(*arguments)
