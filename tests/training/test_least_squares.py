"""Closed-form readouts on problems with a known optimum."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.kernels.full_gaussian import FullGaussianKernel
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.networks import vectors as networks
from dpm.graph.vector_model import VectorDiffusion
from dpm.training import least_squares as refit
from tests.helpers.bounds import K_all_terms

T = 6
COVARIANCE = np.array([[1.0, 0.8], [0.8, 1.0]])


def best_K(beta, full):
    """Return the largest K - L_null on normal data of COVARIANCE, in bits.

    The optimal p has the covariance of q(x_{t-1} | x_t):

    E KL_t = log det(1 + (SNR_{t-1} - SNR_t) Cov(x_0 | x_t)) / 2, or of the covariance's diagonal.
    """
    alpha_bar = np.cumprod(1 - beta)
    snr = alpha_bar / (1 - alpha_bar)
    nats = 0.0
    for before, now in pairwise(snr):
        left = np.linalg.inv(np.linalg.inv(COVARIANCE) + now * np.eye(2))
        step = np.eye(2) + (before - now) * left
        nats += 0.5 * (np.linalg.slogdet(step)[1] if full else np.log(np.diag(step)).sum())
    return (np.log((1 - alpha_bar[-1]) / (1 - alpha_bar[0])) - nats) / np.log(2)


@pytest.mark.thorough
@pytest.mark.parametrize("network", [networks.MeanVariance, networks.PosteriorVariance])
@pytest.mark.parametrize("full", [False, True])
def test_normal_data_reach_the_optimal_bound_in_closed_form(network, full):
    """For normal data the optimal mean is linear in x_t and the optimal variance is constant."""
    engine, beta = Engine("auto", "float64"), schedules.linear(T, 0.05, 0.5)
    with engine:
        hidden = networks.WithInputs(2, networks.NormalizedRBF(2, 2))
        kernel = FullGaussianKernel() if full else GaussianKernel()
        model = VectorDiffusion(2, kernel, schedules.FixedSchedule(beta), network(2, hidden, T, full))
    compiled = CompiledModel(model, engine)
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([0, 0], COVARIANCE, 20_000)
    theta = compiled.start(rng)
    solved = refit.refit(compiled, theta, X, seed=0, quiet=True)
    test = rng.multivariate_normal([0, 0], COVARIANCE, 100_000)
    bound = K_all_terms(compiled, solved, test, 1, 10_000, 100_000)
    best = best_K(beta, full)
    assert bound.value == pytest.approx(best, abs=4 * bound.standard_error + 1e-3)
    assert best_K(beta, True) > best_K(beta, False) + 0.1
    same = [path for path in compiled.layout.slices if "rbf" in path]
    before, after = compiled.layout.split(theta), compiled.layout.split(solved)
    assert all(np.array_equal(before[path], after[path]) for path in same)
    again = refit.refit(compiled, theta, X, seed=0, quiet=True)
    np.testing.assert_array_equal(solved, again)


def test_least_squares_matches_numpy():
    rng = np.random.default_rng(0)
    A, y, weights = rng.standard_normal((50, 4)), rng.standard_normal(50), rng.uniform(0.1, 2, 50)
    expected = np.linalg.lstsq(A * np.sqrt(weights)[:, None], y * np.sqrt(weights), rcond=None)[0]
    np.testing.assert_allclose(refit.least_squares(A, weights, y), expected, rtol=1e-6)


def test_scoring_reaches_the_maximum_likelihood_variances():
    """Minimize sum of log Sigma + squares / Sigma for log-linear Sigma; compare with SciPy's BFGS."""
    rng = np.random.default_rng(0)
    A = np.column_stack([rng.standard_normal((2000, 2)), np.ones(2000)])
    squares = np.exp(A @ [0.7, -0.4, 0.2])[:, None] * rng.chisquare(1, (2000, 1))
    found = refit.score(A, squares, lambda z: (np.exp(z), np.ones_like(z)), np.zeros((3, 1)), scorings=10)
    best = minimize(lambda w: (A @ w + squares[:, 0] * np.exp(-A @ w)).sum(), np.zeros(3), method="BFGS")
    np.testing.assert_allclose(found[:, 0], best.x, atol=1e-4)
