"""Test Adam against closed forms and against the Adam of JAX."""

import numpy as np
import pytest

from dpm.optimizers.adam import Adam


def test_the_first_step_is_the_learning_rate_times_the_sign_of_the_gradient():
    """With bias correction m / sqrt(v) of one gradient is its sign (Kingma and Ba 2015, section 2.1)."""
    adam = Adam(3, "float64")
    theta = adam.step(np.zeros(3), np.array([1e-3, -5.0, 0.0]), 0.1)
    np.testing.assert_allclose(theta, [-0.1, 0.1, 0], rtol=1e-4)


def test_steps_equal_the_adam_of_jax():
    optimizers = pytest.importorskip("jax.example_libraries.optimizers")
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        start, update, get = optimizers.adam(0.01)
        theta = rng.standard_normal(5)
        state, ours = start(theta), Adam(5, "float64")
        for step in range(20):
            gradient = rng.standard_normal(5) * 10.0 ** rng.integers(-3, 3)
            state = update(step, gradient, state)
            theta = ours.step(theta, gradient, 0.01)
        np.testing.assert_allclose(theta, np.asarray(get(state)), rtol=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_step_that_is_not_finite_is_skipped_and_counted(bad):
    adam = Adam(2)
    theta = adam.step(np.ones(2, "float32"), np.array([1, bad], "float32"), 0.1)
    np.testing.assert_array_equal(theta, [1, 1])
    assert (adam.skipped_steps, adam.steps, theta.dtype) == (1, 0, np.float32)
    assert np.isfinite(adam.step(theta, np.ones(2, "float32"), 0.1)).all()


def test_a_restored_state_continues_exactly():
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((6, 4)).astype("float32")
    whole, first, second = Adam(4), Adam(4), Adam(4)
    a = b = np.zeros(4, "float32")
    for g in gradients:
        a = whole.step(a, g, 0.1)
    for g in gradients[:3]:
        b = first.step(b, g, 0.1)
    second.load_state(first.state())
    for g in gradients[3:]:
        b = second.step(b, g, 0.1)
    np.testing.assert_array_equal(a, b)


def clipped_steps(gradients, c, b2=0.999):
    """Return each gradient as its definition scales it, with v as a mean of squares by hand."""
    v, found = 0.0, []
    for k, g in enumerate(gradients):
        typical = np.sqrt(np.sum(v) / (1 - b2**k)) if k else np.inf
        found.append(g * min(1.0, c * typical / np.linalg.norm(g)))
        v = b2 * v + (1 - b2) * found[-1] ** 2
    return found


def test_long_gradients_are_scaled_to_a_multiple_of_the_norms_so_far():
    """Clipping by the norm (Pascanu et al. 2013, section 3.2), with c times the root mean square of earlier norms."""
    rng = np.random.default_rng(0)
    gradients = [rng.standard_normal(30) * factor for factor in (1, 1, 50, 1, 1e-3, 1, 1e6, 1)]
    clipped = clipped_steps(gradients, 2.0)
    lengths = [np.linalg.norm(after) / np.linalg.norm(before) for after, before in zip(clipped, gradients, strict=True)]
    assert [length < 1 for length in lengths] == [False, False, True, False, False, False, True, False]
    clipping, plain = Adam(30, "float64", clip_norm=2.0), Adam(30, "float64")
    a = b = np.zeros(30)
    for before, after in zip(gradients, clipped, strict=True):
        a, b = clipping.step(a, before, 0.1), plain.step(b, after, 0.1)
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert np.linalg.norm(gradients[2]) > 40  # was not changed in place


def test_no_gradient_so_far_is_no_limit():
    """A network whose first gradients are 0 can begin to learn."""
    adam = Adam(2, "float64", clip_norm=2.0)
    adam.step(np.zeros(2), np.zeros(2), 0.1)
    assert np.abs(adam.step(np.zeros(2), np.array([1.0, -1.0]), 0.1)).min() > 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_norm_that_is_not_finite_is_skipped_with_clipping_too(bad):
    adam = Adam(2, clip_norm=2.0)
    theta = adam.step(np.ones(2, "float32"), np.ones(2, "float32"), 0.1)
    np.testing.assert_array_equal(adam.step(theta, np.array([1, bad], "float32"), 0.1), theta)
    assert (adam.skipped_steps, adam.steps) == (1, 1)
