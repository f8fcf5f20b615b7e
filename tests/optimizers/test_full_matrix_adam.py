"""Test Adam with a full matrix against Adam, and under rotations."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from dpm.optimizers import Adam, FullMatrixAdam, full_matrix_adam


def test_one_parameter_is_trained_as_by_adam(monkeypatch):
    """The root of a 1 x 1 matrix is a number: without damping both rules are one."""
    monkeypatch.setattr(full_matrix_adam, "EVERY", 1)
    rng = np.random.default_rng(0)
    ours = FullMatrixAdam(np.arange(1), b2=0.999, damping=0, warmup=0, limit=np.inf)
    adam = Adam(1, "float64", epsilon=0)
    a = b = np.ones(1)
    for _ in range(20):
        g = rng.standard_normal(1)
        a, b = ours.step(a, g, 0.1), adam.step(b, g, 0.1)
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_steps_turn_with_the_coordinates():
    """With theta = Q theta', the gradient is Q g' and V is Q V' Q'; so each step is Q times the step of theta'."""
    rng = np.random.default_rng(0)
    Q = ortho_group.rvs(4, random_state=0)
    here, there = (FullMatrixAdam(np.arange(4), warmup=5, limit=np.inf) for _ in range(2))
    a = np.ones(4)
    b = Q @ a
    for _ in range(30):
        g = rng.standard_normal(4) * [1, 10, 100, 1000]
        a, b = here.step(a, g, 0.1), there.step(b, Q @ g, 0.1)
    np.testing.assert_allclose(b, Q @ a, rtol=1e-6)


def test_places_that_are_not_active_stay():
    rule, theta = FullMatrixAdam(np.array([0, 2]), warmup=0), np.ones(3)
    moved = rule.step(theta, np.array([1.0, np.nan, -1.0]), 0.1)
    assert moved[1] == 1
    assert moved[0] < 1 < moved[2]
    np.testing.assert_array_equal(theta, 1)


def test_first_steps_wait_and_no_step_exceeds_the_limit():
    rule, theta = FullMatrixAdam(np.arange(2), warmup=3, limit=0.05), np.zeros(2)
    for _ in range(3):
        theta = rule.step(theta, np.array([1.0, -2.0]), 10.0)
        np.testing.assert_array_equal(theta, 0)
    assert np.abs(rule.step(theta, np.array([1.0, -2.0]), 10.0)).max() == pytest.approx(0.05)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_a_step_that_is_not_finite_is_skipped_and_counted(bad):
    rule = FullMatrixAdam(np.arange(2), warmup=0)
    theta = rule.step(np.ones(2), np.array([1, bad]), 0.1)
    np.testing.assert_array_equal(theta, 1)
    assert (rule.skipped_steps, rule.steps) == (1, 0)
    assert np.isfinite(rule.step(theta, np.ones(2), 0.1)).all()


def test_a_restored_state_continues_exactly():
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((14, 3))
    whole, first, second = (FullMatrixAdam(np.arange(3), warmup=2) for _ in range(3))
    a = b = np.zeros(3)
    for g in gradients:
        a = whole.step(a, g, 0.1)
    for g in gradients[:7]:
        b = first.step(b, g, 0.1)
    second.load_state(first.state())
    for g in gradients[7:]:
        b = second.step(b, g, 0.1)
    np.testing.assert_array_equal(a, b)
