"""Closed-form readouts: solve for each step of the trajectory at once what gradient descent approaches slowly.

For fixed hidden features the divergence of Eq. 14 is a weighted least-squares problem in the readout of the mean. The
readout of the variance is found by Fisher scoring:

    KL = 1/2 sum over elements of log(Sigma / q_var) + (q_var + (q_mu - mu)^2) / Sigma - 1,   mu = start + slope z.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

from dpm.base import noise
from dpm.base.blas import one_blas_thread
from dpm.base.progress import Progress
from dpm.engines.compiled import CompiledModel
from dpm.graph.networks.vectors import GaussianNetwork

EXAMPLES = 80_000  # per step; 160,000 gave no higher K
ROUNDS = 2  # of mean, mix and variance, each with fresh noise
SCORINGS = 2  # times that the information is computed, and steps made with each
STEPS_A_SCORING = 3
BLOCK = 2000  # rows of a product at once: 4 MB with 257 columns; all rows at once take twice the time
LARGEST_STEP = 4.0  # of a readout, such as a log variance, in one step of scoring
RIDGE, SCORING_RIDGE = 1e-9, 1e-6  # fractions of the mean square of the features


def refit(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    quiet: bool = False,
    before_step: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Return new flat parameters with the readouts of every step t = 2..T solved for (Eq. 15); the others stay.

    Args:
        compiled: of a VectorDiffusion whose GaussianNetwork has one readout per step.
        theta: flat parameters.
        X: scaled examples, (n, d).
        seed: of the examples and their noise, which depend on (seed, round, t) only.
        quiet: show no progress bar.
        before_step: called before each t.
    """
    theta = theta.copy()
    arrays = readout_views(compiled, theta)
    times = range(2, compiled.model.trajectory_length + 1)
    with one_blas_thread():
        for t in Progress(times, unit="step", desc="readouts in closed form", quiet=quiet):
            before_step()
            weights = fit_step(compiled, theta, X, seed, t)
            for name, (W, b) in arrays.items():
                W[t - 1], b[t - 1] = weights[name][:-1], weights[name][-1]
    return theta


