"""Times drawn by importance and weights of the terms of Eq. 14 (dpm/training/times.py)."""

import numpy as np
import pytest

from dpm.graph import schedules
from dpm.likelihood.times import UNIFORM_SHARE
from dpm.training.times import TimeWeights
from tests.helpers.graphs import compiled_bits, compiled_tiny, compiled_vectors

T, N = 8, 3
CHOICES = [("importance", "K"), ("stratified", "balanced"), ("importance", "balanced")]
MODELS = {
    "images": lambda: compiled_tiny(T),
    "bits": lambda: compiled_bits(T),
    "vectors": lambda: compiled_vectors(T, lambda: schedules.FreeSchedule(schedules.released(T))),
}


def known(times="importance", objective="K", T=T):
    """Return TimeWeights whose terms fall as a power of t."""
    chosen = TimeWeights(T, times, objective)
    t = chosen.sizes.times
    chosen.sizes.update(t, 5.0 * t**-1.5)
    return chosen


def middles(p):
    """Return a position in the middle of each time's part of [0, 1)."""
    return np.cumsum(p) - p / 2


def case(name):
    """Return a model, random parameters and the inputs of N examples, in double precision."""
    compiled = MODELS[name]()
    rng = np.random.default_rng(0)
    theta = 0.3 * rng.standard_normal(compiled.layout.size)
    model = compiled.model
    shape = (N, *model.example_shape)
    X = rng.integers(0, 2, shape).astype(float) if model.kernel.binary else rng.standard_normal(shape)
    draw = {"normal": rng.standard_normal, "uniform": rng.random}[model.kernel.noise]
    return compiled, theta, [X, draw(shape), rng.random(shape)]


@pytest.mark.parametrize("name", MODELS)
def test_expectation_over_times_by_importance_is_K_and_its_gradient(name):
    """Eq. 14, all t enumerated: sum_t p(t) of the weighted cost and gradient, against evenly drawn times."""
    compiled, theta, (X, noise, uniform) = case(name)
    chosen = known()
    p = chosen.probabilities(chosen.weights(0))
    assert p.max() > 2 * p.min()
    cost, gradient, K_cost = 0.0, 0.0, 0.0
    even_cost, even_gradient = 0.0, 0.0
    for t, position in enumerate(middles(p), start=2):
        inputs = [X, np.full(N, position), noise, uniform, np.ones(N)]
        found = chosen.evaluate(compiled.objective_with_terms(N), theta, inputs)
        assert np.array_equal(found.t, np.full(N, t))
        cost, gradient, K_cost = (
            cost + p[t - 2] * found.value,
            gradient + p[t - 2] * found.gradient,
            K_cost + p[t - 2] * found.K_cost,
        )
        part, slope = compiled.objective(N)(theta, X, np.full(N, float(t)), noise, uniform, np.ones(N))
        even_cost, even_gradient = even_cost + part / (T - 1), even_gradient + slope / (T - 1)
    assert cost == pytest.approx(even_cost, rel=1e-10)
    assert K_cost == pytest.approx(even_cost, rel=1e-10)
    np.testing.assert_allclose(gradient, even_gradient, rtol=1e-9, atol=1e-10 * np.abs(even_gradient).max())


@pytest.mark.parametrize(("times", "objective"), CHOICES)
def test_logged_cost_is_that_of_K_whatever_the_objective(times, objective):
    compiled, theta, (X, noise, uniform) = case("bits")
    chosen = known(times, objective)
    p = chosen.probabilities(chosen.weights(0))
    K_cost, even = 0.0, 0.0
    for t, position in enumerate(middles(p), start=2):
        inputs = [X, np.full(N, position), noise, uniform, np.ones(N)]
        K_cost += p[t - 2] * chosen.evaluate(compiled.objective_with_terms(N), theta, inputs).K_cost
        even += compiled.costs(N)(theta, X, np.full(N, float(t)), noise, uniform).mean() / (T - 1)
    assert K_cost == pytest.approx(even, rel=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_of_weighted_terms_by_central_differences(name):
    """Any weights of the terms; the entropies of Eq. 14, which depend on a learned schedule, have weight 1 / n."""
    compiled, theta, (X, noise, uniform) = case(name)
    t, weights, shares = np.array([2.0, 4.0, 8.0]), np.array([0.2, 3.0, 0.7]), np.full(N, 1 / N)
    arrays = (X, t, noise, uniform, weights, shares)
    function = compiled.objective_with_terms(N)
    cost, gradient, terms, gains = function(theta, *arrays)
    assert cost == pytest.approx(weights @ terms - shares @ gains, rel=1e-12)
    np.testing.assert_allclose(terms - gains, compiled.costs(N)(theta, X, t, noise, uniform), rtol=1e-12)
    direction, step = np.random.default_rng(1).standard_normal(theta.shape), 1e-6
    above, below = (function(theta + sign * step * direction, *arrays)[0] for sign in (1, -1))
    assert gradient @ direction == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("size", [1, 2])
def test_microbatches_give_the_sums_and_terms_of_the_whole(size):
    compiled, theta, (X, noise, uniform) = case("bits")
    arrays = (X, np.array([2.0, 3.0, 7.0]), noise, uniform, np.array([0.5, 2.0, 1.0]), np.full(N, 1 / N))
    for part, whole in zip(
        compiled.objective_with_terms(size)(theta, *arrays),
        compiled.objective_with_terms(N)(theta, *arrays),
        strict=True,
    ):
        np.testing.assert_allclose(part, whole, rtol=1e-10, atol=1e-12)


def test_positions_become_times_with_probability_p():
    chosen = known(T=1000)
    p, n = chosen.probabilities(chosen.weights(0)), 200_000
    t = chosen.place((np.arange(n) + 0.5) / n).t
    np.testing.assert_allclose(np.bincount(t.astype(int), minlength=1001)[2:] / n, p, atol=1.01 / n)
    assert chosen.place([0.0, 1.0]).t.tolist() == [2, 1000]


def test_probabilities_are_proportional_to_the_sizes_but_for_a_uniform_share():
    chosen = known(T=1000)
    p, t = chosen.probabilities(chosen.weights(0)), chosen.sizes.times
    assert p.sum() == pytest.approx(1)
    assert p.min() > UNIFORM_SHARE / 999
    sizes = t**-1.5
    np.testing.assert_allclose(p, UNIFORM_SHARE / 999 + (1 - UNIFORM_SHARE) * sizes / sizes.sum(), rtol=0.05)
    assert chosen.place(np.linspace(0, 1, 1000)).weights.max() <= 1 / UNIFORM_SHARE


def test_balanced_weights_make_every_time_count_alike_and_turn_into_those_of_K():
    chosen = known(objective="balanced", T=1000)
    product = chosen.weights(0) * chosen.sizes.rms()
    np.testing.assert_allclose(product, product.mean(), rtol=1e-12)
    np.testing.assert_allclose(chosen.probabilities(chosen.weights(0)), 1 / 999, rtol=1e-12)
    turning = known(objective="balanced-then-K", T=1000)
    np.testing.assert_array_equal(turning.weights(0.0), chosen.weights(0))
    np.testing.assert_array_equal(turning.weights(1.0), 1)
    assert [turning.exponent(part) for part in (0.2, 0.9)] == [1, 0]
    assert 0 < turning.exponent(0.55) < 1
