"""Test the quadratics of SFO against dense algebra: Hessians, secant equations, the minimum of the sum."""

import numpy as np
import pytest

from dpm.optimizers import SFO
from dpm.optimizers.sfo_quadratics import Quadratics, conjugate, hessian_from_pairs, make_solver
from tests.helpers.problems import basis, logistic_regression, quadratics


def dense(parts):
    """Return the Hessian as a matrix."""
    base, vectors, weights = parts
    return base * np.eye(vectors.shape[1]) + (vectors.T * weights) @ vectors


def bfgs_by_the_inverse(S, Y, base):
    """Return the BFGS Hessian from updates of the inverse (Nocedal and Wright 2006, eq. 6.17)."""
    size = S.shape[1]
    inverse = np.eye(size) / base
    for s, y in zip(S, Y, strict=True):
        rho = 1 / (s @ y)
        left = np.eye(size) - rho * np.outer(s, y)
        inverse = left @ inverse @ left.T + rho * np.outer(s, s)
    return np.linalg.inv(inverse)


def test_the_hessian_of_few_pairs_equals_dense_bfgs():
    """The pairs are of different quadratics, so they are not made conjugate."""
    rng = np.random.default_rng(1)
    S, W = rng.standard_normal((4, 9)), rng.standard_normal((4, 9, 9))
    Y = np.array([(w @ w.T + 0.1 * np.eye(9)) @ s for s, w in zip(S, W, strict=True)])
    parts = hessian_from_pairs(S, Y, 1e8)
    square = np.linalg.pinv(S).dot(Y)  # the smallest linear map from s to y, in rows
    assert parts[0] == pytest.approx(np.linalg.svd(square, compute_uv=False)[3])
    np.testing.assert_allclose(dense(parts), bfgs_by_the_inverse(S, Y, parts[0]), rtol=1e-7, atol=1e-7)


def test_pairs_of_one_quadratic_all_satisfy_their_secant_equation():
    rng = np.random.default_rng(0)
    W, S = rng.standard_normal((12, 12)), rng.standard_normal((7, 12))
    A = W @ W.T
    H = dense(hessian_from_pairs(S, S @ A, 1e8))
    np.testing.assert_allclose(S @ H, S @ A, rtol=1e-8, atol=1e-8)
    a, b = conjugate(S, S @ A)
    np.testing.assert_allclose(a @ b.T, np.diag(np.diag(a @ b.T)), atol=1e-8)
    np.testing.assert_array_equal(a[-1], S[-1])


def test_eigenvalues_are_limited_and_negative_curvature_is_left_out():
    S = np.eye(3)
    H = dense(hessian_from_pairs(S, np.diag([-1.0, 5.0, 1e-9]), 1e4))
    values = np.linalg.eigvalsh(H)
    assert values[0] == pytest.approx(values[-1] / 1e4)
    assert H[1, 1] == pytest.approx(5)
    assert hessian_from_pairs(S[:1], np.zeros((1, 3)), 1e4) is None


