"""Normal data of known covariance and a linear network: the largest K (Eq. 14 and 15) in closed form, and attained.

The divergence of a step is quadratic in x_0 and in the noise that makes x_t, so the mean over 2 k points at +-sqrt(k)
along the k axes of both is exactly its expectation: these comparisons have no sampling error, except where stated.
"""

import functools

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.optimize import minimize

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.bricks import BIAS, WEIGHT, Brick, Constant
from dpm.graph.kernels.full_gaussian import FullGaussian, FullGaussianKernel
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from dpm.graph.networks import vectors as networks
from dpm.graph.networks.vectors import lower_triangle
from dpm.graph.schedules import signal_shares
from dpm.graph.vector_model import VectorDiffusion
from tests.helpers.bounds import K_all_terms
from tests.helpers.graphs import compiled_vectors

T = 10
BETA = schedules.linear(T, 0.03, 0.4)
COVARIANCES = {
    "diagonal": np.diag([1.6, 0.4]),
    "two numbers": np.array([[1.0, 0.8], [0.8, 1.0]]),
    "three numbers": np.array([[1.2, 0.5, -0.3], [0.5, 0.9, 0.2], [-0.3, 0.2, 0.5]]),
}
each = pytest.mark.parametrize("full", [False, True], ids=["diagonal steps", "full steps"])
each_covariance = pytest.mark.parametrize("covariance", COVARIANCES.values(), ids=COVARIANCES.keys())


