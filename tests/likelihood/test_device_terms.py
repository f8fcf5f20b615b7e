"""K on the device, here JAX's CPU: the terms of the host's estimator, whatever the rows and the cuts."""

import numpy as np
import pytest

pytest.importorskip("jax")

import jax

from dpm.base import noise
from dpm.engines import device_arrays
from dpm.likelihood import bound, device_terms
from dpm.likelihood.device_terms import compute_terms
from tests.helpers.device_noise import draw, on_device
from tests.helpers.graphs import compiled_tiny
from tests.likelihood.models import NONE, gaussian

T, N = 12, 23


@pytest.fixture(scope="module")
def host():
    return compiled_tiny(T)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(1).standard_normal((N, 2, 4, 4))


@pytest.fixture
def same_numbers(monkeypatch):
    """Let the host draw the device's numbers."""

    def draw_noise(model, shape, seed, purpose, start, j):
        words, draws = noise.device_key(seed, purpose), [(model.kernel.noise, shape[1:]), ("uniform", shape[1:])]
        return draw(words, j, range(start, start + shape[0]), draws)

    monkeypatch.setattr(bound, "draw_noise", draw_noise)


@pytest.mark.parametrize("k", [None, 3])
def test_terms_are_those_of_the_host_with_the_same_numbers(host, device, theta, X, k, same_numbers):
    here, there = (bound.terms(c, theta, X, 5, k) for c in (host, device))
    np.testing.assert_allclose(there.times, here.times)
    np.testing.assert_allclose(there.weights, here.weights, rtol=1e-12)
    np.testing.assert_allclose(there.kl, here.kl, rtol=2e-7)  # kept in float32
    np.testing.assert_allclose(there.K, here.K, rtol=1e-6)
    assert np.mean(there.kl == here.kl) > 0.99


def test_a_term_is_that_of_the_host_to_the_last_bits(host, device, theta, X):
    """All times in double precision, before they are rounded to be kept."""
    times = np.broadcast_to(np.arange(2, T + 1), (N, T - 1))
    found = compute_terms(device, theta, X, times, 5, noise.TERMS, 10)
    words, shape = noise.device_key(5, noise.TERMS), X.shape[1:]
    expected = []
    for j in range(T - 1):
        draws = draw(words, j, range(N), [("normal", shape), ("uniform", shape)])
        expected.append(bound.compute_kl(host, theta, [X, times[:, j].astype(float), *draws], N))
    np.testing.assert_allclose(found, np.array(expected).T, rtol=1e-12, atol=1e-12)
    K = -found.sum(axis=1)
    np.testing.assert_allclose(K, -np.sum(expected, axis=0), rtol=1e-12)


def test_terms_depend_neither_on_the_rows_nor_on_the_cuts_nor_on_columns(device, theta, X, monkeypatch):
    times = np.broadcast_to(np.arange(2, T + 1), (N, T - 1))
    whole = compute_terms(device, theta, X, times, 5, noise.TERMS, N)
    np.testing.assert_array_equal(compute_terms(device, theta, X, times, 5, noise.TERMS, N), whole)
    np.testing.assert_allclose(compute_terms(device, theta, X, times, 5, noise.TERMS, 9), whole, rtol=1e-12)
    np.testing.assert_allclose(compute_terms(device, theta, X[:7], times[:7], 5, noise.TERMS, 7), whole[:7], rtol=1e-12)
    monkeypatch.setattr(device_arrays, "SECONDS_PER_CALL", 0.0)
    counts = []
    each = compute_terms(device, theta, X, times, 5, noise.TERMS, N, progress=counts.append)
    np.testing.assert_array_equal(each, whole)
    assert counts == [N] * (T - 1)
    monkeypatch.setattr(device_terms, "MOST_COLUMNS", 4)
    np.testing.assert_allclose(compute_terms(device, theta, X, times, 5, noise.TERMS, N), whole, rtol=1e-12)


def test_seeds_and_purposes_have_numbers_of_their_own(device, theta, X):
    times = np.full((N, 2), 5)
    found = [
        compute_terms(device, theta, X, times, seed, purpose, N)
        for seed, purpose in ((0, noise.TERMS), (1, noise.TERMS), (0, noise.SIZES))
    ]
    values = np.stack(found).transpose(0, 2, 1).reshape(6, N)  # of each run and each column
    assert all(not np.isclose(a, b).any() for i, a in enumerate(values) for b in values[:i])


def test_nothing_crosses_unasked_between_host_and_device(device, theta, X):
    times = np.full((N, 3), 5)
    before = compute_terms(device, theta, X, times, 5, noise.TERMS, 10)
    with jax.transfer_guard("disallow"):
        np.testing.assert_array_equal(compute_terms(device, theta, X, times, 5, noise.TERMS, 10), before)


def test_K_agrees_with_the_host_within_its_errors():
    host, _ = gaussian(0.7, 0.4)
    X = 0.7 + 0.4 * np.random.default_rng(0).standard_normal((20_000, 1))
    here, there = (bound.terms(c, NONE, X, 3, 4) for c in (host, on_device(host)))
    error = np.hypot(here.draws_error, there.draws_error)
    assert there.K.mean() == pytest.approx(here.K.mean(), abs=4 * error)
    assert there.draws_error == pytest.approx(here.draws_error, rel=0.1)
    assert 0 < error < 0.01
