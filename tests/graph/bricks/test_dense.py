"""Activations, linear layers and MLPs."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.graph.bricks import MLP, Activation, Identity
from tests.helpers.graphs import set_values


class Square(Activation):
    """The activation x^2."""

    def apply(self, x):
        return x**2


def test_an_activation_has_the_name_of_its_class():
    assert Square().name == "square"
    assert Square("other").name == "other"


def test_an_mlp_needs_one_more_size_than_activations():
    with pytest.raises(ValueError, match="need 2 dims"):
        MLP("mlp", [Identity()], [2, 3, 4])


def test_a_layer_is_x_W_plus_b_over_the_last_axis():
    """y = x W + b, one layer after the other, each followed by its activation."""
    mlp = MLP("mlp", [Square(), Identity()], [3, 4, 2])
    values = mlp.initialize(np.random.default_rng(0)) | {"/mlp/linear_1.b": np.array([1.0, -2.0])}
    set_values(mlp, values)
    x = np.random.default_rng(1).standard_normal((2, 5, 3))
    out = mlp.apply(pt.constant(x)).eval(mode="FAST_COMPILE")
    hidden = (x @ values["/mlp/linear_0.W"] + values["/mlp/linear_0.b"]) ** 2
    np.testing.assert_allclose(out, hidden @ values["/mlp/linear_1.W"] + values["/mlp/linear_1.b"], rtol=1e-12)
