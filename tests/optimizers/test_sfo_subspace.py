"""Test the shared subspace of SFO: an orthonormal basis that reproduces its vectors."""

import numpy as np
import pytest

from dpm.optimizers.sfo_subspace import Subspace, default_subspace, minimum_subspace
from tests.helpers.problems import basis


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("nearness", [1.0, 1e-2, 1e-5])
def test_the_basis_is_orthonormal_and_reproduces_its_vectors(dtype, nearness):
    """`nearness` is the size of the part of each vector outside the span of the previous ones."""
    rng, tolerance = np.random.default_rng(0), 1e-9 if dtype == "float64" else 1e-2 if nearness < 1e-3 else 2e-4
    space = Subspace(300, 12, dtype, 1)
    common, vectors = rng.standard_normal(300), []
    for _ in range(10):
        vectors.append((common + nearness * rng.standard_normal(300)).astype(dtype))
        coordinates = space.project(vectors[-1])
        np.testing.assert_allclose(space.combine(coordinates), vectors[-1], atol=tolerance)
        assert np.linalg.norm(coordinates) == pytest.approx(np.linalg.norm(vectors[-1]), rel=1e-6)
    P = basis(space)
    np.testing.assert_allclose(P @ P.T, np.eye(space.dim), atol=tolerance)
    if dtype == "float64":
        assert space.dim == 10
        np.testing.assert_allclose(space.project(vectors[3])[:10], P @ vectors[3], atol=1e-9)
    before = space.dim
    space.project((2 * vectors[0] - vectors[1]).astype(dtype))
    assert space.dim == before or dtype == "float32"


def test_a_collapse_keeps_vectors_of_the_new_basis():
    rng = np.random.default_rng(0)
    space = Subspace(70_000, 8, "float64", 1)
    vectors = rng.standard_normal((8, 70_000))
    coordinates = np.array([space.project(v) for v in vectors])
    assert not space.has_room()
    kept = np.linalg.qr(coordinates[[1, 4, 6]].T)[0]
    space.collapse(kept)
    assert (space.dim, space.has_room()) == (3, True)
    for i in (1, 4, 6):
        new = np.zeros(8)
        new[:3] = coordinates[i] @ kept
        np.testing.assert_allclose(space.combine(new), vectors[i], atol=1e-10)
    np.testing.assert_allclose(basis(space) @ basis(space).T, np.eye(3), atol=1e-12)


def test_gradients_projected_by_their_changes_have_the_same_coordinates():
    rng = np.random.default_rng(0)
    space, plain = Subspace(50, 10, "float64", 2), Subspace(50, 10, "float64", 2)
    first = rng.standard_normal(50)
    second = first + 1e-6 * rng.standard_normal(50)
    before = space.project_gradient(1, first, np.zeros(10))
    np.testing.assert_array_equal(before, plain.project(first))
    np.testing.assert_allclose(space.combine(space.project_gradient(1, second, before)), second, atol=1e-14)


def test_the_default_size_holds_all_gradients_and_positions():
    assert [default_subspace(N) for N in (1, 7, 8, 100)] == [22, 22, 24, 300]
    assert [minimum_subspace(N, 10) for N in (1, 10, 11, 100)] == [22, 22, 24, 202]
    assert default_subspace(1, terms=3) == 8
