"""Test SFO: passes on the golden problems, noise, one parameter, rejected steps, and invalid arguments."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit

from dpm.optimizers import LBFGS, SFO, Stochastic
from tests.helpers.problems import (
    basis,
    golden_autoencoder,
    golden_quadratics,
    logistic_regression,
    passes_to_reach,
    quadratics,
)


def sfo(problem, seed, **more):
    return SFO(problem.f_df, problem.start, problem.references, rng=np.random.default_rng(seed), **more)


def median_passes(problem, tolerances, most, seeds=5, **more):
    """Return the median over seeds of the passes to each tolerance."""
    return np.median(
        [passes_to_reach(sfo(problem, s, **more), problem, tolerances, most) for s in range(seeds)], axis=0
    )


@pytest.mark.thorough
def test_golden_quadratics_need_no_more_passes_than_in_2014():
    """The 2014 code needs 1-2, 7-7.5 and 9.6-10.6 passes."""
    assert (median_passes(golden_quadratics(), (1e-2, 1e-4, 1e-6), 12) <= [2, 8, 11]).all()


def test_the_golden_autoencoder_needs_no_more_passes_than_in_2014():
    """The 2014 code needs 1-2 passes; 230 parameters in a subspace of 93 dimensions."""
    assert median_passes(golden_autoencoder(), (1e-2,), 3) <= 2


def test_logistic_regression_needs_fewer_passes_than_lbfgs():
    problem = logistic_regression()
    lbfgs = LBFGS(problem.f_df, problem.start, problem.references)
    passes = passes_to_reach(lbfgs, problem, (1e-6,), 60)[0]
    for seed in range(3):
        assert passes_to_reach(sfo(problem, seed), problem, (1e-6,), 30)[0] < passes / 2


@pytest.mark.parametrize("problem", [golden_quadratics(), logistic_regression()], ids=["quadratics", "regression"])
def test_four_subfunctions_at_each_point_need_at_most_half_the_points(problem):
    """A worker for each of the four then makes the run at least twice as fast."""
    one = passes_to_reach(sfo(problem, 0), problem, (1e-4,), 30)[0]
    four = passes_to_reach(sfo(problem, 0, n_ahead=4, init_subf=4), problem, (1e-4,), 30)[0]
    assert four / 4 <= one / 2


def test_the_subfunctions_of_a_step_are_different_and_at_the_same_point():
    problem, asked = quadratics(), []

    def f_dfs(theta, references):
        asked.append(list(references))
        return [problem.f_df(theta, reference) for reference in references]

    together = sfo(problem, 0, n_ahead=3, init_subf=3, f_dfs=f_dfs)
    together.optimize(num_passes=4)
    assert all(len(set(references)) == len(references) for references in asked)
    assert max(len(references) for references in asked[2:]) == 3
    alone = sfo(problem, 0, n_ahead=3, init_subf=3)
    alone.optimize(num_passes=4)
    np.testing.assert_array_equal(together.theta, alone.theta)


def test_an_evaluation_that_raises_leaves_the_optimizer_as_it_was():
    """The path after it is that of a run in which nothing was raised."""
    problem, calls = quadratics(), []

    def raise_once(theta, reference):
        calls.append(reference)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return problem.f_df(theta, reference)

    stopped, expected = (
        SFO(f, problem.start, problem.references, rng=np.random.default_rng(0), n_ahead=3)
        for f in (raise_once, problem.f_df)
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.optimize(num_steps=60)
    while stopped.sum.evaluations < 60:
        stopped.step()
    expected.optimize(num_steps=60)
    np.testing.assert_array_equal(stopped.theta, expected.theta)


@pytest.mark.parametrize(("dtype", "bar"), [("float64", 1e-6), ("float32", 1e-3)])
def test_theta_stays_at_the_minimum(dtype, bar):
    """Gradients change by little more than rounding there; the basis stays orthonormal through many collapses."""
    rng = np.random.default_rng(0)
    scale, center = rng.uniform(0.1, 3, (20, 300)), rng.standard_normal((20, 300))

    def f_df(x, i):
        away = x - center[i].astype(dtype)
        gradient = scale[i].astype(dtype) * away
        return 0.5 * away @ gradient, gradient

    best = (scale * center).sum(0) / scale.sum(0)
    optimizer = SFO(f_df, np.zeros(300, dtype), range(20), rng=np.random.default_rng(1))
    optimizer.optimize(num_steps=600)
    assert np.linalg.norm(optimizer.theta - best) < bar
    P = basis(optimizer.subspace).astype(float)
    np.testing.assert_allclose(P @ P.T, np.eye(len(P)), atol=bar)


@pytest.mark.parametrize(("deviation", "bar"), [(0.1, 0.03), (1.0, 0.46)])
def test_noisy_gradients_end_near_the_minimum(deviation, bar):
    """The distance of F from the minimum after 30 passes over ten quadratics of six parameters; never NaN before."""
    for seed in range(4):
        problem, rng = quadratics(seed=seed), np.random.default_rng(100 + seed)

        def f_df(x, i, problem=problem, rng=rng):
            f, gradient = problem.f_df(x, i)
            return f, gradient + deviation * rng.standard_normal(len(x))

        optimizer = SFO(f_df, problem.start, problem.references, rng=np.random.default_rng(seed))
        for _ in range(300):
            optimizer.step()
            assert np.isfinite(optimizer.theta).all()
        assert problem.total(optimizer.theta) - problem.least <= bar


@pytest.mark.parametrize("start", [0.0, 0.5, 3.0])
def test_one_parameter_is_optimized(start):
    """Five quadratics of one parameter: the 2014 code fails in two of nine such runs."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, c = rng.uniform(0.1, 3, 5), rng.standard_normal(5)

        def f_df(x, i, a=a, c=c):
            return 0.5 * a[i] * (x - c[i]) ** 2, a[i] * (x - c[i])

        theta = SFO(f_df, start, range(5), rng=np.random.default_rng(seed)).optimize(num_passes=12)
        assert theta == pytest.approx(a @ c / a.sum(), abs=1e-6)


