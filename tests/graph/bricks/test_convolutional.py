"""The convolutional layer: its initial values, and its biases."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.graph.bricks import Activation, Convolutional, ConvolutionalActivation
from tests.helpers.graphs import set_values


def set_biases(brick, biases):
    """Set the weights of a brick to 0 and its biases to the given array."""
    parameters = brick.parameters().items()
    set_values(brick, {path: biases if p.role == "bias" else np.zeros(p.shape) for path, p in parameters})


def test_initial_values_are_the_released_ones():
    """Deviation sqrt(1/F)/9, untied biases of the full output at 0 (golden facts 4 and 17)."""
    brick = Convolutional("convolutional", filter_size=3, num_filters=16, num_channels=50, image_size=(4, 6))
    start = brick.initialize(np.random.default_rng(0))
    assert start["/convolutional.W"].std() == pytest.approx(1 / 36, rel=0.05)
    assert start["/convolutional.b"].shape == (16, 6, 8)
    np.testing.assert_array_equal(start["/convolutional.b"], 0)


def test_an_activation_follows_the_biases_of_each_place():
    """With weights of 0 the layer is its activation of the biases, cropped of the border of the full output."""

    class Square(Activation):
        def apply(self, x):
            return x**2

    brick = ConvolutionalActivation("layer", Square(), filter_size=3, num_filters=2, num_channels=1, image_size=(4, 5))
    biases = np.random.default_rng(0).standard_normal((2, 6, 7))
    set_biases(brick, biases)
    out = brick.apply(pt.zeros((1, 4, 5, 1), dtype="float64")).eval(mode="FAST_COMPILE")
    np.testing.assert_allclose(out[0], (biases[:, 1:-1, 1:-1] ** 2).transpose(1, 2, 0), rtol=1e-12)


def test_a_shared_bias_is_one_per_filter_at_any_size():
    """With weights of 0 every place of a filter has its bias; the parameters do not depend on the size."""
    bricks = [
        Convolutional("c", filter_size=3, num_filters=2, num_channels=1, image_size=size, shared_bias=True)
        for size in ((4, 5), (7, 3))
    ]
    shapes = [{path: p.shape for path, p in brick.parameters().items()} for brick in bricks]
    assert shapes[0] == shapes[1]
    biases = np.array([0.5, -2.0])
    for brick, size in zip(bricks, ((4, 5), (7, 3)), strict=True):
        set_biases(brick, biases)
        out = brick.apply(pt.zeros((1, *size, 1), dtype="float64")).eval(mode="FAST_COMPILE")
        np.testing.assert_array_equal(out, np.broadcast_to(biases, (1, *size, 2)))
