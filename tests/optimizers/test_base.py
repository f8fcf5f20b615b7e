"""Test what all optimizers of sums have in common, one battery for SFO, L-BFGS, RMSProp and Adam."""

import logging

import numpy as np
import pytest

from dpm.optimizers import LBFGS, SFO, Adam, RMSProp, Stochastic
from tests.helpers.problems import logistic_regression, quadratic_sum, quadratics, rosenbrock


def sfo(f_df, theta, references, args=(), seed=0, rate=None, **more):
    return SFO(f_df, theta, references, args, rng=np.random.default_rng(seed), **more)


def lbfgs(f_df, theta, references, args=(), seed=0, rate=None, **more):
    return LBFGS(f_df, theta, references, args, rng=np.random.default_rng(seed), **more)


def stochastic(rule):
    def make(f_df, theta, references, args=(), seed=0, rate=0.3, **more):
        rng = np.random.default_rng(seed)
        return Stochastic(
            f_df, theta, references, args, rule=rule, learning_rate=lambda k: rate / (1 + k / 30), rng=rng, **more
        )

    return make


MAKERS = {"sfo": sfo, "lbfgs": lbfgs, "rmsprop": stochastic(RMSProp), "adam": stochastic(Adam)}
#: The gap that a rule with a falling rate reaches in 100 passes; the other two reach the minimum.
LOOSE = {"rmsprop": 1e-3, "adam": 1e-4}


@pytest.fixture(params=MAKERS)
def name(request):
    return request.param


@pytest.fixture
def make(name):
    return MAKERS[name]


def gap(problem, theta):
    """Return (F - F*) / (F0 - F*)."""
    return (problem.total(theta) - problem.least) / (problem.total(problem.start) - problem.least)


def test_a_sum_of_quadratics_is_minimized(name, make):
    problem = quadratics()
    passes = 100 if name in LOOSE else 40
    theta = make(problem.f_df, problem.start, problem.references).optimize(num_passes=passes)
    assert gap(problem, theta) < LOOSE.get(name, 1e-12)


@pytest.mark.parametrize("number", [1, 2])
def test_rosenbrock_is_minimized(name, make, number):
    problem = rosenbrock(number)
    if name in LOOSE:
        optimizer = make(problem.f_df, problem.start, problem.references, rate=0.05)
        optimizer.learning_rate = lambda k: 0.05 / (1 + k / 1000)
        assert gap(problem, optimizer.optimize(num_passes=2000)) < 1e-2
    else:
        theta = make(problem.f_df, problem.start, problem.references).optimize(num_passes=150)
        np.testing.assert_allclose(theta, problem.best, rtol=1e-6)


def test_logistic_regression_is_minimized(name, make):
    problem = logistic_regression()
    passes = 15 if name == "sfo" else 40
    theta = make(problem.f_df, problem.start, problem.references).optimize(num_passes=passes)
    assert gap(problem, theta) < LOOSE.get(name, 1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["f", "gradient"])
def test_one_value_that_is_not_finite_is_skipped_and_logged(name, make, bad, where, caplog):
    problem, calls = quadratics(), 0

    def f_df(theta, i):
        nonlocal calls
        calls += 1
        f, gradient = problem.f_df(theta, i)
        if calls == 35:
            return (bad, gradient) if where == "f" else (f, gradient * bad)
        return f, gradient

    optimizer = make(f_df, problem.start, problem.references)
    with caplog.at_level(logging.WARNING):
        theta = optimizer.optimize(num_passes=100 if name in LOOSE else 40)
    assert gap(problem, theta) < LOOSE.get(name, 1e-12)
    assert optimizer.skipped_steps == 1
    assert len(caplog.records) == 1
    assert "not finite" in caplog.text


def test_the_minimum_is_found_next_to_a_region_that_is_not_finite(name, make):
    """The minimum is at 1/3; one subfunction is infinite at 0 and not defined below."""

    def f_df(x, i):
        with np.errstate(divide="ignore", invalid="ignore"):
            return (-np.log(x), -1 / x) if i else (3 * x, 3.0)

    theta = make(f_df, 2.0, [0, 1]).optimize(num_passes=200)
    assert np.isfinite(theta)
    assert abs(theta - 1 / 3) < (0.05 if name in LOOSE else 1e-5)


