"""A brick: the paths of its parameters, and how they start."""

import numpy as np

from dpm.graph.bricks import (
    MLP,
    Brick,
    Identity,
    Linear,
)


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


def test_starts_are_a_function_of_the_generator():
    linear = Linear("linear", 4, 3)
    one, two, three = (linear.initialize(np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["/linear.W"], two["/linear.W"])
    assert not np.array_equal(one["/linear.W"], three["/linear.W"])
    np.testing.assert_array_equal(one["/linear.b"], 0)
