"""Compiled functions of a model: one for each graph and batch size."""

from functools import partial

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.kernels import GaussianKernel
from dpm.graph.networks import MeanVariance, NormalizedRBF
from dpm.graph.vector_model import VectorDiffusion
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY


@pytest.fixture(scope="module")
def model():
    with Engine("auto", "float32"):
        return DiffusionModel(**TINY, trajectory_length=5)


def test_a_function_is_compiled_once_per_batch_size(model, monkeypatch):
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


@pytest.mark.thorough
def test_dropout_changes_the_objective_only_through_its_masks(model):
    """Masks of ones give the plain objective; the caller gets the masks' shapes."""
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


def test_a_model_of_another_float_type_is_refused_in_one_line():
    """Built outside `with engine:`, whole or in part: the line names the model, or the parameter."""
    engine = Engine("auto", "float32")
    schedule, network = schedules.FixedSchedule([0.1, 0.2, 0.3]), MeanVariance(2, NormalizedRBF(2, 3))
    with engine:
        mixed = VectorDiffusion(2, GaussianKernel(), schedule, network)
    for model, name in ((DiffusionModel(**TINY), "model"), (mixed, "/vectordiffusion/network/rbf.centers")):
        with pytest.raises(InputError) as error:
            CompiledModel(model, engine)
        assert str(error.value) == (
            f"{name}: got float64, the floatX when it was built; expected float32, the engine's float type; "
            "build the model and all its parts within `with engine:`"
        )
    x0, *_ = DiffusionModel(**TINY).inputs()
    with pytest.raises(InputError, match=r"^x0: got float64; expected float32, the engine's float type; build"):
        engine.function([x0], x0 + 1)
