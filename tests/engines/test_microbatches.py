"""Microbatches add up to the minibatch, with the same bits in any number of threads."""

import numpy as np
import pytest

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.microbatches import pad_rows, split_microbatches
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY


@pytest.fixture(scope="module")
def model():
    with Engine("auto", "float32"):
        return DiffusionModel(**TINY, trajectory_length=5)


def test_the_last_microbatch_is_filled_up_with_copies_of_the_last_example():
    arrays = [np.arange(5), 10 * np.arange(5)]
    parts = list(split_microbatches(arrays, 2))
    assert [count for count, _ in parts] == [2, 2, 1]
    np.testing.assert_array_equal([x for _, (x, _) in parts], [[0, 1], [2, 3], [4, 4]])
    np.testing.assert_array_equal([y for _, (_, y) in parts], [[0, 10], [20, 30], [40, 40]])


@pytest.mark.thorough
def test_microbatches_add_up_to_the_minibatch(model):
    """Eq. 14 is a mean over examples: microbatches of 2, the last one partial, give the cost and gradient of 7 at once,
    with weights and with dropout masks."""
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


def test_weights_that_are_all_zero_are_an_error(model):
    compiled = CompiledModel(model, Engine("auto", "float32"))
    X = np.zeros((2, *model.example_shape), "float32")
    with pytest.raises(ValueError, match="weights"):
        compiled.objective(2)(np.zeros(compiled.layout.size, "float32"), X, X[:, 0, 0, 0] + 2, X, X, X[:, 0, 0, 0])


@pytest.mark.thorough
def test_microbatches_in_threads_give_the_same_bits_every_time(engine_name):
    """Gradients are added in the order of the microbatches, whichever thread ends first."""
    rng = np.random.default_rng(0)
    with Engine(engine_name, "float32"):
        wide = DiffusionModel(**TINY | {"spatial_width": 32}, trajectory_length=5)
    X, N, U = rng.random((3, 40, *wide.example_shape)).astype("float32")
    inputs = (X, rng.integers(2, 6, 40).astype("float32"), N, U, np.ones(40, "float32"))
    results = []
    for threads, times in ((1, 1), (2, 5)):
        compiled = CompiledModel(wide, Engine(engine_name, "float32", threads))
        assert compiled.microbatch_size(40) == 20
        theta = compiled.start(np.random.default_rng(1))
        for _ in range(times):
            cost, gradient = compiled.objective(40)(theta, *inputs)
            results.append([cost, *gradient, *compiled.costs(40)(theta, *inputs[:4])])
    for again in results[2:]:
        np.testing.assert_array_equal(again, results[1])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-6)


def test_the_last_row_fills_up():
    X = np.arange(4.0).reshape(2, 2)
    np.testing.assert_array_equal(pad_rows(X, 4), [[0, 1], [2, 3], [2, 3], [2, 3]])
    assert pad_rows(X, 2) is X
