"""Where parameters lie in the flat vector, and that functions are compiled once."""

from functools import partial

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.parameters import Layout, trained_layout
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY


@pytest.fixture(scope="module")
def model():
    with Engine("auto", "float32"):
        return DiffusionModel(**TINY, trajectory_length=5)


def test_flatten_and_split_are_inverse(model):
    layout = Layout(model.parameters())
    values = model.initialize(np.random.default_rng(0))
    theta = layout.flatten(values, "float64")
    assert theta.shape == (layout.size,) == (sum(v.size for v in values.values()),)
    for path, value in layout.split(theta).items():
        np.testing.assert_array_equal(value, values[path])


def test_the_schedule_is_not_trained(model):
    assert set(model.parameters()) - set(trained_layout(model).parameters) == {
        "/diffusionmodel.beta_perturb_coefficients"
    }


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
def test_wrong_names_and_shapes_are_named(model, fault):
    layout = trained_layout(model)
    values = {path: np.zeros(p.shape) for path, p in layout.parameters.items()}
    path = next(iter(values))
    if fault == "missing":
        del values[path]
    elif fault == "unknown":
        path = "/elsewhere.W"
        values[path] = np.zeros(1)
    else:
        values[path] = np.zeros(3)
    with pytest.raises(InputError) as error:
        layout.flatten(values, "float32")
    assert path in str(error.value)


def test_a_function_is_compiled_once_for_a_batch_size(model, monkeypatch):
    compiled = CompiledModel(model, Engine("auto", "float32"))
    calls = []
    real = compiled.engine.cached_function
    monkeypatch.setattr(compiled.engine, "cached_function", lambda *a: calls.append(1) or real(*a))
    compiled.costs(2)
    compiled.costs(2)
    assert len(calls) == 1
    compiled.costs(3)
    assert len(calls) == 2


def scaled(model, factor, X):
    return [factor * X, model.beta_arr]


def other_scaled(model, factor, X):
    return [factor * X + 1, model.beta_arr]


def test_a_function_is_found_again_by_the_graph_it_computes(model):
    """Equal methods and equal partials share a function; another builder, argument or input has its own."""
    compiled = CompiledModel(model, Engine("auto", "float32"))
    inputs = [compiled.examples("X", 2)]
    first = compiled.function(partial(scaled, model, 2), inputs)
    assert compiled.function(partial(scaled, model, 2), inputs) is first
    assert compiled.function(model.entropies, inputs) is compiled.function(model.entropies, inputs)
    others = [
        compiled.function(partial(scaled, model, 3), inputs),
        compiled.function(partial(other_scaled, model, 2), inputs),
        compiled.function(partial(scaled, model, 2), [compiled.examples("X", 1)]),
    ]
    assert len({id(function) for function in (first, *others)}) == 4
    theta, X = np.zeros(compiled.layout.size, "float32"), np.ones((2, *model.example_shape), "float32")
    values = [function(theta, X[: 2 - (function is others[2])])[0].mean() for function in (first, *others)]
    assert values == [2, 3, 3, 2]


def test_a_function_without_a_list_of_outputs_returns_a_list_of_one(model):
    compiled = CompiledModel(model, Engine("auto", "float32"))
    X = np.ones((2, *model.example_shape), "float32")
    (doubled,) = compiled.function(lambda X: 2 * X, [compiled.examples("X", 2)])(
        np.zeros(compiled.layout.size, "float32"), X
    )
    np.testing.assert_array_equal(doubled, 2 * X)


def test_pictures_in_turns_are_the_whole_minibatch(model):
    """Eq. 14 is a mean over pictures: turns of 2 pictures, the last one partial, give the cost and the gradient of 7 at
    once, with weights and with dropout masks."""
    engines = [Engine("auto", "float64") for _ in range(2)]
    rng = np.random.default_rng(0)
    X, N, U = rng.random((3, 7, *model.example_shape))
    inputs = (X, np.array([2.0, 4, 3, 2, 5, 3, 2]), N, U, np.array([1, 0, 0.5, 1, 1, 0, 2]))
    results = []
    for engine, size in zip(engines, (7, 2), strict=True):
        with engine:
            compiled = CompiledModel(DiffusionModel(**TINY, trajectory_length=5), engine)
        theta = 0.3 * np.random.default_rng(1).standard_normal(compiled.layout.size)
        function, shapes = compiled.objective_with_dropout(size)
        masks = [np.random.default_rng(2).random((7, *shape)) for shape in shapes]
        cost, gradient = function(theta, *inputs, *masks)
        plain_cost, plain_gradient = compiled.objective(size)(theta, *inputs)
        costs = compiled.costs(size)(theta, *inputs[:4])
        assert plain_cost == pytest.approx(np.average(costs, weights=inputs[4]), rel=1e-12)
        results.append([cost, *gradient, plain_cost, *plain_gradient, *costs])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-10, atol=1e-13)
    assert np.any(np.array(results[0]) != 0)


def test_a_minibatch_without_weight_has_no_cost(model):
    compiled = CompiledModel(model, Engine("auto", "float32"))
    X = np.zeros((2, *model.example_shape), "float32")
    with pytest.raises(ValueError, match="weights"):
        compiled.objective(2)(np.zeros(compiled.layout.size, "float32"), X, X[:, 0, 0, 0] + 2, X, X, X[:, 0, 0, 0])


def test_dropout_changes_the_objective_only_through_its_masks(model):
    """Masks of ones give the plain objective; the masks' shapes are known to the caller."""
    compiled = CompiledModel(model, Engine("auto", "float32"))
    rng = np.random.default_rng(0)
    theta = (0.3 * rng.standard_normal(compiled.layout.size)).astype("float32")
    X, N, U = rng.random((3, 2, *model.example_shape)).astype("float32")
    inputs = (theta, X, np.float32([2, 4]), N, U, np.float32([1, 1]))
    function, shapes = compiled.objective_with_dropout(2)
    ones = [np.ones((2, *shape), "float32") for shape in shapes]
    plain = compiled.objective(2)(*inputs)
    for ours, expected in zip(function(*inputs, *ones), plain, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    ones[0] = ones[0] * 0
    assert function(*inputs, *ones)[0] != pytest.approx(float(plain[0]), rel=1e-4)


def test_turns_in_threads_are_the_turns_one_after_another(engine_name):
    """The sum of a minibatch's turns is taken in their order, whichever thread ends first: the same bits every time."""
    rng = np.random.default_rng(0)
    with Engine(engine_name, "float32"):
        wide = DiffusionModel(**TINY | {"spatial_width": 32}, trajectory_length=5)
    X, N, U = rng.random((3, 40, *wide.example_shape)).astype("float32")
    inputs = (X, rng.integers(2, 6, 40).astype("float32"), N, U, np.ones(40, "float32"))
    results = []
    for threads in (1, 2, 2):
        compiled = CompiledModel(wide, Engine(engine_name, "float32", threads))
        assert compiled.microbatch_size(40) == 20
        theta = compiled.start(np.random.default_rng(1))
        cost, gradient = compiled.objective(40)(theta, *inputs)
        results.append([cost, *gradient, *compiled.costs(40)(theta, *inputs[:4])])
    np.testing.assert_array_equal(results[1], results[2])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-6)
