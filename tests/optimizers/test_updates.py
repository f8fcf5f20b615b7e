"""Update expressions against the optimizers of flat vectors, closed forms, and every engine's mode."""

import doctest
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from dpm.optimizers import Adam, RMSProp, nest, rmsprop, updates

MODES = {"jax": "JAX", "numba": "NUMBA", "c": "CVM"}


@pytest.fixture
def compile_step(engine_name):
    """A function(inputs, outputs, updates) that compiles for one engine; JAX computes in float64 where asked."""

    def compile_(inputs, outputs, updates):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a C engine without BLAS warns when it first looks for one
            function = pytensor.function(inputs, outputs, updates=updates, mode=MODES[engine_name])
        if engine_name != "jax":
            return function
        import jax

        def call(*values):
            with jax.enable_x64(True):
                return function(*values)

        return call

    return compile_


class SGD:
    """Gradient descent in the form of the flat-vector optimizers."""

    def __init__(self, size, dtype):
        pass

    def step(self, theta, gradient, learning_rate):
        return theta - learning_rate * gradient


RULES = {"sgd": (updates.sgd, SGD), "rmsprop": (updates.rmsprop, RMSProp), "adam": (updates.adam, Adam)}
# At 0.7 times the root mean square of the earlier norms most gradients are clipped.
CLIPPED = {"clipped adam": tuple(partial(rule, clip_norm=0.7) for rule in RULES["adam"])}
each_rule = pytest.mark.parametrize("name", RULES)


def quadratic():
    """Return (parameters, cost): 1/2 sum of a_k (theta_k - c_k)^2."""
    rng = np.random.default_rng(0)
    a, center = rng.uniform(0.1, 10, 6), rng.standard_normal(6)
    theta = pytensor.shared(rng.standard_normal(6), name="theta", shape=(6,))
    return [theta], 0.5 * (a * pt.sqr(theta - center)).sum()


