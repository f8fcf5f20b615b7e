"""The convolution by XLA against scipy, and its two weight gradients against each other."""

import numpy as np
import pytest

from tests.convolutions import SHAPES, operands, scipy_same

pytest.importorskip("jax")

from dpm import conv_jax


@pytest.mark.parametrize("shape", SHAPES)
def test_both_weight_gradients_of_jax_are_one_function(shape):
    """The loop over pictures, used on a CPU, and the transpose of XLA's own convolution, used elsewhere."""
    x, weights, g = operands(shape, "float32")
    k = shape[-1]
    np.testing.assert_allclose(conv_jax.conv_by_xla(x, weights), scipy_same(x, weights), rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(
        conv_jax.weight_grad_by_xla(x, g, k), conv_jax.weight_grad_by_patches(x, g, k), rtol=2e-5, atol=2e-4
    )


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 12])
def test_the_pictures_of_a_batch_are_cut_into_equal_turns(n):
    """No turn is partial: the pictures a turn divide their number, four at most."""
    x = np.arange(n * 6.0).reshape(n, 1, 2, 3)
    turns = conv_jax._turns(x)
    assert turns.shape[1] <= conv_jax.PICTURES_A_TURN
    np.testing.assert_array_equal(turns.reshape(x.shape), x)
