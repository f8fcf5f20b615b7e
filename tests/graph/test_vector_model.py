"""VectorDiffusion: one vector is the unit of the bound."""

import numpy as np
import pytest

from dpm.likelihood.bound import L_null
from tests.helpers.graphs import compiled_bits, compiled_vectors


@pytest.mark.parametrize(("compiled", "bits"), [(compiled_vectors(3), -np.log2(2 * np.pi * np.e))])
def test_the_null_of_two_numbers_is_in_bits_a_vector(compiled, bits):
    """-H_p(X_T) of two unit Gaussians: -log2(2 pi e) = -4.094 (B.1)."""
    assert L_null(compiled.model) == pytest.approx(bits, rel=1e-12)
    assert compiled.model.n_pixels == 1
    assert compiled.model.unit == "bits/example"


def test_the_null_of_bits_is_their_entropy():
    """B.2: -size times the entropy of a bit of the base rate."""
    compiled = compiled_bits(3, size=5, base_rate=0.2)
    expected = 5 * (0.2 * np.log2(0.2) + 0.8 * np.log2(0.8))
    assert L_null(compiled.model) == pytest.approx(expected, rel=1e-12)


def test_the_reverse_kernel_is_the_networks_at_the_rates_of_the_schedule():
    """With readouts of 0, MeanVariance is the forward kernel of beta_t."""
    compiled = compiled_vectors(4)
    X, t = np.random.default_rng(0).standard_normal((3, 2)), np.array([2.0, 3.0, 4.0])
    step = compiled.reverse(3)
    theta = np.zeros(compiled.layout.size)
    mu, sigma = step(theta, X, t)
    beta = compiled.beta(theta)[1:, None]
    np.testing.assert_allclose(mu, X * np.sqrt(1 - beta), rtol=1e-12)
    np.testing.assert_allclose(sigma, np.broadcast_to(np.sqrt(beta), X.shape), rtol=1e-12)