def test_a_value_that_is_not_finite_at_the_start_raises_an_error(make):
    with pytest.raises(ValueError, match="not finite at theta"):
        make(lambda x, i: (np.nan, x), np.ones(2), [0, 1]).optimize(num_passes=1)


def test_float32_stays_float32(name, make):
    problem, seen = quadratics(), set()

    def f_df(theta, i):
        seen.add(theta.dtype)
        return problem.f_df(theta, i)

    theta = make(f_df, problem.start.astype("float32"), problem.references).optimize(num_passes=60)
    assert theta.dtype == np.float32
    assert seen == {np.dtype("float32")}
    assert gap(problem, theta.astype(float)) < LOOSE.get(name, 1e-6)


def test_nested_theta_takes_the_same_steps_as_a_flat_one(make):
    problem = quadratics(size=6)

    def nested(theta, i, factor):
        assert factor == 1
        flat = np.concatenate([[theta["a"][0]], theta["a"][1].ravel(), [theta["b"][0]], theta["b"][1]["c"]])
        f, g = problem.f_df(flat, i)
        return f, {"b": (g[3], {"c": g[4:]}), "a": [g[0], g[1:3].reshape(2, 1)]}

    x = problem.start
    theta = {"a": [x[0], x[1:3].reshape(2, 1).copy()], "b": (x[3], {"c": x[4:].copy()})}
    flat = make(problem.f_df, x, problem.references).optimize(num_passes=3)
    got = make(nested, theta, problem.references, args=(1,)).optimize(num_passes=3)
    assert isinstance(got["a"], list)
    assert isinstance(got["b"], tuple)
    assert got["a"][1].shape == (2, 1)
    assert np.ndim(got["b"][0]) == 0
    order = [got["a"][0], *got["a"][1].ravel(), got["b"][0], *got["b"][1]["c"]]
    np.testing.assert_array_equal(order, flat)


@pytest.mark.parametrize("size", [6, 60])
def test_a_resumed_run_is_bit_exact(make, size):
    """With 60 parameters the subspace of SFO is smaller than the space, and was collapsed before the interruption."""
    problem = quadratics(number=5, size=size)
    whole, first, second = (make(problem.f_df, problem.start, problem.references, seed=s) for s in (0, 0, 1))
    expected = whole.optimize(num_passes=12)
    first.optimize(num_steps=5 * 5 + 5)
    state = {name: array.copy() for name, array in first.state().items()}
    first.optimize(num_passes=1)
    assert all(isinstance(array, np.ndarray) for array in state.values())
    second.load_state(state)
    np.testing.assert_array_equal(second.optimize(num_passes=6), expected)
    for name, array in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], array, err_msg=name)


def test_the_state_is_a_copy(make):
    problem = quadratics()
    optimizer = make(problem.f_df, problem.start, problem.references)
    optimizer.optimize(num_passes=2)
    before = optimizer.theta
    for array in optimizer.state().values():
        array[...] = 0
    np.testing.assert_array_equal(optimizer.theta, before)


@pytest.mark.parametrize("change", ["missing", "shape", "text"])
def test_an_invalid_state_raises_an_error_and_changes_nothing(make, change):
    problem = quadratics()
    optimizer = make(problem.f_df, problem.start, problem.references)
    other = make(problem.f_df, problem.start, problem.references)
    other.optimize(num_passes=2)
    state = other.state()
    name = list(state)[-1]
    if change == "missing":
        del state[name]
    else:
        state[name] = np.zeros((7, 3, 2)) if change == "shape" else np.array("text")
    before = optimizer.state()
    with pytest.raises(ValueError, match="expected"):
        optimizer.load_state(state)
    for name, array in optimizer.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_one_parameter(name, make):
    theta = make(lambda x, i: (0.5 * (x - i) ** 2, x - i), 5.0, [0, 1, 5]).optimize(num_passes=60)
    assert np.ndim(theta) == 0
    assert abs(theta - 2) < (0.1 if name in LOOSE else 1e-6)