def test_the_active_set_grows_from_init_subf_to_all():
    problem = golden_quadratics()
    optimizer = sfo(problem, 0, init_subf=3)
    grown = [optimizer.active]
    for _ in range(300):
        optimizer.step()
        assert (optimizer.quadratics.counts[optimizer.active :] == 0).all()
        grown.append(optimizer.active)
    assert grown[0] == 3
    assert set(np.diff(grown)) == {0, 1}
    assert grown[-1] == 40


@pytest.mark.parametrize("start", [0.1, -3.0, 20.0])
def test_a_step_that_rises_is_rejected_and_its_subfunction_evaluated_again(start):
    """f = x^4 / 4 - x is so flat at 0.1 that its quadratic overshoots repeatedly."""
    points = []

    def f_df(x, i):
        points.append(x)
        return x**4 / 4 - x, x**3 - 1

    optimizer = SFO(f_df, start, [0], rng=np.random.default_rng(0))
    rejected = 0
    for _ in range(60):
        optimizer.step()
        if optimizer.rejected > rejected:
            rejected = optimizer.rejected
            assert optimizer.theta != points[-1]
            optimizer.step()
            assert points[-1] == optimizer.theta
    assert rejected > 0
    assert optimizer.theta == pytest.approx(1, abs=1e-6)


def test_the_length_of_a_step_is_limited():
    """From the fourth step on the limit is a multiple of the mean of the last steps: some reach it, none exceeds it."""
    problem = quadratics(number=12, seed=3)
    optimizer = sfo(problem, 0, max_step_length_ratio=0.5)
    reached = 0
    for _ in range(60):
        optimizer.step()
        if len(optimizer.lengths) >= 4:
            length = np.linalg.norm(optimizer.proposal - optimizer.at)
            limit = 0.5 * optimizer.lengths.mean()
            assert length <= limit * (1 + 1e-12)
            reached += length > 0.99 * limit
    assert reached > 5


