"""The convolution by XLA against scipy, and its two weight gradients against each other."""

import numpy as np
import pytest

from tests.helpers.convolutions import SHAPES, operands, scipy_same

pytest.importorskip("jax")

from dpm.engines.jax import convolution as conv_jax


@pytest.mark.parametrize("shape", SHAPES)
def test_both_weight_gradients_of_jax_are_one_function(shape):
    """The loop over images, used on a CPU, and the transpose of XLA's own convolution, used elsewhere."""
    x, weights, g = operands(shape, "float32")
    k = shape[-1]
    np.testing.assert_allclose(conv_jax.conv_by_xla(x, weights), scipy_same(x, weights), rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(
        conv_jax.weight_grad_by_xla(x, g, k), conv_jax.weight_grad_by_taps(x, g, k), rtol=2e-5, atol=2e-4
    )


@pytest.mark.parametrize(
    ("n", "side", "most"), [(1, 28, 1), (7, 28, 7), (12, 28, 6), (32, 28, 8), (3, 14, 3), (2, 99, 1)]
)
def test_a_batch_is_split_into_equal_microbatches(n, side, most):
    """No microbatch is partial: their size divides the batch, with at most 8 images of 28 x 28, or one larger image."""
    x = np.arange(n * side * side * 2.0).reshape(n, side, side, 2)
    parts = conv_jax._split(x)
    assert parts.shape[1] == most
    np.testing.assert_array_equal(parts.reshape(x.shape), x)