class LinearNetwork(Brick):
    """p(x_{t-1} | x_t) of mean x_t sqrt(1 - beta_t) + sqrt(beta_t) (A_t x_t + b_t) and variance beta_t exp(s_t).

    One A, (d, d), b and s, (d,), for each step, and with full=True the mix of a FullGaussian. With all of them 0 it is
    the forward kernel.
    """

    def __init__(self, size, full):
        super().__init__("network")
        self.size, self.full, zero = size, full, Constant(0.0)
        self.A = self.add_parameter("A", (T, size, size), WEIGHT, zero)
        self.b = self.add_parameter("b", (T, size), BIAS, zero)
        self.s = self.add_parameter("s", (T, size), BIAS, zero)
        if full:
            self.mix = self.add_parameter("mix", (T, size * (size - 1) // 2), WEIGHT, zero)

    def reverse(self, kernel, x_t, t, rates):
        step, beta = t.astype("int64") - 1, rates[0]
        moved = pt.matmul(self.A[step], x_t[:, :, None])[:, :, 0] + self.b[step]
        p = Gaussian(x_t * pt.sqrt(1 - beta) + pt.sqrt(beta) * moved, pt.sqrt(beta) * pt.exp(self.s[step] / 2))
        return FullGaussian(*p, lower_triangle(self.mix[step], self.size)) if self.full else p


@functools.cache
def linear_model(size, full):
    engine = Engine("auto", "float64")
    kernel = FullGaussianKernel() if full else GaussianKernel()
    with engine:
        model = VectorDiffusion(size, kernel, schedules.FixedSchedule(BETA), LinearNetwork(size, full))
    return CompiledModel(model, engine)


def exact_expectation(covariance, steps=T):
    """Return (X, t, N, U, weights) whose mean cost is exactly -(K - L_null): the points at each t = 2..T."""
    d = len(covariance)
    points = np.sqrt(2 * d) * np.concatenate([np.eye(2 * d), -np.eye(2 * d)])
    X, N = points[:, :d] @ np.linalg.cholesky(covariance).T, points[:, d:]
    t = np.repeat(np.arange(2.0, steps + 1), len(points))
    X, N = (np.tile(a, (steps - 1, 1)) for a in (X, N))
    return X, t, N, np.zeros_like(X), np.ones(len(t))


def moments(covariance, t):
    """Return Cov(x_{t-1}), Cov(x_t) and Cov(x_{t-1}, x_t) of the forward trajectory."""
    alpha_bar = signal_shares(BETA)
    before, now = (alpha_bar[s] * covariance + (1 - alpha_bar[s]) * np.eye(len(covariance)) for s in (t - 1, t))
    return before, now, np.sqrt(1 - BETA[t - 1]) * before


def log_det(covariance):
    return np.linalg.slogdet(covariance)[1]


def best_K(covariance, full):
    """Return the largest K - L_null, in bits.

    E KL(q(x_{t-1} | x_t, x_0) || p) is smallest for p of the mean of x_{t-1} given x_t and of its covariance, or its
    diagonal; it is then the entropy of p minus that of q.
    """
    beta_bar, nats = 1 - signal_shares(BETA), 0.0
    for t in range(2, T + 1):
        before, now, both = moments(covariance, t)
        left = before - both @ np.linalg.solve(now, both.T)
        q_variance = BETA[t - 1] * beta_bar[t - 1] / beta_bar[t]
        best = log_det(left) if full else np.log(np.diag(left)).sum()
        nats -= 0.5 * (best - len(left) * np.log(q_variance))
    return (nats + 0.5 * len(covariance) * np.log(beta_bar[T] / beta_bar[1])) / np.log(2)


def best_theta(covariance, full):
    """Return the parameters of that p, as the flat vector."""
    compiled = linear_model(len(covariance), full)
    theta = np.zeros(compiled.layout.size)
    part = {path.rsplit(".")[-1]: view for path, view in compiled.layout.split(theta).items()}
    for t in range(2, T + 1):
        before, now, both = moments(covariance, t)
        slope, beta = both @ np.linalg.inv(now), BETA[t - 1]
        left = before - slope @ both.T
        part["A"][t - 1] = (slope - np.sqrt(1 - beta) * np.eye(len(left))) / np.sqrt(beta)
        variances = np.diag(left)
        if full:
            # left = R D R^T with R = (1 - mix)^-1 unit lower triangular and D the variances given the elements before.
            root = np.linalg.cholesky(left)
            variances = np.diag(root) ** 2
            mix = np.eye(len(left)) - np.linalg.inv(root / np.diag(root))
            part["mix"][t - 1] = mix[np.tril_indices(len(left), -1)]
        part["s"][t - 1] = np.log(variances / beta)
    return theta


@each
@each_covariance
def test_the_closed_form_is_the_optimum_of_K(covariance, full):
    """K there is the closed form's, its gradient is 0, and no step to any side is better (Eq. 15)."""
    compiled, theta = linear_model(len(covariance), full), best_theta(covariance, full)
    frozen = exact_expectation(covariance)
    objective = compiled.objective(len(frozen[0]))
    cost, gradient = objective(theta, *frozen)
    assert -cost == pytest.approx(best_K(covariance, full), abs=1e-10)
    np.testing.assert_allclose(gradient, 0, atol=1e-10)
    rng = np.random.default_rng(0)
    assert all(objective(theta + 0.01 * rng.standard_normal(len(theta)), *frozen)[0] > cost for _ in range(10))


@each_covariance
def test_exact_steps_lose_only_what_the_last_and_the_first_step_do(covariance):
    """With p(x_{t-1} | x_t) = q(x_{t-1} | x_t) Eq. 45 telescopes by Eq. 26: K = H_q(X_T) - H_q(X_1) - H_p(X_T)."""
    alpha_bar = signal_shares(BETA)
    last, first = (alpha_bar[t] * covariance + (1 - alpha_bar[t]) * np.eye(len(covariance)) for t in (T, 1))
    assert best_K(covariance, True) == pytest.approx(0.5 * (log_det(last) - log_det(first)) / np.log(2), abs=1e-10)
    # A diagonal step is as good only where the data are independent.
    difference = best_K(covariance, True) - best_K(covariance, False)
    assert difference == pytest.approx(0, abs=1e-10) or difference > 0.05
    assert (difference > 0.05) == bool(np.any(covariance != np.diag(np.diag(covariance))))


@each
@each_covariance
def test_gradient_ascent_from_zero_reaches_the_optimum(covariance, full):
    """L-BFGS on the exact expectation finds the closed form's K to 1e-8 bits, and its parameters."""
    compiled, frozen = linear_model(len(covariance), full), exact_expectation(covariance)
    objective = compiled.objective(len(frozen[0]))
    start = np.zeros(compiled.layout.size)
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-8}
    found = minimize(objective, start, frozen, "L-BFGS-B", jac=True, options=options)
    assert -found.fun == pytest.approx(best_K(covariance, full), abs=1e-8)
    np.testing.assert_allclose(found.x, best_theta(covariance, full), atol=1e-3)


@each
def test_ascent_on_frozen_noise_is_within_its_statistical_error(full):
    """Drawn examples, times and noise in place of the expectation: m parameters fitted to n examples cost about m / 2n
    nats a term, and never gain."""
    covariance, n = COVARIANCES["two numbers"], 2000 * (T - 1)
    compiled, rng = linear_model(2, full), np.random.default_rng(0)
    X, N = rng.multivariate_normal([0, 0], covariance, n), rng.standard_normal((n, 2))
    frozen = (X, 2.0 + np.arange(n) % (T - 1), N, np.zeros_like(X), np.ones(n))
    found = minimize(
        compiled.objective(n), np.zeros(compiled.layout.size), frozen, "L-BFGS-B", jac=True, options={"maxiter": 300}
    )
    points = exact_expectation(covariance)
    loss = best_K(covariance, full) + compiled.objective(len(points[0]))(found.x, *points)[0]
    expected = (T - 1) * compiled.layout.size / (2 * n) / np.log(2)
    assert 0 < loss < 4 * expected


@each
def test_the_estimate_over_all_steps_agrees(full):
    """K_all_terms of the closed form's parameters, on drawn data, within 4 standard errors."""
    covariance = COVARIANCES["three numbers"]
    X = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, 20_000)
    bound = K_all_terms(linear_model(3, full), best_theta(covariance, full), X, 0, 4000, 20_000)
    assert bound.value == pytest.approx(best_K(covariance, full), abs=4 * bound.standard_error)
    assert bound.standard_error < 0.02


@pytest.mark.parametrize("steps", [2, 10, 200])
def test_a_zeroed_network_on_unit_normal_data_has_K_of_L_null(steps):
    """Its steps are the forward kernel, which reverses itself where q(x_0) = pi: K - L_null = 0 at every T."""
    compiled = compiled_vectors(steps)
    frozen = exact_expectation(np.eye(2), steps)
    cost, _ = compiled.objective(len(frozen[0]))(np.zeros(compiled.layout.size), *frozen)
    assert cost == pytest.approx(0, abs=1e-10)


def test_a_zeroed_prediction_of_x_0_is_exact_on_unit_normal_data():
    """The same for the network that predicts x_0 and adds the variance of this prediction."""
    with Engine("auto", "float64") as engine:
        network = networks.PosteriorVariance(2, networks.NormalizedRBF(2, 5), T)
        model = VectorDiffusion(2, GaussianKernel(), schedules.FixedSchedule(schedules.erase_equally(T)), network)
    compiled, frozen = CompiledModel(model, engine), exact_expectation(np.eye(2))
    cost, _ = compiled.objective(len(frozen[0]))(np.zeros(compiled.layout.size), *frozen)
    assert cost == pytest.approx(0, abs=1e-10)
