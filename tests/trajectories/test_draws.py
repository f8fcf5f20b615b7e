"""Samples in batches."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.sampler import Constraint, generate_samples
from dpm.trajectories.draws import check_finite, default_batch, draw_batches, state_times
from dpm.trajectories.potentials import gaussian
from dpm.trajectories.products import sample_chain
from tests.helpers.graphs import compiled_tiny

T, SHAPE = 8, (2, 4, 4)


@pytest.fixture(scope="module")
def compiled():
    return compiled_tiny(T)


@pytest.fixture(scope="module")
def theta(compiled):
    return 0.3 * np.random.default_rng(0).standard_normal(compiled.layout.size)


def test_each_batch_is_generate_samples_with_the_noise_of_its_samples(compiled, theta):
    batches = list(draw_batches(compiled, theta, 5, seed=3, batch=2, start=1))
    assert [(b.first, len(b.samples)) for b in batches] == [(1, 2), (3, 2)]
    for b in batches:
        expected = generate_samples(compiled, theta, 2, ExampleNoise(3, b.first, 2))
        np.testing.assert_array_equal(b.samples, expected)
        assert b.states.shape == (0, 2, *SHAPE)


@pytest.mark.thorough
def test_samples_do_not_depend_on_the_batch_size(compiled, theta):
    (whole,) = draw_batches(compiled, theta, 5, seed=3)
    parts = np.concatenate([b.samples for b in draw_batches(compiled, theta, 5, seed=3, batch=2)])
    np.testing.assert_allclose(parts, whole.samples, rtol=1e-12)


def test_states_are_returned_at_the_requested_times_and_callback_sees_all(compiled, theta):
    seen = []
    times = state_times(T, 3)
    assert times == [8, 5, 2, 0]
    (b,) = draw_batches(compiled, theta, 2, 0, times=times, callback=lambda t, X: seen.append((t, X)))
    assert [t for t, _ in seen] == [8, 7, 6, 5, 4, 3, 2, 0]
    np.testing.assert_array_equal(b.states, [X for t, X in seen if t in times])
    np.testing.assert_array_equal(b.states[-1], b.samples)
    assert state_times(T, 0) == []


def test_constraint_is_made_for_each_batch(compiled, theta):
    observed = np.random.default_rng(1).standard_normal((4, *SHAPE))
    known = np.ones((2, *SHAPE), bool)

    def constraint(first, count):
        return Constraint(observed[first : first + count], known=known)

    X = np.concatenate([b.samples for b in draw_batches(compiled, theta, 4, 0, 2, constraint=constraint)])
    np.testing.assert_array_equal(X, observed)


def test_with_log_r_each_batch_is_sample_chain(compiled, theta):
    log_r = gaussian(0.5, 1.0)
    (b,) = draw_batches(compiled, theta, 3, 2, log_r=log_r, guidance="constant")
    expected = sample_chain(compiled, theta, log_r, 3, ExampleNoise(2, 0, 3), "constant")
    np.testing.assert_array_equal(b.samples, expected)


def test_a_batch_is_100_images_or_1000_vectors():
    assert (default_batch((1, 28, 28)), default_batch((20,))) == (100, 1000)


def test_states_that_are_not_finite_are_named_where_they_arise(compiled, theta):
    """1 / sigma^2 of 1e200 exceeds float64, so the first step, from t = 8 to 7, is inf / inf."""
    narrow = Constraint(np.ones((2, *SHAPE)), sigma=1e-200)
    with pytest.raises(InputError, match=r"2 of 2 trajectories are not finite at t = 7; r\(x\) is too narrow"):
        list(draw_batches(compiled, theta, 2, 0, constraint=lambda first, count: narrow))
    with pytest.raises(InputError, match="not finite at t = 7; the parameters may be of a run that diverged"):
        list(draw_batches(compiled, np.full_like(theta, np.nan), 2, 0))
    X = np.zeros((3, *SHAPE))
    X[1, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match=r"1 of 3 trajectories .* at t = 5; the model is not stable everywhere: draw"):
        check_finite(X, 5, plain=True)