def test_one_subfunction(name, make):
    problem = quadratics(number=1)
    theta = make(problem.f_df, problem.start, problem.references).optimize(num_passes=1000 if name in LOOSE else 100)
    assert gap(problem, theta) < (0.2 if name == "rmsprop" else 1e-2 if name == "adam" else 1e-10)


def test_theta_is_not_modified_and_f_df_may_overwrite_its_argument(make):
    problem = quadratics()

    def f_df(theta, i):
        result = problem.f_df(theta.copy(), i)
        theta[:] = np.nan
        return result

    start = problem.start.copy()
    expected = make(problem.f_df, start, problem.references).optimize(num_passes=3)
    np.testing.assert_array_equal(start, problem.start)
    optimizer = make(f_df, start, problem.references)
    got = optimizer.optimize(num_passes=3)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(start, problem.start)
    got[:] = 0
    np.testing.assert_array_equal(optimizer.theta, expected)


def test_f_df_may_reuse_its_gradient_buffer(make):
    problem, buffer = quadratics(), np.empty(6)

    def f_df(theta, i):
        f, buffer[:] = problem.f_df(theta, i)
        return f, buffer

    expected = make(problem.f_df, problem.start, problem.references).optimize(num_passes=4)
    np.testing.assert_array_equal(make(f_df, problem.start, problem.references).optimize(num_passes=4), expected)


def test_the_first_steps_have_a_closed_form(name, make):
    """One quadratic of curvature 2 from x = (3, -4), gradient g = (6, -8) of length 10.

    SFO: g / hessian_init, then the minimum, since the curvature is known. L-BFGS-B: a step of length 1 (scipy).
    RMSProp: rate sign(g) / sqrt(0.1); Adam: rate sign(g).
    """
    points = []

    def f_df(x, i):
        points.append(x.copy())
        return x @ x, 2 * x

    make(f_df, np.array([3.0, -4.0]), [0], rate=0.25).optimize(num_steps=3)
    steps = np.diff(points, axis=0)
    expected = {
        "sfo": [-6e-5, 8e-5],
        "lbfgs": [-0.6, 0.8],
        "rmsprop": [-0.25 / np.sqrt(0.1), 0.25 / np.sqrt(0.1)],
        "adam": [-0.25, 0.25],
    }
    np.testing.assert_allclose(steps[0], expected[name], rtol=1e-7)
    if name == "sfo":
        np.testing.assert_allclose(points[2], 0, atol=1e-8)