def network():
    """Return (parameters, cost): the squared error of five tanh units, parameters of 0 to 2 dimensions by path."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((8, 3)), rng.standard_normal(8)
    values = {"W": rng.standard_normal((3, 5)), "b": np.zeros(5), "V": rng.standard_normal(5), "c": np.array(0.5)}
    theta = {f"/net.{k}": pytensor.shared(v, name=f"/net.{k}", shape=v.shape) for k, v in values.items()}
    W, b, V, c = theta.values()
    return theta, pt.sqr(pt.tanh(x @ W + b) @ V + c - y).mean()


def variables(parameters):
    return list(parameters.values() if isinstance(parameters, dict) else parameters)


def flat(parameters):
    return np.concatenate([p.get_value().ravel() for p in variables(parameters)])


@pytest.mark.parametrize("name", RULES | CLIPPED)
@pytest.mark.parametrize("problem", [quadratic, network])
def test_five_steps_equal_the_flat_vector_optimizer(compile_step, name, problem):
    make_updates, rule = (RULES | CLIPPED)[name]
    parameters, cost = problem()
    gradients = pytensor.grad(cost, variables(parameters))
    step = compile_step([], cost, make_updates(parameters, gradients, 0.01))

    same, same_cost = problem()
    gradient_of = pytensor.function([], [same_cost, *pytensor.grad(same_cost, variables(same))], mode="FAST_COMPILE")
    theta = flat(same)
    reference = rule(theta.size, "float64")
    for _ in range(5):
        expected_cost, *gradient = gradient_of()
        assert float(step()) == pytest.approx(float(expected_cost), rel=1e-12)
        theta = reference.step(theta, np.concatenate([g.ravel() for g in gradient]), 0.01)
        np.testing.assert_allclose(flat(parameters), theta, rtol=1e-12, atol=1e-12)
        begin = 0
        for variable in variables(same):
            value = variable.get_value()
            variable.set_value(theta[begin : begin + value.size].reshape(value.shape))
            begin += value.size


def first_step(make_updates, gradient, dtype="float64", **more):
    """Return theta after one step from 0."""
    gradient = np.asarray(gradient, dtype)
    theta, g = pytensor.shared(np.zeros_like(gradient), name="theta", shape=gradient.shape), pt.vector("g", dtype=dtype)
    pytensor.function([g], [], updates=make_updates([theta], [g], **more), mode="FAST_COMPILE")(gradient)
    return theta.get_value()


def test_first_step_of_sgd_in_closed_form():
    theta = first_step(updates.sgd, [2.0, -1.0], learning_rate=0.1)
    np.testing.assert_allclose(theta, [-0.2, 0.1], rtol=1e-15)


def test_first_step_of_rmsprop_in_closed_form():
    """Gradient 1, rate 1e-3, decay 0.9, no bias correction: -1e-3 / sqrt(0.1) = -0.0031623."""
    theta = first_step(updates.rmsprop, [1.0], learning_rate=1e-3, decay=0.9, max_scaling=1e10)
    assert theta[0] == pytest.approx(-0.0031623, abs=1e-7)


def test_rmsprop_limits_the_scale_of_a_step():
    """g = 1e-12: the root mean square counts as 1e-10, so the step is 1e-3 * 1e-12 / 1e-10."""
    theta = first_step(updates.rmsprop, [1e-12], learning_rate=1e-3)
    assert theta[0] == pytest.approx(-1e-5, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_first_step_of_adam_in_closed_form(dtype):
    """With the bias corrected m / sqrt(v) of one gradient is its sign: theta_1 = -rate g / (|g| + epsilon).

    In float32 too: 1 - 0.999 computed in float32 would be wrong by 1e-5, and the step by half of that.
    """
    g = np.array([1e-3, -5.0, 0.0])
    theta = first_step(updates.adam, g, dtype, learning_rate=0.1)
    tolerance = {"float32": 5e-7, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(theta, -0.1 * g / (abs(g) + 1e-8), rtol=tolerance)


def test_adam_without_memory_is_the_sign_of_the_gradient():
    theta = first_step(updates.adam, [3.0, -2.0], learning_rate=0.1, b1=0.0, b2=0.0, epsilon=0.0)
    np.testing.assert_allclose(theta, [-0.1, 0.1], rtol=1e-14)


@each_rule
def test_a_step_that_is_not_finite_is_skipped_for_all_parameters(compile_step, name):
    """In float32 the square of 1e20 overflows, which RMSProp and Adam skip; gradient descent needs no square."""
    make_updates, _ = RULES[name]
    a, b = (pytensor.shared(np.zeros(2, "float32"), name=n, shape=(2,)) for n in "ab")
    g, h = pt.fvectors("g", "h")
    changes = make_updates([a, b], [g, h], 0.1)
    step = compile_step([g, h], [], changes)
    one = np.ones(2, "float32")
    step(one, one)
    before = [variable.get_value() for variable in changes]
    for bad in [np.nan, np.inf, -np.inf] + [1e20] * (name != "sgd"):
        step(one, np.array([1, bad], "float32"))
        for variable, value in zip(changes, before, strict=True):
            np.testing.assert_array_equal(variable.get_value(), value, err_msg=f"{variable} after {bad}")
    first = a.get_value()
    step(one, one)
    assert (a.get_value() < first).all()


@each_rule
@pytest.mark.parametrize("rate", ["number", "float64 scalar"])
def test_float32_stays_float32(engine_name, name, rate):
    """Compiled under floatX = float64, with a learning rate of float64; JAX in its default of 32 bits."""
    make_updates, _ = RULES[name]
    scalar = pt.dscalar("rate")
    theta, g = pytensor.shared(np.zeros(3, "float32"), shape=(3,)), pt.fvector("g")
    with pytensor.config.change_flags(floatX="float64"):
        changes = make_updates([theta], [g], 0.1 if rate == "number" else scalar)
        inputs = [g] if rate == "number" else [g, scalar]
        step = pytensor.function(inputs, [], updates=changes, mode=MODES[engine_name])
    assert {v.type.dtype for pair in changes.items() for v in pair} == {"float32"}
    step(*([np.ones(3, "float32"), 0.1][: len(inputs)]))
    assert {np.asarray(v.get_value()).dtype for v in changes} == {np.dtype("float32")}
    assert (np.asarray(theta.get_value()) < 0).all()


@each_rule
def test_float64_is_exact_where_constants_default_to_float32(name):
    """Numbers such as 0.9 are not rounded to floatX on their way into a graph of float64."""
    theta, g = pytensor.shared(np.zeros(1), shape=(1,)), pt.dvector("g")
    with pytensor.config.change_flags(floatX="float32"):
        step = pytensor.function([g], [], updates=RULES[name][0]([theta], [g], 0.1), mode="FAST_COMPILE")
        step(np.ones(1))
    expected = RULES[name][1](1, "float64").step(np.zeros(1), np.ones(1), 0.1)
    np.testing.assert_allclose(theta.get_value(), expected, rtol=1e-14)


@each_rule
def test_state_has_the_types_shapes_and_names_of_the_parameters(name):
    parameters, cost = network()
    changes = RULES[name][0](parameters, pytensor.grad(cost, list(parameters.values())), 0.1)
    suffixes = {"sgd": [], "rmsprop": ["mean_square"], "adam": ["mean", "mean_square"]}[name]
    expected = {f"{path}{end}" for path in parameters for end in ("", *(f".{suffix}" for suffix in suffixes))}
    assert {variable.name for variable in changes} == expected | ({"step"} if name == "adam" else set())
    for path, theta in parameters.items():
        for variable in changes:
            if variable.name.startswith(path):
                assert variable.type == theta.type


def test_a_learning_rate_can_change_between_steps():
    theta, rate = pytensor.shared(np.zeros(1), shape=(1,)), pt.dscalar("rate")
    step = pytensor.function([rate], [], updates=updates.sgd([theta], [pt.ones(1)], rate), mode="FAST_COMPILE")
    for value in (0.5, 0.25):
        step(value)
    assert theta.get_value()[0] == -0.75


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_clipping_skips_a_norm_that_is_not_finite(bad):
    theta, g, skipped = pytensor.shared(np.zeros(2), shape=(2,)), pt.dvector("g"), pytensor.shared(0)
    changes = updates.adam([theta], [g], 0.1, skipped=skipped, clip_norm=2.0)
    step = pytensor.function([g], [], updates=changes, mode="FAST_COMPILE")
    step(np.ones(2))
    before = theta.get_value()
    step(np.array([1.0, bad]))
    np.testing.assert_array_equal(theta.get_value(), before)
    assert skipped.get_value() == 1


def test_invalid_arguments_raise_an_error():
    theta, whole = pytensor.shared(np.zeros(2), name="theta"), pytensor.shared(np.zeros(2, int), name="whole")
    g = pt.dvector("g")
    for arguments, message in [
        (([], [], 0.1), "parameters: got none; expected at least one shared variable"),
        (([theta], [], 0.1), "gradients: got 0 for 1 parameters; expected one per parameter"),
        (([g], [g], 0.1), "parameters: got g of type .*; expected a shared variable of float type"),
        (([whole], [g], 0.1), "parameters: got whole of type .*; expected a shared variable of float type"),
        (
            ([theta], [pt.dmatrix()], 0.1),
            "gradients: got a gradient of 2 dimensions; expected 1, as its parameter theta",
        ),
        (([theta], [g], np.ones(2)), "learning_rate: got 1 dimensions; expected a number or a symbolic scalar"),
    ]:
        for make_updates, _ in RULES.values():
            with pytest.raises(ValueError, match=message):
                make_updates(*arguments)


@pytest.mark.parametrize("module", [nest, rmsprop, updates], ids=lambda module: module.__name__)
def test_the_docstring_examples_run(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def test_the_other_optimizers_do_not_import_pytensor():
    code = (
        "import sys, dpm.optimizers; assert 'pytensor' not in sys.modules; "
        "dpm.optimizers.updates.sgd; assert 'pytensor' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    import dpm.optimizers

    with pytest.raises(AttributeError, match="has no attribute 'adagrad'"):
        dpm.optimizers.adagrad  # noqa: B018


@pytest.mark.parametrize("name", RULES)
def test_skipped_steps_are_counted(name):
    """Of three gradients one is not finite: its step changes nothing and is counted."""
    theta, given = pytensor.shared(np.ones(3), name="theta", shape=(3,)), pt.vector("g", dtype="float64")
    count = pytensor.shared(np.zeros(()), name="skipped")
    rule = RULES[name][0]
    step = pytensor.function([given], [], updates=rule([theta], [given], 0.1, skipped=count), mode="FAST_COMPILE")
    for gradient in ([1.0, 2.0, 3.0], [1.0, np.nan, 3.0], [1.0, 2.0, 3.0]):
        step(np.array(gradient))
    assert float(count.get_value()) == 1


def test_blocks_follow_the_released_rule():
    """As dpm.optimizers.RMSProp with blocks: a block that is not finite counts as 0, and a square that overflows
    stops its element for good."""
    blocks = [slice(0, 2), slice(2, 5)]
    start = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    theta, given = pytensor.shared(start, name="theta", shape=(5,)), pt.vector("g", dtype="float64")
    count = pytensor.shared(np.zeros(()), name="skipped")
    found = updates.rmsprop([theta], [given], 0.1, skipped=count, blocks=blocks)
    step = pytensor.function([given], [], updates=found, mode="FAST_COMPILE")
    flat, expected = RMSProp(5, "float64", blocks=blocks), start
    gradients = np.random.default_rng(0).standard_normal((6, 5))
    gradients[1, 3], gradients[2, 0], gradients[3, 1] = np.nan, np.inf, 1e200
    for gradient in gradients:
        with np.errstate(over="ignore"):
            step(gradient)
        expected = flat.step(expected, gradient, 0.1)
    np.testing.assert_allclose(theta.get_value(), expected, rtol=1e-12)
    assert float(count.get_value()) == flat.skipped_steps == 2