def deep_network(units, layers, scale, parts=16, examples=60, size=6):
    """Return (f_df, start, references) of a tanh network with log loss on a product of signs, far from quadratic."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((parts, examples, size))
    y = np.sign(X[..., 0] * X[..., 1])
    sizes = [size] + [units] * layers + [1]
    start = [scale * rng.standard_normal((a, b)) / a**0.5 for a, b in pairwise(sizes)]

    def f_df(W, i):
        h = [X[i]]
        for w in W[:-1]:
            h.append(np.tanh(h[-1] @ w))
        z = (h[-1] @ W[-1])[:, 0] * y[i]
        back = (-y[i] * expit(-z) / examples)[:, None]
        gradients = []
        for k in reversed(range(len(W))):
            gradients.append(h[k].T @ back)
            back = (back @ W[k].T) * (1 - h[k] ** 2)
        return np.logaddexp(0, -z).mean(), gradients[::-1]

    return f_df, start, list(range(parts))


def test_the_radius_follows_the_distance_at_which_quadratics_hold():
    """Each radius equals the rule: twice or half the distance, errors of 0.1 or 0.5, a factor of 8 per pass at most."""
    f_df, start, references = deep_network(20, 2, 1)
    optimizer = SFO(f_df, start, references, rng=np.random.default_rng(0))
    model, expected, halved, doubled = optimizer.quadratics, np.inf, 0, 0
    for _ in range(200):
        evaluated_again = optimizer.pending >= 0
        counts, values, active = model.counts.copy(), model.values.copy(), optimizer.active
        predicted = {k: model.value(k, optimizer.proposal) for k in np.flatnonzero(counts)}
        away = np.linalg.norm(optimizer.proposal - model.positions, axis=1)
        optimizer.step()
        i = int(np.flatnonzero(model.counts != counts)[0])
        if counts[i] and not evaluated_again:
            miss = abs(model.values[i] - predicted[i]) / max(
                abs(predicted[i] - values[i]), abs(model.values[i] - values[i])
            )
            if miss > 0.5 and away[i] / 2 < expected:
                slowest = expected / 8 ** (1 / active) if np.isfinite(expected) else 0
                expected, halved = max(away[i] / 2, slowest), halved + 1
            elif miss < 0.1 and 2 * away[i] > expected:
                expected, doubled = 2 * away[i], doubled + 1
        assert optimizer.radius == pytest.approx(expected)
        if np.isfinite(expected) and optimizer.pending < 0:
            known = model.counts > 0
            there, here = (
                np.sqrt(((z - model.positions[known]) ** 2).sum(axis=1).mean())
                for z in (optimizer.proposal, optimizer.at)
            )
            assert there <= max(expected, here + 2 * optimizer._shortest_step()) * (1 + 1e-9)
    assert halved > 5
    assert doubled > 5


@pytest.mark.thorough
@pytest.mark.parametrize(("units", "layers", "scale"), [(20, 2, 1), (20, 3, 1), (40, 3, 1), (20, 3, 3), (20, 2, 3)])
def test_deep_networks_are_fitted_better_than_with_the_best_rate_of_adam(units, layers, scale):
    """The quadratics mislead most here: without the radius the sum ends above its start."""
    f_df, start, references = deep_network(units, layers, scale)

    def final(optimizer):
        theta = optimizer.optimize(num_passes=25)
        return np.mean([f_df(theta, i)[0] for i in references])

    adam = [
        final(Stochastic(f_df, start, references, learning_rate=rate, rng=np.random.default_rng(0)))
        for rate in (3e-3, 1e-2, 3e-2, 1e-1)
    ]
    ours = [final(SFO(f_df, start, references, rng=np.random.default_rng(seed))) for seed in range(3)]
    assert np.median(ours) < 0.9 * min(adam)


def test_the_others_continue_if_one_subfunction_stays_not_finite():
    problem = quadratics()
    calls = 0

    def f_df(x, i):
        nonlocal calls
        calls += 1
        f, gradient = problem.f_df(x, i)
        return (np.nan, gradient) if i == 4 and calls > 60 else (f, gradient)

    optimizer = SFO(f_df, problem.start, problem.references, rng=np.random.default_rng(0))
    theta = optimizer.optimize(num_passes=60)
    assert np.isfinite(theta).all()
    assert optimizer.skipped_steps > 0
    assert problem.total(theta) - problem.least < 1e-3 * (problem.total(problem.start) - problem.least)


@pytest.mark.parametrize("selection", ["distance both", "distance single", "distance total", "random"])
def test_every_selection_of_subfunctions_converges(selection):
    problem = quadratics()
    theta = sfo(problem, 0, subfunction_selection=selection).optimize(num_passes=25)
    np.testing.assert_allclose(theta, problem.best, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_history_terms", 0, "a whole number above 0"),
        ("max_history_terms", 2.5, "a whole number above 0"),
        ("hess_max_dev", 0.5, "a number of at least 1"),
        ("hessian_init", -1.0, "a number above 0"),
        ("init_subf", 0, "a whole number above 0"),
        ("max_gradient_noise", 0, "a number above 0"),
        ("max_step_length_ratio", np.inf, "a number above 0"),
        ("minimum_step_length", "1", "a number above 0"),
        ("subfunction_selection", "nearest", "one of distance both, distance single, distance total, random"),
        ("max_subspace", 3, "a whole number of at least 22"),
    ],
)
def test_invalid_arguments_raise_an_error(name, value, expected):
    with pytest.raises(ValueError, match=rf"{name}: got .*; expected {expected}"):
        SFO(lambda x, i: (x, x), 1.0, [0], **{name: value})
