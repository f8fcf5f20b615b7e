"""Schedules beta_1..beta_T (section 2.4.1): closed forms of the released one, shares of signal, limits, refusals."""

import numpy as np
import pytensor
import pytest

from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.graph import schedules
from tests.helpers.graphs import constant, set_values, value


def beta_of(brick, values, dtype="float64"):
    """Return the rates of the schedule and the derivative of their sum at the parameters `values`."""
    ((path, parameter),) = brick.parameters().items()
    set_values(brick, {path: np.asarray(values, dtype)})
    beta = brick.beta_arr()
    slope = pytensor.grad(beta.sum(), parameter.variable)
    return pytensor.function([], [beta, slope], mode="FAST_COMPILE")()


@pytest.mark.parametrize("T", [2, 3, 10, 1000])
def test_unperturbed_schedule_is_one_over_linspace(T):
    """beta_t = 1/linspace(T, 2, T) squeezed between 1e-6 (plus step1_beta at t = 1) and 1 - 1e-5 (golden fact 7)."""
    basis = schedules.generate_temporal_basis(T, 4)
    np.testing.assert_allclose(basis.sum(axis=0), 1, rtol=1e-14)
    beta = value(schedules.generate_beta_arr(constant(np.zeros(4)), basis, 0.002))
    smallest = np.full(T, 1e-6)
    smallest[0] += 0.002
    expected = smallest + (1 - smallest - 1e-5) / np.linspace(T, 2, T)
    np.testing.assert_allclose(beta, expected, rtol=1e-12)
    cumulative = value(schedules.cumulative_beta(constant(expected)))
    np.testing.assert_allclose(cumulative[1:], 1 - np.cumprod(1 - expected), rtol=1e-10)
    assert cumulative[0] == 0


def test_time_weights_interpolate():
    """A whole time selects its entry of an array over 1..T; 2.25 takes 3/4 of t = 2 and 1/4 of t = 3."""
    weights = value(schedules.get_t_weights(constant([1.0, 2.25, 5.0]), 5))
    np.testing.assert_array_equal(weights, [[1, 0, 0, 0, 0], [0, 0.75, 0.25, 0, 0], [0, 0, 0, 0, 1]])


def test_bumps_are_those_of_equation_64():
    """g_j(t) = exp(-(t - tau_j)^2 / 2 w^2) over their sum, with w half the spacing of the centers as released."""
    basis = schedules.generate_temporal_basis(7, 3)
    time, centers = np.arange(7.0), np.array([0.0, 3.0, 6.0])
    bumps = np.exp(-((time - centers[:, None]) ** 2) / (2 * 1.5**2))
    np.testing.assert_allclose(basis, bumps / bumps.sum(axis=0), rtol=1e-12)


def test_rates_stay_in_range_for_large_coefficients():
    """0 < beta < 1 whatever the perturbation is, also in float32."""
    basis = schedules.generate_temporal_basis(20, 4)
    for sign in (-1, 1):
        beta = value(schedules.generate_beta_arr(constant(sign * np.full(4, 1e4)), basis, 0.001))
        assert ((beta > 0) & (beta < 1)).all()


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


