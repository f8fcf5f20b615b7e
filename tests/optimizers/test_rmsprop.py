"""Test RMSProp of the 2015 code: closed forms, gradients that are not finite, and the learning rate."""

import numpy as np
import pytest

from dpm.optimizers import RMSProp, decay_learning_rate, remove_not_finite


def test_first_step_in_closed_form():
    """Gradient 1, rate 1e-3, decay 0.9, no bias correction: -1e-3 / sqrt(0.1) = -0.0031623."""
    step = RMSProp(1, "float64").step(np.zeros(1), np.ones(1), 1e-3)
    assert step[0] == pytest.approx(-0.0031623, abs=1e-7)


def test_two_steps_in_closed_form_and_arguments_are_not_modified():
    rule, theta = RMSProp(2, "float64"), np.array([1.0, -1.0])
    g1, g2 = np.array([2.0, 0.5]), np.array([-1.0, 4.0])
    m1 = 0.1 * g1**2
    m2 = 0.9 * m1 + 0.1 * g2**2
    expected = theta - 0.01 * g1 / np.sqrt(m1) - 0.01 * g2 / np.sqrt(m2)
    once = rule.step(theta, g1, 0.01)
    np.testing.assert_allclose(rule.step(once, g2, 0.01), expected, rtol=1e-14)
    np.testing.assert_array_equal(theta, [1.0, -1.0])
    np.testing.assert_array_equal(g1, [2.0, 0.5])


def test_the_scale_of_a_step_is_limited():
    """With g = 1e-12 the root mean square counts as 1e-10, so the step is 1e-3 * 1e-12 / 1e-10."""
    step = RMSProp(1, "float64").step(np.zeros(1), np.full(1, 1e-12), 1e-3)
    assert step[0] == pytest.approx(-1e-5, rel=1e-12)


def test_a_zero_gradient_makes_no_step_and_float32_stays_float32():
    rule = RMSProp(3, "float32")
    theta = rule.step(np.ones(3, "float32"), np.zeros(3, "float32"), 1e-3)
    np.testing.assert_array_equal(theta, 1)
    assert theta.dtype == rule.mean_square.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20])
def test_a_step_that_is_not_finite_is_skipped_and_counted(bad):
    """In float32 the square of 1e20 overflows: without the check the element would never move again."""
    rule, theta = RMSProp(2, "float32"), np.array([1, 2], dtype="float32")
    theta = rule.step(theta, np.array([1, 1], dtype="float32"), 1e-3)
    before = rule.mean_square.copy()
    after = rule.step(theta, np.array([1, bad], dtype="float32"), 1e-3)
    np.testing.assert_array_equal(after, theta)
    assert after is not theta
    np.testing.assert_array_equal(rule.mean_square, before)
    assert rule.skipped_steps == 1
    moved = rule.step(after, np.array([1, 1], dtype="float32"), 1e-3)
    assert (moved < after).all()


def test_the_released_rule_stops_one_parameter_and_decays_its_mean_square():
    """RemoveNotFinite before RMSProp: the bad gradient counts as 0, its mean square decays, the other one moves."""
    blocks = [slice(0, 2), slice(2, 3)]
    rule = RMSProp(3, "float64", blocks=blocks)
    theta = rule.step(np.zeros(3), np.ones(3), 0.1)
    after = rule.step(theta, np.array([1.0, np.nan, 1.0]), 0.1)
    np.testing.assert_array_equal(after[:2], theta[:2])
    assert after[2] < theta[2]
    np.testing.assert_allclose(rule.mean_square, [0.09, 0.09, 0.19], rtol=1e-14)
    assert rule.skipped_steps == 1


def test_the_released_rule_stops_forever_after_an_overflow_in_float32():
    """A known fault of the released rule, kept by the released variant: 1e20 squared is infinite in float32."""
    rule = RMSProp(1, "float32", blocks=[slice(0, 1)])
    theta = rule.step(np.zeros(1, "float32"), np.full(1, 1e20, "float32"), 1e-3)
    assert np.isinf(rule.mean_square[0])
    again = rule.step(theta, np.ones(1, "float32"), 1e-3)
    np.testing.assert_array_equal(again, theta)


def test_remove_not_finite_does_not_modify_its_argument():
    gradient = np.array([1.0, np.inf, 3.0])
    cleaned, removed = remove_not_finite(gradient, [slice(0, 1), slice(1, 3)])
    np.testing.assert_array_equal(cleaned, [1, 0, 0])
    assert removed == 1
    assert np.isinf(gradient[1])


def test_a_restored_state_continues_bit_exactly():
    rng = np.random.default_rng(0)
    rule, theta = RMSProp(5, "float32"), np.zeros(5, "float32")
    gradients = rng.normal(size=(6, 5)).astype("float32")
    for g in gradients[:3]:
        theta = rule.step(theta, g, 1e-2)
    other = RMSProp(5, "float32")
    other.load_state({k: v.copy() for k, v in rule.state().items()})
    resumed = theta.copy()
    for g in gradients[3:]:
        theta, resumed = rule.step(theta, g, 1e-2), other.step(resumed, g, 1e-2)
    np.testing.assert_array_equal(theta, resumed)


def test_the_learning_rate_follows_the_released_schedule():
    """10^(-1/1000) every 500 steps: 0.0009954055 after two, as in the checkpoint of 2015; at least 1e-4."""
    assert decay_learning_rate(1e-3, 499) == 1e-3
    assert decay_learning_rate(1e-3, 1000) == pytest.approx(0.0009954055, rel=1e-6)
    assert decay_learning_rate(1e-3, 500_000) == pytest.approx(1e-4, rel=1e-12)
    assert decay_learning_rate(1e-3, 10**7) == 1e-4
    assert decay_learning_rate(1e-5, 10**7, floor=1e-5) == 1e-5
    assert [decay_learning_rate(1e-5, step) for step in (499, 500)] == [1e-5, 1e-4]