def readout_views(compiled: CompiledModel, theta: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return views of W, (T, features, outputs), and b, (T, outputs), of each readout in theta, by name."""
    paths = {p.variable: path for path, p in compiled.layout.parameters.items()}
    views = compiled.layout.split(theta)
    model: Any = compiled.model  # whose network has readouts
    return {
        name: (views[paths[readout.W]], views[paths[readout.b]]) for name, readout in model.network.readouts.items()
    }


def network_of(model: Any) -> GaussianNetwork:
    """Return the network of a VectorDiffusion whose readouts can be solved for."""
    assert isinstance(model.network, GaussianNetwork)
    return model.network


def fit_step(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, seed: int, t: int) -> dict[str, np.ndarray]:
    """Return the readouts of step t by name, each (features + 1, outputs) with the bias last."""
    engine, model = compiled.engine, compiled.model
    n, size = min(EXAMPLES, len(X)), X.shape[1]
    times = engine.asarray(np.full(n, t))
    regression = compiled.function(partial(_regression, model), compiled.forward_inputs(n))
    graph = compiled.function(partial(_variance, model), compiled.reverse_inputs(n))

    def variance(z: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(a, dtype=np.float64) for a in graph(theta, engine.asarray(z), times)]

    fit: dict[str, np.ndarray] = {}
    for round_ in range(ROUNDS):
        rng = noise.generator(seed, noise.REFIT, round_, t)
        examples, N, U = (engine.asarray(a) for a in noise.draw_examples(rng, X, n, model.kernel.noise))
        features, target, slope, q_var = (
            np.asarray(a, dtype=np.float64) for a in regression(theta, examples, times, N, U)
        )
        A = np.column_stack([features, np.ones(n)])
        if not fit:
            spread = q_var + (slope * (target - target.mean(axis=0))) ** 2
            fit["sigma"] = np.zeros((A.shape[1], size))
            fit["sigma"][-1] = score(np.ones((n, 1)), spread, variance, np.zeros((1, size)), 2 * SCORINGS)
        weights = 1 / variance(A @ fit["sigma"])[0]
        fit["mu"] = np.column_stack([least_squares(A, w, y) for w, y in zip(weights.T, target.T, strict=True)])
        away = slope * (target - A @ fit["mu"])
        squares = q_var + away**2
        if network_of(model).full:
            fit["mix"], squares = fit_mix(A, weights, away, np.broadcast_to(q_var, away.shape))
        fit["sigma"] = score(A, squares, variance, fit["sigma"])
    return fit


def factor(A: np.ndarray, weights: np.ndarray, ridge: float, extra: Any = 0.0) -> Any:
    """Return the Cholesky factor of A^T diag(weights) A, with a ridge, plus extra."""
    gram, roots = np.zeros((A.shape[1],) * 2, order="F"), np.sqrt(weights)[:, None]
    for start in range(0, len(A), BLOCK):
        block = slice(start, start + BLOCK)
        # The upper triangle, at half the cost.
        gram = dsyrk(1.0, (A[block] * roots[block]).T, beta=1.0, c=gram, overwrite_c=True)
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram)
    return cho_factor(gram + extra, overwrite_a=True)


def least_squares(A: np.ndarray, weights: np.ndarray, y: np.ndarray, extra: Any = 0.0) -> np.ndarray:
    """Minimize sum of weights (y - A w)^2 + w extra w over w, with a small ridge: (columns,)."""
    return cho_solve(factor(A, weights, RIDGE, extra), A.T @ (weights * y))


def fit_mix(A: np.ndarray, weights: np.ndarray, away: np.ndarray, q_var: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the readouts of a FullGaussian's mix, (columns, pairs), and the squares whose mean is Sigma, (n, d).

    Row i of KL has, for given means, (away_i - sum over j < i of mix_ij away_j)^2 + q_var_i + sum over j < i of
    mix_ij^2 q_var_j over Sigma_i: quadratic in mix.
    """
    size = away.shape[1]
    squares = q_var + away**2
    readouts: list[np.ndarray] = []
    for i in range(1, size):
        design = np.hstack([A * away[:, j : j + 1] for j in range(i)])
        blocks = [(A * (weights[:, i] * q_var[:, j])[:, None]).T @ A for j in range(i)]
        extra = np.zeros((design.shape[1],) * 2)
        for j, block in enumerate(blocks):
            part = slice(j * len(block), (j + 1) * len(block))
            extra[part, part] = block
        w = least_squares(design, weights[:, i], away[:, i], extra)
        mix = A @ w.reshape(i, -1).T
        squares[:, i] = q_var[:, i] + (away[:, i] - design @ w) ** 2 + (mix**2 * q_var[:, :i]).sum(axis=1)
        readouts.extend(w.reshape(i, -1))
    return np.column_stack(readouts), squares


def score(
    A: np.ndarray,
    squares: np.ndarray,
    variance: Callable[[np.ndarray], list[np.ndarray]],
    start: np.ndarray,
    scorings: int = SCORINGS,
) -> np.ndarray:
    """Minimize the sum of log Sigma + squares / Sigma, Sigma = variance(A W), by Fisher scoring: W, (columns, d).

    variance(z) returns Sigma and d log Sigma / dz. The information is reused for several steps, since it is the most
    expensive part. A step that would move z by much is shortened: far from the optimum the scores are not linear.
    """
    W, information = start, []
    for step in range(scorings * STEPS_A_SCORING):
        sigma, slope = variance(A @ W)
        if step % STEPS_A_SCORING == 0:
            information = [factor(A, s**2 + 1e-9, SCORING_RIDGE) for s in slope.T]
        scores = A.T @ (slope * (squares / sigma - 1))
        change = np.column_stack([cho_solve(f, s) for f, s in zip(information, scores.T, strict=True)])
        W = W + shorten(change, A)
    return W


def shorten(change: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Return change, (columns, d), with each column scaled so that A @ change is at most LARGEST_STEP."""
    moved = np.abs(A @ change).max(axis=0)
    return change * np.minimum(1, LARGEST_STEP / np.maximum(moved, 1e-12))


def _regression(model: Any, X: Any, t: Any, N: Any, U: Any) -> list[Any]:
    """Return features, target z of the mean's readout, slope and variance of q for one minibatch."""
    X_noisy, q = model.generate_forward_diffusion_sample(X, t, N, U)
    rates = model.get_rates(t)
    start, slope = model.network.mean(model.kernel, X_noisy, rates)
    return [model.network.hidden.apply(X_noisy, rates), (q.mu - start) / slope, slope, q.sigma**2]


def _variance(model: Any, z: Any, t: Any) -> list[Any]:
    """Return Sigma and d log Sigma / dz, each (n, d)."""
    sigma = model.network.variance(model.kernel, z, model.get_rates(t))
    return [sigma, pytensor.grad(pt.log(sigma).sum(), z)]