def test_even_log_snr_is_even_with_the_given_ends():
    """log SNR_t = log(alpha_bar_t / (1 - alpha_bar_t)) from (1 - beta_1) / beta_1 to SNR_T in equal steps."""
    beta = schedules.even_log_snr(40, 1e-8, 1e-3)
    log_alpha_bar = np.cumsum(np.log1p(-beta))
    log_snr = log_alpha_bar - np.log(-np.expm1(log_alpha_bar))
    assert beta[0] == pytest.approx(1e-8, rel=1e-12)
    np.testing.assert_allclose(log_snr, np.linspace(np.log(1e8 - 1), np.log(1e-3), 40), rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0.1, 0.1), r"^T=1: "),
        ((5, 0, 0.1), r"^beta_1=0: "),
        ((5, 0.1, 9.0), r"^final_snr=9\.0: must be above 0 and below SNR_1 of .* 9$"),
    ],
)
def test_even_log_snr_names_what_it_does_not_accept(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        schedules.even_log_snr(*arguments)
    assert "\n" not in str(error.value)


NAMES = schedules.NAMES[1:]  # "released" belongs to DiffusionModel


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("beta_1", [None, 1e-6, 0.3])
@pytest.mark.parametrize("T", [2, 1000])
def test_a_schedule_by_name_has_the_first_rate_that_is_asked_for(name, beta_1, T):
    """All rates are between 0 and 1; without beta_1 the first one is that of the form."""
    with Engine("auto", "float64"):
        brick = schedules.build_schedule(name, T, beta_1, step1_beta=0.002, n_basis=4)
        set_values(brick)
        beta = value(brick.beta_arr())
    assert beta.shape == (T,) == (brick.trajectory_length,)
    assert ((beta > 0) & (beta < 1)).all()
    released = 1e-6 + 0.002 + (1 - 1e-6 - 0.002 - 1e-5) / T
    own = {"linear": 1e-4, "cosine": schedules.cosine(T)[0]}.get(name, released)
    assert beta[0] == pytest.approx(own if beta_1 is None else beta_1, rel=1e-12)


@pytest.mark.parametrize("name", ["released-learned", "free"])
def test_learned_schedules_start_at_the_released_rates(name):
    basis = schedules.generate_temporal_basis(30, 4)
    expected = value(schedules.generate_beta_arr(constant(np.zeros(4)), basis, 0.001))
    for beta_1 in (None, 1e-5):
        with Engine("auto", "float64"):
            brick = schedules.build_schedule(name, 30, beta_1, n_basis=4)
            set_values(brick)
            beta = value(brick.beta_arr())
        np.testing.assert_allclose(beta[1:], expected[1:], rtol=1e-12)
        assert beta[0] == pytest.approx(expected[0] if beta_1 is None else 1e-5, rel=1e-12)


def test_the_linear_schedule_by_name_leaves_as_little_signal_at_any_length():
    """At T = 1,000 it is that of Ho et al., from 1e-4 to 0.02; sum beta_t is about 10 at every T from 100 on."""
    np.testing.assert_allclose(schedules.build_schedule("linear", 1000).beta, schedules.linear(1000), rtol=1e-12)
    for T in (100, 300, 4000):
        assert schedules.build_schedule("linear", T).beta.sum() == pytest.approx(10, rel=0.03)


def test_a_given_first_rate_of_the_released_form_is_not_learned():
    with Engine("auto", "float64"):
        free, fixed = (schedules.BasisSchedule(20, 4, 0.0, beta_1) for beta_1 in (None, 1e-5))
        learned = [beta_of(brick, [0.5, -0.3, 0.2, 0.1])[0] for brick in (free, fixed)]
    assert learned[1][0] == 1e-5
    np.testing.assert_array_equal(learned[0][1:], learned[1][1:])


@pytest.mark.parametrize("name", schedules.FIXED)
@pytest.mark.parametrize("T", [2, 3, 10, 400])
def test_every_fixed_schedule_is_accepted(name, T):
    beta = schedules.FIXED[name](T, *([0.1] if name == "constant" else []))
    assert schedules.FixedSchedule(beta).trajectory_length == T


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_free_schedule_begins_at_its_start_and_stays_in_range(dtype):
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
def test_an_array_that_is_not_a_schedule_is_refused(beta, named):
    for brick in (schedules.FixedSchedule, schedules.FreeSchedule):
        with pytest.raises(InputError) as error:
            brick(np.array(beta))
        assert named in str(error.value)


def test_the_released_form_needs_two_steps_and_two_bumps():
    for arguments in ((1, 10), (10, 1)):
        with pytest.raises(InputError, match="2 or more"):
            schedules.BasisSchedule(*arguments)
