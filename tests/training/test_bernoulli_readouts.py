"""Readouts of bit rates: against SciPy, closed forms of independent bits, and the exact ceiling of heartbeats."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from dpm.datasets.made.generators import heartbeat
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments import exact
from dpm.experiments.toys import TOYS
from dpm.likelihood.bound import L_null
from dpm.training import bernoulli_readouts as readouts
from tests.helpers.bounds import K_all_terms

T, KNOTS, UNITS = 6, 4, 24


@pytest.fixture(scope="module")
def models():
    """Return the paper's form with T steps, compiled, and the same with smooth readouts."""
    engine = Engine("auto", "float64")
    with engine:
        full = TOYS["heartbeat"].model({"form": "paper", "trajectory_length": T, "hidden": UNITS})
        smooth = readouts.smooth_model(full, KNOTS)
    return CompiledModel(full, engine), CompiledModel(smooth, engine)


def solve_all(full, smooth, X):
    """Return flat parameters at the start, and with all readouts solved for, from 8000 examples per step."""
    theta = readouts.start_as_null(smooth, smooth.start(np.random.default_rng(0)), X, 0)
    start = readouts.expand(full, smooth, theta)
    solved = start
    for _ in range(3):  # two steps of Newton's method each
        solved = readouts.solve(full, solved, X, 0, range(2, T + 1))
    return start, solved


def test_newton_minimizes_the_divergence_from_soft_targets():
    """The same minimum as SciPy's BFGS, for rates that no logistic regression gives exactly, and with an offset."""
    rng = np.random.default_rng(0)
    A = np.column_stack([rng.standard_normal((500, 3)), np.ones(500)])
    target, offset = rng.uniform(0.01, 0.9, (500, 2)), rng.standard_normal((500, 2))
    found = readouts.newton(A, target, offset, np.zeros((4, 2)), steps=8)
    for bit in range(2):

        def kl(w, bit=bit):
            z = offset[:, bit] + A @ w
            return (np.logaddexp(0, z) - target[:, bit] * z).sum(), A.T @ (expit(z) - target[:, bit])

        best = minimize(kl, np.zeros(4), jac=True, method="BFGS")
        np.testing.assert_allclose(found[:, bit], best.x, atol=1e-5)


def test_newton_finds_the_readout_that_made_the_targets():
    rng = np.random.default_rng(1)
    A = np.column_stack([rng.standard_normal((500, 3)), np.ones(500)])
    true = np.array([[2.0], [-1.0], [0.5], [-6.0]])
    found = readouts.newton(A, expit(A @ true), np.zeros((500, 1)), np.zeros((4, 1)), steps=12)
    np.testing.assert_allclose(found, true, atol=1e-3)


def test_smooth_readouts_are_readouts_per_step(models):
    """Both models have the same cost, example by example, at all times."""
    full, smooth = models
    rng = np.random.default_rng(0)
    theta = smooth.start(rng)
    theta += 0.1 * rng.standard_normal(theta.shape)
    X, n = heartbeat(rng, 70).astype(float), 70
    inputs = [X, 2.0 + np.arange(n) % (T - 1), rng.random(X.shape), rng.random(X.shape)]
    expected = smooth.costs(n)(theta, *inputs)
    np.testing.assert_allclose(full.costs(n)(readouts.expand(full, smooth, theta), *inputs), expected, rtol=1e-9)


@pytest.mark.thorough
def test_independent_bits_start_at_the_optimum_and_stay_there(models, monkeypatch):
    """For independent bits of the base rate the null kernel is exact: K = L_null. Its logits are linear in the bits,
    and so are the copies in the hidden layers.
    """
    full, smooth = models
    n = 8000
    monkeypatch.setattr(readouts, "EXAMPLES", n)
    X = (np.random.default_rng(0).random((n, 20)) < 0.2).astype(float)
    start, solved = solve_all(full, smooth, X)
    before, after = (K_all_terms(full, theta, X, 1, n, n).value for theta in (start, solved))
    assert before == pytest.approx(0, abs=0.5)  # linear between the knots is not exact
    assert abs(after) < abs(before)
    # The targets scatter about the optimum: fitted to n of them, k unknowns per bit cost k / n of the divergence, and
    # the sum of all divergences is below H_p(X_T) = -L_null.
    assert 2 * (UNITS + 1) / n * L_null(full.model) < after < 0.01


@pytest.mark.thorough
def test_solved_readouts_raise_the_bound_of_heartbeats_towards_the_ceiling(models, monkeypatch):
    """On sequences that were not used to solve, with hidden layers as they start."""
    full, smooth = models
    monkeypatch.setattr(readouts, "EXAMPLES", 8000)
    rng = np.random.default_rng(0)
    X, test = heartbeat(rng, 8000).astype(float), heartbeat(rng, 4000).astype(float)
    start, solved = solve_all(full, smooth, X)
    before, after = (K_all_terms(full, theta, test, 1, 8000, 8000) for theta in (start, solved))
    assert before.value == pytest.approx(0, abs=0.5)  # K = L_null
    assert after.value > before.value + 20 * before.standard_error
    null = L_null(full.model)
    assert after.value + null < exact.heartbeat.ceiling(T) + 4 * after.standard_error
    hidden = [path for path in full.layout.slices if "hidden layers" in path]
    first, last = full.layout.split(start), full.layout.split(solved)
    assert all(np.array_equal(first[path], last[path]) for path in hidden)


def test_copies_keep_each_bit_and_the_phase_visible_to_a_linear_readout(models):
    """Every bit is a linear function of the third layer's features at the start. The features also hold what is not
    linear in the bits, 100 times as much of it as with orthogonal weights.
    """
    shares = {}
    X = (np.random.default_rng(0).random((3000, 20)) < 0.2).astype(float)
    bits = np.column_stack([X, np.ones(len(X))])
    for start in ("copies", "orthogonal"):
        with (engine := Engine("auto", "float64")):
            given = {"form": "paper", "trajectory_length": 2, "hidden_start": start}
            compiled = CompiledModel(TOYS["heartbeat"].model(given), engine)
        hidden = compiled.function(_Features(compiled.model), [compiled.examples("X", len(X))])
        (features,) = hidden(compiled.start(np.random.default_rng(0)), X)
        left = features - bits @ np.linalg.lstsq(bits, features, rcond=None)[0]
        shares[start] = np.sqrt((left**2).mean())
        if start == "copies":
            A = np.column_stack([features, np.ones(len(X))])
            np.testing.assert_allclose(A @ np.linalg.lstsq(A, X, rcond=None)[0], X, atol=1e-9)
    assert shares["copies"] > 100 * shares["orthogonal"]


class _Features:
    """A builder of the hidden features."""

    def __init__(self, model):
        self.model = model

    def __call__(self, X):
        return self.model.network.hidden.apply(X, None)