def test_equal_generators_give_equal_runs_and_the_global_one_is_not_used(make):
    problem = quadratics()
    np.random.seed(0)  # noqa: NPY002 - the point of the test
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (make(problem.f_df, problem.start, problem.references, seed=3).optimize(5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_steps_and_passes_count_evaluations(make):
    problem, calls = quadratics(), []

    def f_df(theta, i):
        calls.append(i)
        return problem.f_df(theta, i)

    make(f_df, problem.start, problem.references).optimize(num_passes=3)
    assert len(calls) == 30
    make(f_df, problem.start, problem.references).optimize(num_steps=20)
    assert len(calls) == 50


def test_check_grad_finds_a_wrong_gradient(make):
    problem = quadratics()
    good = make(problem.f_df, problem.start, problem.references)
    errors = good.check_grad()
    assert errors.shape == (10, 6)
    assert abs(errors).max() < 1e-7
    assert good.sum.evaluations == 0
    bad = make(lambda x, i: (problem.f_df(x, i)[0], 1.01 * problem.f_df(x, i)[1]), problem.start, problem.references)
    assert 0.005 < abs(bad.check_grad()).max() < 0.02


def test_one_line_per_pass_is_logged(make, caplog):
    problem = quadratics()
    with caplog.at_level(logging.INFO):
        make(problem.f_df, problem.start, problem.references, display=1).optimize(num_passes=2)
    assert [record.getMessage().split(",")[0].split(": ")[1] for record in caplog.records] == ["pass 1.00", "pass 2.00"]


WRONG_F_DF = {
    "wrong shape": (lambda x, i: (1.0, np.ones(3)), r"gradient of f_df: got shape \(3,\); expected \(2,\)"),
    "column": (lambda x, i: (1.0, np.ones((2, 1))), r"gradient of f_df: got shape \(2, 1\); expected \(2,\)"),
    "complex gradient": (lambda x, i: (1.0, 1j * x), "gradient of f_df: got .*complex128; expected real numbers"),
    "complex f": (lambda x, i: (1j, x), "f of f_df: got 1j of type complex128; expected real numbers"),
    "vector f": (lambda x, i: (x, x), r"f of f_df: got shape \(2,\); expected one number"),
    "no gradient": (lambda x, i: 1.0, r"f_df: got 1.0 from it; expected \(f, gradient\)"),
    "text": (lambda x, i: ("1", x), "f of f_df: got '1' of type str; expected real numbers"),
}


@pytest.mark.parametrize(("f_df", "message"), WRONG_F_DF.values(), ids=WRONG_F_DF)
def test_an_invalid_result_of_f_df_raises_an_error(make, f_df, message):
    with pytest.raises(ValueError, match=message):
        make(f_df, np.ones(2), [0]).optimize(num_passes=1)


@pytest.mark.parametrize(
    ("theta", "references", "message"),
    [
        (["a", 1.0], [0], r"theta\[0\]: got 'a' of type str; expected real numbers"),
        (np.array(["a"]), [0], "theta: got .* of type <U1; expected real numbers"),
        ({"w": None}, [0], r"theta\['w'\]: got None of type NoneType; expected real numbers"),
        (1j, [0], "theta: got 1j of type complex128; expected real numbers"),
        ([], [0], r"theta: got \[\] without a parameter; expected at least one real number"),
        (np.array([1, np.nan]), [0], "theta: got .*, which is not finite"),
        (1.0, [], r"subfunction_references: got \[\]; expected a list of at least one reference"),
        (1.0, 3, "subfunction_references: got 3; expected a list"),
    ],
)
def test_an_invalid_start_raises_an_error(make, theta, references, message):
    with pytest.raises(ValueError, match=message):
        make(lambda x, i: (x, x), theta, references)


@pytest.mark.parametrize("more", [{"num_passes": 0}, {"num_passes": -1}, {"num_steps": 0}, {"num_steps": 1.5}])
def test_invalid_passes_and_steps_raise_an_error(make, more):
    argument, value = next(iter(more.items()))
    with pytest.raises(ValueError, match=f"{argument}: got {value}; expected a (whole )?number above 0"):
        make(lambda x, i: (x, x), 1.0, [0]).optimize(**more)


@pytest.mark.parametrize("more", [{"num_passes": np.nan}, {"num_passes": "2"}, {"num_passes": 1, "num_steps": 1}])
def test_other_invalid_counts_raise_an_error(make, more):
    with pytest.raises(ValueError, match=r"num_passes: got .*; expected"):
        make(lambda x, i: (x, x), 1.0, [0]).optimize(**more)


def test_an_rng_that_is_not_a_numpy_generator_raises_an_error():
    for maker in (SFO, LBFGS, Stochastic):
        with pytest.raises(ValueError, match=r"rng: got 0; expected a numpy.random.Generator"):
            maker(lambda x, i: (x, x), 1.0, [0], rng=0)


def test_an_f_df_that_is_not_callable_raises_an_error(make):
    with pytest.raises(ValueError, match="f_df: got 3; expected a function"):
        make(3, 1.0, [0])


def test_a_gradient_of_zero_makes_no_step(make):
    theta = make(lambda x, i: (1.0, 0 * x), np.array([1.0, 2.0]), [0, 1, 2]).optimize(num_passes=5)
    np.testing.assert_array_equal(theta, [1, 2])


def test_a_start_at_the_minimum_of_one_subfunction_is_left(name, make):
    """Its gradient is 0 there, so the others must move theta."""
    A, C = np.array([np.eye(2)] * 3), np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    problem = quadratic_sum(A, C, np.zeros(2))
    theta = make(problem.f_df, problem.start, problem.references).optimize(num_passes=100)
    np.testing.assert_allclose(theta, [1, 1], atol=0.1 if name in LOOSE else 1e-6)
