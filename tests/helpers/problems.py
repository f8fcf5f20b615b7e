"""Sums of functions with a known minimum, for tests and benchmarks of the optimizers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

GOLDEN = Path(__file__).parents[1] / "golden" / "sfo"


class Problem(NamedTuple):
    """A sum of functions and its minimum.

    Attributes:
        f_df: function (theta, i) that returns (f_i, gradient).
        start: start (size,).
        references: one index i per subfunction.
        least: smallest value of the sum.
        best: theta (size,) of that value, or None if it is unknown.
    """

    f_df: Callable[..., tuple[Any, Any]]
    start: np.ndarray
    references: list[int]
    least: float
    best: np.ndarray | None = None

    def total(self, theta: np.ndarray) -> float:
        """Return the sum of all subfunctions."""
        return float(sum(self.f_df(theta, i)[0] for i in self.references))


def quadratic_sum(A: np.ndarray, C: np.ndarray, start: np.ndarray) -> Problem:
    """Return the sum of f_i = 1/2 (x - C_i)' A_i (x - C_i), A (N, size, size) and C (N, size)."""

    def f_df(x, i):
        away = x - C[i].astype(x.dtype)
        gradient = A[i].astype(x.dtype) @ away
        return 0.5 * away @ gradient, gradient

    best = np.linalg.solve(A.sum(0), np.einsum("nij,nj->i", A, C))
    problem = Problem(f_df, start, list(range(len(A))), 0.0, best)
    return problem._replace(least=problem.total(best))


def quadratics(number: int = 10, size: int = 6, seed: int = 0) -> Problem:
    """Return random quadratics of full rank with eigenvalues between about 0.02 and 20."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((number, size, size))
    return quadratic_sum(W @ W.swapaxes(1, 2), rng.standard_normal((number, size)), 5 * rng.standard_normal(size))


def golden_quadratics() -> Problem:
    """Return `quad` of the golden traces: 40 subfunctions of 50 parameters."""
    data = np.load(GOLDEN / "quad_data.npz")
    return quadratic_sum(data["A"], data["C"][:, :, 0], data["theta0"].ravel())


def golden_autoencoder() -> Problem:
    """Return `autoenc` of the golden traces: 31 subfunctions of 230 parameters; `least` is the best L-BFGS value."""
    data = np.load(GOLDEN / "autoenc_data.npz")
    J, N, (D, _) = int(data["J"]), int(data["N"]), data["v"].shape
    parts = [np.ascontiguousarray(data["v"][:, i::N]) for i in range(N)]

    def f_df(x, i):
        v = parts[i]
        W, hidden_bias, visible_bias = x[: J * D].reshape(J, D), x[J * D : J * D + J], x[J * D + J :]
        h = expit(W @ v + hidden_bias[:, None])
        error = W.T @ h + visible_bias[:, None] - v
        d_out = 2 * error / v.shape[1]
        d_in = (W @ d_out) * h * (1 - h)
        gradient = (h @ d_out.T + d_in @ v.T).ravel()
        return (error**2).sum() / v.shape[1], np.concatenate([gradient, d_in.sum(1), d_out.sum(1)])

    least = float(np.load(GOLDEN / "autoenc_lbfgs.npz")["fun"])
    return Problem(f_df, data["theta0"].ravel(), list(range(N)), least)


def logistic_regression(number: int = 20, examples: int = 100, size: int = 20, seed: int = 0) -> Problem:
    """Return logistic regression on the probabilities of the model at `best`, so that every gradient is 0 there."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((number, examples, size)) * np.geomspace(0.3, 3, size)
    best = rng.standard_normal(size) / np.geomspace(0.3, 3, size)
    labels = expit(X @ best)

    def f_df(x, i):
        data, target = X[i].astype(x.dtype), labels[i].astype(x.dtype)
        u = data @ x
        return (np.logaddexp(0, u) - target * u).sum(), data.T @ (expit(u) - target)

    problem = Problem(f_df, np.zeros(size), list(range(number)), 0.0, best)
    return problem._replace(least=problem.total(best))


def rosenbrock(number: int = 2) -> Problem:
    """Return 100 (y - x^2)^2 + (1 - x)^2 as one subfunction or as its two terms; the minimum 0 is at (1, 1)."""

    def f_df(x, i):
        bend, short = x[1] - x[0] ** 2, 1 - x[0]
        valley = 100 * bend**2, np.array([-400 * bend * x[0], 200 * bend])
        slope = short**2, np.array([-2 * short, 0 * short])
        if number == 1:
            return valley[0] + slope[0], valley[1] + slope[1]
        return (valley, slope)[i]

    return Problem(f_df, np.array([-1.2, 1.0]), list(range(number)), 0.0, np.ones(2))


def passes_to_reach(optimizer: Any, problem: Problem, tolerances: Sequence[float], most: int) -> np.ndarray:
    """Run an optimizer and return the number of passes to each tolerance.

    The sum is evaluated after each step in the first two passes and eight times per pass from then on.

    Args:
        optimizer: SFO, LBFGS or Stochastic at the start.
        problem: its problem.
        tolerances: distances of the sum from the minimum, in units of the distance at the start.
        most: number of passes after which to stop.

    Returns:
        Passes (len(tolerances),), inf for a tolerance that was not reached.
    """
    N = len(problem.references)
    first = problem.total(problem.start)
    reached = np.full(len(tolerances), np.inf)
    next_look = 0
    while optimizer.sum.evaluations < most * N and not np.isfinite(reached).all():
        optimizer.step()
        evaluations = optimizer.sum.evaluations
        if evaluations >= next_look:
            next_look = evaluations + (1 if evaluations < 2 * N else N // 8)
            gap = (problem.total(optimizer.theta) - problem.least) / (first - problem.least)
            reached[np.isinf(reached) & (gap <= np.array(tolerances))] = evaluations / N
    return reached


def basis(space: Any) -> np.ndarray:
    """Return the basis P (dim, size) of a Subspace as a matrix."""
    return np.linalg.solve(space.factor[: space.dim, : space.dim], space.rows[: space.dim])
