"""A brick: the paths of its parameters, their values before and after they are set, and their initial values."""

import numpy as np
import pytensor
import pytest

from dpm.graph.bricks import MLP, SCHEDULE, WEIGHT, Brick, Constant, Identity, Linear


def test_paths_are_those_of_blocks():
    """Names from the root joined by "/", then "." and the parameter's name."""
    mlp = MLP("MLP dense upper", [Identity(), Identity()], [2, 3, 4])
    root = Brick("diffusionmodel", [Brick("mlp_conv_dense", [mlp])])
    path = "/diffusionmodel/mlp_conv_dense/MLP dense upper/linear_{}.{}"
    shapes = {p: v.shape for p, v in root.parameters().items()}
    assert shapes == {
        path.format(0, "W"): (2, 3),
        path.format(0, "b"): (3,),
        path.format(1, "W"): (3, 4),
        path.format(1, "b"): (4,),
    }


def test_initial_values_are_a_function_of_the_generator():
    linear = Linear("linear", 4, 3)
    one, two, three = (linear.initialize(np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["/linear.W"], two["/linear.W"])
    assert not np.array_equal(one["/linear.W"], three["/linear.W"])
    np.testing.assert_array_equal(one["/linear.b"], 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parameter_is_a_shared_variable_of_the_float_type(dtype):
    """Its value is NaN until it is set, so that a missing start shows in every result."""
    with pytensor.config.change_flags(floatX=dtype):
        linear = Linear("linear", 4, 3)
    assert linear.W.type.shape == (4, 3)
    assert linear.W.name == "/linear.W"
    assert linear.W.get_value().dtype == dtype
    assert np.isnan(linear.W.sum().eval(mode="FAST_COMPILE"))
    linear.W.set_value(np.ones((4, 3), dtype))
    assert linear.W.sum().eval(mode="FAST_COMPILE") == 12


def test_a_frozen_parameter_has_its_initial_value_at_once():
    """Role SCHEDULE: the coefficients of the released schedule, which are not trained."""
    brick = Brick("brick")
    frozen = brick.add_parameter("frozen", (2,), SCHEDULE, Constant(3.0))
    brick.add_parameter("trained", (2,), WEIGHT, Constant(3.0))
    np.testing.assert_array_equal(frozen.get_value(), [3.0, 3.0])
    assert {path: p.is_trained for path, p in brick.parameters().items()} == {
        "/brick.frozen": False,
        "/brick.trained": True,
    }


def test_parameters_use_no_memory_before_they_are_set():
    """A model whose parameters fit nowhere can be built, up to the size that an array can have."""
    assert Linear("linear", 10**6, 10**9).W.type.shape == (10**6, 10**9)
    with pytest.raises(MemoryError, match=r"linear\.W of shape \(1000000000000, 1000000000000\)"):
        Linear("linear", 10**12, 10**12)
