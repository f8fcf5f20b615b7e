"""Linear layers and MLPs."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.graph.bricks import (
    MLP,
    Brick,
    Identity,
)


def test_an_mlp_needs_one_more_size_than_activations():
    with pytest.raises(ValueError, match="need 2 dims"):
        MLP("mlp", [Identity()], [2, 3, 4])


def test_a_layer_is_x_W_plus_b_over_the_last_axis():
    """y = x W + b, one layer after the other, each followed by its activation."""

    class Square(Brick):
        def apply(self, x):
            return x**2

    mlp = MLP("mlp", [Square("square"), Identity()], [3, 4, 2])
    values = mlp.initialize(np.random.default_rng(0)) | {"/mlp/linear_1.b": np.array([1.0, -2.0])}
    x = np.random.default_rng(1).standard_normal((2, 5, 3))
    given = {p.variable: values[path] for path, p in mlp.parameters().items()}
    out = mlp.apply(pt.constant(x)).eval(given, mode="FAST_COMPILE")
    hidden = (x @ values["/mlp/linear_0.W"] + values["/mlp/linear_0.b"]) ** 2
    np.testing.assert_allclose(out, hidden @ values["/mlp/linear_1.W"] + values["/mlp/linear_1.b"], rtol=1e-12)
