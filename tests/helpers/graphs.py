"""Build, compile and evaluate small graphs."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.parameters import Layout
from dpm.graph import schedules
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.networks import vectors as networks
from dpm.graph.vector_model import VectorDiffusion
from dpm.model import DiffusionModel

TINY = {
    "spatial_width": 4,
    "n_colors": 2,
    "n_temporal_basis": 3,
    "n_hidden_conv": 2,
    "n_layers_conv": 1,
    "n_hidden_dense_lower": 3,
    "n_layers_dense_lower": 2,
    "n_hidden_dense_upper": 3,
}


def value(expression):
    """Return the value of a graph without inputs, compiled quickly."""
    return expression.eval(mode="FAST_COMPILE")


def constant(number):
    """Return a number or array as a float64 constant of a graph."""
    return pt.constant(np.asarray(number, dtype="float64"))


def set_values(brick, values=None):
    """Set the parameters of a brick to arrays by path, or all to 0."""
    for path, parameter in brick.parameters().items():
        value = np.zeros(parameter.shape) if values is None else values[path]
        parameter.variable.set_value(np.asarray(value, dtype=parameter.variable.dtype))


def compiled_tiny(T, dtype="float64"):
    """Return the released model of the sizes TINY.

    Args:
        T: number of steps.
        dtype: float type.
    """
    engine = Engine("auto", dtype)
    with engine:
        return CompiledModel(DiffusionModel(**TINY, trajectory_length=T), engine)


def compiled_bits(T, size=3, base_rate=0.3, network=networks.Rates):
    """Return a binomial model in double precision; with `Rates` and parameters of 0 its bits are independent."""
    engine = Engine("auto", "float64")
    with engine:
        hidden = networks.HiddenLayers(size, 4, 1, networks.Sigmoid)
        schedule = schedules.FixedSchedule(schedules.erase_equally(T))
        model = VectorDiffusion(size, BinomialKernel(base_rate), schedule, network(size, hidden, T))
    return CompiledModel(model, engine)


def compiled_vectors(T, schedule=None):
    """Return a Gaussian model of two numbers in double precision; with parameters of 0 it is the unit Gaussian.

    Args:
        T: number of steps.
        schedule: function that builds the schedule, the parameters of which are in the flat vector too.
    """
    engine = Engine("auto", "float64")
    with engine:
        network = networks.MeanVariance(2, networks.NormalizedRBF(2, 5), T)
        schedule = schedule() if schedule else schedules.FixedSchedule(schedules.released(T))
        model = VectorDiffusion(2, GaussianKernel(), schedule, network)
    return CompiledModel(model, engine, Layout(model.parameters()))


def check_gradient(compiled, n=2, scale=0.3):
    """Assert that the cost at random parameters is finite and its gradient equals central differences.

    The differences are along a random direction of each parameter, and of all.
    """
    model, rng = compiled.model, np.random.default_rng(0)
    theta = scale * rng.standard_normal(compiled.layout.size)
    draw = {"normal": rng.standard_normal, "uniform": rng.random}[model.kernel.noise]
    shape = (n, *model.example_shape)
    X = rng.integers(0, 2, shape).astype(float) if model.kernel.binary else rng.standard_normal(shape)
    t = 2.0 + rng.integers(0, model.trajectory_length - 1, n)
    frozen = (X, t, draw(shape), rng.random(shape), np.full(n, 1 / n))
    function, step = compiled.objective(n), 1e-6
    cost, gradient = function(theta, *frozen)
    assert np.isfinite(cost)
    for block in [*compiled.layout.slices.values(), slice(None)]:
        direction = np.zeros_like(theta)
        direction[block] = rng.standard_normal(theta[block].shape)
        above, below = (function(theta + sign * step * direction, *frozen)[0] for sign in (1, -1))
        assert gradient @ direction == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-7)
        assert np.abs(gradient[block]).max() > 0
