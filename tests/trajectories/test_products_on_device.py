"""Products with r(x) on the device, here JAX's CPU: the multiplied chain, and particles between resamplings."""

import numpy as np
import pytest

pytest.importorskip("jax")

import jax

from dpm.base.noise import ExampleNoise
from dpm.sampler import generate_samples
from dpm.trajectories import potentials, products
from dpm.trajectories.products import sample_chain, sample_product
from tests.helpers import exact
from tests.helpers.device_noise import chain_noise, on_device
from tests.helpers.graphs import compiled_tiny

T, N = 6, 4


@pytest.fixture(scope="module")
def host():
    return compiled_tiny(T)


@pytest.mark.parametrize(
    ("log_r", "guidance", "last_step"),
    [
        (potentials.gaussian(0.4, 0.5), "linear", False),
        (potentials.gaussian(0.4, 0.5), "alpha_bar", True),
        pytest.param(potentials.linear(0.3), "predicted", False, marks=pytest.mark.slow),
    ],
    ids=["closed form", "with the last step", "perturbed"],
)
def test_the_chain_is_that_of_the_host_with_the_same_numbers(host, device, theta, log_r, guidance, last_step):
    found = []
    for compiled, noise in ((host, chain_noise(7, 1, T)), (device, ExampleNoise(7, 1, N))):
        states = {}
        sample_chain(compiled, theta, log_r, N, noise, guidance, last_step, lambda t, X, s=states: s.update({t: X}))
        found.append(states)
    here, there = found
    assert list(there) == list(here) == [*range(T, 1, -1), *([1] if last_step else []), 0]
    for t, X in here.items():
        np.testing.assert_allclose(there[t], X, rtol=1e-11, atol=1e-12)


def test_with_r_1_samples_are_those_of_the_model(device, theta):
    chain = sample_chain(device, theta, potentials.linear(0.0), N, ExampleNoise(7, 0, N))
    np.testing.assert_allclose(chain, generate_samples(device, theta, N, ExampleNoise(7, 0, N)), rtol=1e-11, atol=1e-12)


def test_particles_are_those_of_the_host_with_the_same_numbers(monkeypatch):
    """Weights, resamplings and their numbers too, which the host draws in both."""
    host, log_r, n = exact.mixture(20), potentials.gaussian(0.3, 0.2), 64
    there = sample_product(on_device(host), exact.NONE, log_r, n, 5, "linear")
    draw = chain_noise(5, 0, 20)
    monkeypatch.setitem(products.noise.DRAWS, "normal", lambda rng, shape: draw(tuple(shape)))
    here = sample_product(host, exact.NONE, log_r, n, 5, "linear")
    assert there.resamplings == here.resamplings > 0
    np.testing.assert_allclose(there.effective, here.effective, rtol=1e-9)
    np.testing.assert_allclose(there.samples, here.samples, rtol=1e-9, atol=1e-12)
    assert (there.log_Z, there.log_Z_error) == pytest.approx((here.log_Z, here.log_Z_error), rel=1e-9)


def test_particles_repeat_and_move_nothing_unasked():
    compiled, log_r = on_device(exact.mixture(10)), potentials.gaussian(0.3, 0.2)
    steps = []
    first = sample_product(compiled, exact.NONE, log_r, 64, 5, progress=steps.append)
    with jax.transfer_guard("disallow"):
        second = sample_product(compiled, exact.NONE, log_r, 64, 5)
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.log_Z == second.log_Z
    assert steps == [1] * 10
