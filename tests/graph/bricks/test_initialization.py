"""Distributions of initial values."""

import numpy as np
import pytest

from dpm.graph.bricks import Constant, Copies, IsotropicGaussian, Orthogonal


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 4)])
def test_an_orthogonal_matrix_has_orthonormal_rows_or_columns(shape):
    q = Orthogonal().generate(np.random.default_rng(0), shape)
    assert q.shape == shape
    product = q @ q.T if shape[0] <= shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)


def test_orthogonal_matrices_have_no_preferred_sign():
    """Uniform over the orthogonal group: the diagonal's mean is 0 (without the sign of R it is far from it)."""
    traces = [np.trace(Orthogonal().generate(np.random.default_rng(s), (3, 3))) for s in range(2000)]
    assert abs(np.mean(traces)) < 4 * np.std(traces) / 2000**0.5


def test_constant_and_normal_initial_values():
    np.testing.assert_array_equal(Constant(2.5).generate(None, (2, 2)), 2.5)
    draw = IsotropicGaussian(0.3, 1.0).generate(np.random.default_rng(0), (200, 200))
    assert draw.mean() == pytest.approx(1.0, abs=4 * 0.3 / 200)
    assert draw.std() == pytest.approx(0.3, rel=0.02)


def test_copies_are_the_identity_next_to_normal_weights():
    weights = Copies(20, 4.0).generate(np.random.default_rng(0), (100, 1020))
    np.testing.assert_array_equal(weights[:, :20], 4 * np.eye(100, 20))
    assert weights[:, 20:].std() == pytest.approx(2 * 4 / 10, rel=0.02)
    np.testing.assert_array_equal(Copies(20, 1.0).generate(np.random.default_rng(0), (3, 2)), np.eye(3, 2))
