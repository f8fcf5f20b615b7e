"""Reverse chains on the device, here JAX's CPU: the states of the host's, whatever the batch and the cuts."""

import numpy as np
import pytest

pytest.importorskip("jax")

import jax

from dpm.base.noise import ExampleNoise
from dpm.sampler import Constraint, StepCounter, generate_samples
from dpm.trajectories import device_chains
from dpm.trajectories.draws import draw_batches
from tests.helpers import exact
from tests.helpers.device_noise import chain_noise, on_device
from tests.helpers.graphs import compiled_bits, compiled_tiny

T, N = 8, 5
SHAPE = (N, 2, 4, 4)
RNG = np.random.default_rng(0)
OBSERVED = RNG.standard_normal(SHAPE)
CONSTRAINTS = {
    "none": None,
    "in-painting": Constraint(OBSERVED, known=RNG.random(SHAPE) < 0.5),
    "denoising": Constraint(OBSERVED, sigma=0.7),
}


@pytest.fixture(scope="module")
def host():
    return compiled_tiny(T)


def states(compiled, theta, n, noise, constraint=None, **more):
    """The states of a chain by their numbers."""
    seen = {}
    X = generate_samples(compiled, theta, n, noise, constraint, lambda t, X: seen.update({t: X}), **more)
    np.testing.assert_array_equal(X, seen[0])
    return seen


@pytest.mark.parametrize("kind", CONSTRAINTS)
def test_states_are_those_of_the_host_with_the_same_numbers(host, device, theta, kind):
    constraint = CONSTRAINTS[kind]
    there = states(device, theta, N, ExampleNoise(4, 2, N), constraint)
    start = T - (kind == "denoising")  # which starts at the observation
    here = states(host, theta, N, chain_noise(4, 2, start), constraint)
    assert list(there) == list(here) == [8, 7, 6, 5, 4, 3, 2, 0]
    for t, X in here.items():
        np.testing.assert_allclose(there[t], X, rtol=1e-12, atol=1e-12)


def test_rates_are_those_of_t_for_every_example():
    """With T = 50 and one t for all, XLA would double beta_t of the fourth of eight examples, in float32."""
    compiled = on_device(compiled_tiny(50, dtype="float32"))
    theta = compiled.start(np.random.default_rng(0))
    few, many = (states(compiled, theta, n, ExampleNoise(0, 0, n)) for n in (4, 8))
    for t, X in few.items():
        np.testing.assert_allclose(many[t][:4], X, atol=1e-4)


def test_bits_are_those_of_the_host_with_the_same_numbers():
    host = compiled_bits(6)
    theta = np.zeros(host.layout.size)
    there = states(on_device(host), theta, 50, ExampleNoise(1, 0, 50, "uniform"))
    here = states(host, theta, 50, chain_noise(1, 0, 6, "uniform"))
    for t, X in here.items():
        np.testing.assert_array_equal(there[t], X)


def test_a_sample_depends_neither_on_the_batch_nor_on_its_start(device, theta):
    whole = states(device, theta, N, ExampleNoise(3, 0, N))
    part = states(device, theta, 2, ExampleNoise(3, 2, 2))
    padded = states(device, theta, 2, ExampleNoise(3, 2, 2), rows=N)
    for t, X in whole.items():
        np.testing.assert_array_equal(padded[t], X[2:4])
        np.testing.assert_allclose(part[t], X[2:4], rtol=1e-12, atol=1e-12)
    assert not np.array_equal(whole[0][0], whole[0][1])


def test_a_chain_can_be_cut_anywhere_and_run_again(device, theta, monkeypatch):
    whole = states(device, theta, N, ExampleNoise(3, 0, N))
    for times in ([0], [5], [7, 2, 0]):
        found = states(device, theta, N, ExampleNoise(3, 0, N), times=times)
        assert set(times) | {T, 0} == set(found)
        for t, X in found.items():
            np.testing.assert_array_equal(X, whole[t])
    monkeypatch.setattr(device_chains, "STEPS_PER_CALL", 3)
    assert list(states(device, theta, N, ExampleNoise(3, 0, N), times=[0])) == [8, 5, 2, 0]


def test_states_that_were_fetched_keep_their_values(device, theta):
    """The memory of a state is reused by the next call."""
    fetched, copies = [], []

    def keep(t, X):
        fetched.append(X)
        copies.append(X.copy())

    generate_samples(device, theta, N, ExampleNoise(3, 0, N), callback=keep)
    for X, copy in zip(fetched, copies, strict=True):
        np.testing.assert_array_equal(X, copy)


def test_nothing_crosses_unasked_between_host_and_device(device, theta):
    noise = ExampleNoise(3, 0, N)
    before = generate_samples(device, theta, N, noise)
    with jax.transfer_guard("disallow"):
        np.testing.assert_array_equal(generate_samples(device, theta, N, noise), before)


def test_other_noise_than_that_of_examples_stays_on_the_host(host, device, theta):
    draws = [np.random.default_rng(i).standard_normal(SHAPE) for i in range(T)]
    sources = [(host, draws.copy()), (device, draws.copy())]
    here, there = (generate_samples(c, theta, N, lambda shape, left=left: left.pop(0)) for c, left in sources)
    np.testing.assert_allclose(there, here, rtol=1e-12)


def test_batches_of_the_device_are_one_compiled_loop(device, theta, monkeypatch):
    """The last batch is filled up to the others' size."""
    whole = np.concatenate([b.samples for b in draw_batches(device, theta, N, 3)])
    monkeypatch.setattr(device, "_loops", {})
    steps = []
    batches = list(draw_batches(device, theta, N, 3, 2, callback=StepCounter(T, steps.append)))
    assert len(device._loops) == 2  # the start and the steps
    assert [len(b.samples) for b in batches] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate([b.samples for b in batches]), whole, rtol=1e-12, atol=1e-12)
    assert sum(steps) == 3 * (T - 1)


@pytest.mark.thorough
def test_samples_are_distributed_as_those_of_the_host():
    """Mean and variance of the exact chain of a mixture, at each time."""
    host, n = exact.mixture(30), 40_000
    here = states(host, exact.NONE, n, ExampleNoise(0, 0, n))
    there = states(on_device(host), exact.NONE, n, ExampleNoise(0, 0, n))
    for t, X in here.items():
        Y = there[t]
        assert Y.mean() == pytest.approx(X.mean(), abs=4 * np.sqrt(2 * X.var() / n))
        spread = np.std((X - X.mean()) ** 2)
        assert Y.var() == pytest.approx(X.var(), abs=4 * spread * np.sqrt(2 / n))
        assert np.corrcoef(X.ravel(), Y.ravel())[0, 1] == pytest.approx(0, abs=4 / np.sqrt(n))
