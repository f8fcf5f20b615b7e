"""A model is built again in another float type, with all bricks among its arguments."""

import numpy as np
import pytensor
import pytest

from dpm.graph import schedules
from dpm.graph.bricks import MLP, Identity
from dpm.graph.bricks.rebuilding import rebuild
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.networks.vectors import MeanVariance, NormalizedRBF
from dpm.graph.vector_model import VectorDiffusion
from dpm.model import DiffusionModel


@pytest.mark.parametrize(("built_in", "again_in"), [("float64", "float32"), ("float32", "float64")])
def test_every_parameter_and_the_schedule_get_the_float_type(built_in, again_in):
    def types(model):
        return {p.variable.dtype for p in model.parameters().values()} | {model.beta_arr.dtype}

    with pytensor.config.change_flags(floatX=built_in):
        schedule = schedules.FreeSchedule(schedules.released(5))
        models = [
            DiffusionModel(4, n_colors=1, trajectory_length=5, n_hidden_conv=2),
            VectorDiffusion(2, GaussianKernel(), schedule, MeanVariance(2, NormalizedRBF(2, 3), 5)),
        ]
        assert all(types(model) == {built_in} for model in models)
    with pytensor.config.change_flags(floatX=again_in):
        for model in models:
            copy = rebuild(model)
            assert types(copy) == {again_in}
            assert {k: p.shape for k, p in copy.parameters().items()} == {
                k: p.shape for k, p in model.parameters().items()
            }
            assert types(model) == {built_in}


def test_bricks_in_lists_are_rebuilt_and_a_brick_used_twice_stays_one():
    twice = Identity()
    mlp = MLP("mlp", [twice, twice], [2, 3, 1])
    copy = rebuild(mlp)
    assert copy.activations[0] is copy.activations[1]
    assert copy.activations[0] is not twice
    assert copy.linears[0].W.type.shape == (2, 3)
    first, second = (m.initialize(np.random.default_rng(0)) for m in (mlp, copy))
    assert all(np.array_equal(first[path], second[path]) for path in first)