@pytest.mark.parametrize("problem", [quadratics(5, 60), logistic_regression(6, 20, 50)], ids=["quadratics", "logistic"])
def test_every_step_equals_dense_algebra(problem):
    """There are more parameters than dimensions, so that the subspace collapses several times.

    The f_i, gradients and Hessians are assembled in the large space. SFO's step must lead to the minimum of their sum
    there, within the limits set by the radius and by the mean of the previous steps.
    """
    N = len(problem.references)
    optimizer = SFO(problem.f_df, problem.start, problem.references, rng=np.random.default_rng(0), max_subspace=24)
    model, space = optimizer.quadratics, optimizer.subspace
    collapses = checked = whole = 0
    for _ in range(25 * N):
        pairs, dim = model.counts.copy(), space.dim
        optimizer.step()
        collapses += space.dim < dim
        i = int(np.flatnonzero(model.counts != pairs)[0])
        P, k = basis(space), space.dim
        last = optimizer.order[i]
        theta = problem.start + model.positions[i, :k] @ P
        f, gradient = problem.f_df(theta, last)
        assert model.values[i] == pytest.approx(f, rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(model.gradients[i, :k] @ P, gradient, atol=1e-8 * max(1, abs(gradient).max()))
        for j in range(N):
            H = model.hessian(j)
            np.testing.assert_allclose(H, H.T, atol=1e-12 * abs(H).max())
            assert np.linalg.eigvalsh(H)[0] > 0
        if not model.own[i] or not model.pairs[i]:
            continue
        s, y = model.S[i, model.pairs[i] - 1], model.Y[i, model.pairs[i] - 1]
        floor = np.linalg.eigvalsh(model.hessian(i))
        long_enough = np.linalg.norm(s) > 1e-6 and s @ y > 1e-6 * np.linalg.norm(s) * np.linalg.norm(y)
        if long_enough and floor[0] > 2 * floor[-1] / optimizer.quadratics.hess_max_dev:
            np.testing.assert_allclose(model.hessian(i) @ s, y, atol=1e-8 * np.linalg.norm(y))
            checked += 1
        if optimizer.pending < 0 and optimizer.sum.evaluations < 12 * N:
            known = np.flatnonzero(model.counts)
            H = sum(P.T @ model.hessian(j)[:k, :k] @ P for j in known)
            at = optimizer.at[:k] @ P
            slope = sum(
                P.T @ (model.gradients[j, :k] + model.hessian(j)[:k, :k] @ (P @ at - model.positions[j, :k]))
                for j in known
            )
            step = -np.linalg.pinv(H, rcond=1e-12) @ slope
            size = np.linalg.norm(step)
            taken = np.linalg.norm(optimizer.proposal - optimizer.at) / size
            reached = model.positions[known] @ np.eye(model.capacity)[:, :k] @ P - at
            spread = np.sqrt(((taken * step - reached) ** 2).sum(axis=1).mean())
            whole += taken > 0.99
            limits = [spread / optimizer.radius, size * taken / (10 * optimizer.lengths.mean())]
            limited = max(limits[: 1 + (len(optimizer.lengths) > 3)]) == pytest.approx(1)
            least = size * taken == pytest.approx(2 * optimizer._shortest_step())
            assert limited or least or taken > 1 - 1e-4
            expected = at + step * min(1, taken)
            np.testing.assert_allclose(optimizer.proposal[:k] @ P, expected, atol=1e-8 * size)
    assert collapses > 2
    assert checked > 5 * N
    assert whole > 10


def test_the_updated_total_equals_the_sum_of_all_hessians():
    problem = quadratics(5, 30)
    optimizer = SFO(problem.f_df, problem.start, problem.references, rng=np.random.default_rng(0))
    optimizer.optimize(num_steps=44)
    model = optimizer.quadratics
    whole = sum(model.hessian(i) for i in range(5))
    np.testing.assert_allclose(model.total, whole, rtol=1e-10, atol=1e-10 * abs(whole).max())
    z = np.random.default_rng(1).standard_normal(model.capacity)
    gradient, H = model.sum_at(z)
    slopes = [model.gradients[i] + model.hessian(i) @ (z - model.positions[i]) for i in range(5)]
    np.testing.assert_allclose(gradient, sum(slopes), rtol=1e-9)
    np.testing.assert_allclose(H, whole, rtol=1e-10, atol=1e-10 * abs(whole).max())
    d = z - model.positions[2]
    expected = model.values[2] + model.gradients[2] @ d + 0.5 * d @ model.hessian(2) @ d
    assert model.value(2, z) == pytest.approx(expected)


def test_a_subfunction_without_a_history_uses_the_average_of_the_others():
    model = Quadratics(3, 4, 5, 1e8, 7.0)
    zero, rng = np.zeros(4), np.random.default_rng(0)
    for i in range(3):
        model.record(i, zero, 1.0, rng.standard_normal(4), 1e-8)
    np.testing.assert_array_equal(model.hessian(0), 7 * np.eye(4))
    model.record(0, np.ones(4), 1.0, model.gradients[0] + 2, 1e-8)
    model.record(1, np.ones(4), 1.0, model.gradients[1] + 4, 1e-8)
    np.testing.assert_allclose(model.hessian(2), (model.hessian(0) + model.hessian(1)) / 2, atol=1e-14)
    np.testing.assert_allclose(model.sum_at(zero)[1], 1.5 * (model.hessian(0) + model.hessian(1)), atol=1e-14)
    short = model.pairs[2]
    model.record(2, 1e-9 * np.ones(4), 1.0, model.gradients[2] + 1, 1e-8)
    assert model.pairs[2] == short


def test_the_solver_ignores_directions_without_curvature():
    """A singular matrix has no Cholesky factor: the solution is that of the pseudoinverse."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((5, 5))
    full, singular = W @ W.T, W[:, :3] @ W[:, :3].T
    b = rng.standard_normal(5)
    np.testing.assert_allclose(make_solver(full)(b), np.linalg.solve(full, b), rtol=1e-8)
    H = np.diag([2.0, 0.0, 4.0])
    np.testing.assert_allclose(make_solver(H)(np.ones(3)), [0.5, 0, 0.25], atol=1e-15)
    np.testing.assert_allclose(singular @ make_solver(singular)(singular @ b), singular @ b, rtol=1e-6)
