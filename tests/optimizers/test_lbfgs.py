"""Test L-BFGS: golden traces, bounds, and convergence."""

import numpy as np
import pytest

from dpm.optimizers import LBFGS
from tests.helpers.problems import GOLDEN, golden_autoencoder, golden_quadratics, quadratics


@pytest.mark.parametrize(
    ("name", "problem", "tolerances"),
    [("quad", golden_quadratics, (1e-2, 1e-4, 1e-6)), ("autoenc", golden_autoencoder, (1e-2, 1e-3))],
)
def test_the_number_of_passes_is_within_a_tenth_of_the_golden_traces(name, problem, tolerances):
    problem, trace = problem(), np.load(GOLDEN / f"{name}_lbfgs.npz")
    optimizer = LBFGS(problem.f_df, problem.start, problem.references)
    optimizer.optimize(num_passes=90)
    first, least = trace["f_per_pass"][0], float(trace["fun"])
    for tolerance in tolerances:
        bar = least + tolerance * (first - least)
        ours, theirs = (np.flatnonzero(np.asarray(f) <= bar)[0] for f in (optimizer.values, trace["f_per_pass"]))
        assert abs(ours - theirs) <= 0.1 * theirs


def test_bounds_are_respected_and_reached():
    problem = quadratics()
    lower, upper = problem.best - 1, problem.best - 0.5
    seen = []

    def f_df(x, i):
        seen.append(x.copy())
        return problem.f_df(x, i)

    theta = LBFGS(f_df, problem.start, problem.references, bounds=(lower, upper)).optimize(num_passes=50)
    assert (np.array(seen) >= lower).all()
    assert (np.array(seen) <= upper).all()
    gradient = sum(problem.f_df(theta, i)[1] for i in problem.references)
    free = (theta > lower) & (theta < upper)
    np.testing.assert_allclose(gradient[free], 0, atol=1e-5)
    assert not free.all()


def test_bounds_may_be_numbers_or_nests():
    f_df = lambda x, i: (x["a"] ** 2 + x["b"] ** 2, {"a": 2 * x["a"], "b": 2 * x["b"]})  # noqa: E731
    start = {"a": 3.0, "b": 4.0}
    assert LBFGS(f_df, start, [0], bounds=(1, None)).optimize(20) == {"a": 1, "b": 1}
    got = LBFGS(f_df, start, [0], bounds=({"a": 2.0, "b": -9.0}, 9.0)).optimize(20)
    assert got["a"] == 2
    assert got["b"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (3, r"bounds: got 3; expected None or \(lower, upper\)"),
        ((2, 1), r"bounds: got \(2, 1\), which cross; expected lower <= upper everywhere"),
        (("a", 1), "lower of bounds: got 'a' of type str; expected real numbers"),
        ((np.zeros(3), 1), r"lower of bounds: got shape \(3,\); expected \(2,\), as in theta"),
    ],
)
def test_invalid_bounds_raise_an_error(bounds, message):
    with pytest.raises(ValueError, match=message):
        LBFGS(lambda x, i: (x, x), np.ones(2), [0], bounds=bounds)


def test_a_converged_run_makes_no_more_evaluations():
    problem = quadratics()
    optimizer = LBFGS(problem.f_df, problem.start, problem.references)
    theta = optimizer.optimize(num_passes=200)
    assert optimizer.converged
    evaluations = optimizer.sum.evaluations
    assert evaluations < 2000
    np.testing.assert_array_equal(optimizer.optimize(num_passes=5), theta)
    assert optimizer.sum.evaluations == evaluations
