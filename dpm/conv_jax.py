"""How JAX computes the convolution of dpm.conv; imported when the JAX engine is chosen.

Forward and input gradient are XLA's own convolution in its fastest layout on a CPU (channel-last). XLA's
weight gradient is about ten times slower there than the convolution itself, so that one is a loop over a few
pictures at a time: their patches stay in the cache and each turn is one matrix product.
"""

import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from dpm.conv import SameConv, WeightGrad

PICTURES_A_TURN = 4


@jax_funcify.register(SameConv)
def jax_funcify_same_conv(op, node=None, **kwargs):
    def same_conv(x, weights):
        kernel = weights[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return same_conv


@jax_funcify.register(WeightGrad)
def jax_funcify_weight_grad(op, node=None, **kwargs):
    k = op.kernel_size
    p = (k - 1) // 2

    def weight_grad(x, g):
        n, height, width, channels = x.shape
        filters = g.shape[3]
        m = next(d for d in range(min(PICTURES_A_TURN, n), 0, -1) if n % d == 0)
        padded = jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))

        def add_pictures(total, pictures):
            x_m, g_m = pictures
            taps = [x_m[:, i : i + height, j : j + width, :] for i in range(k) for j in range(k)]
            patches = jnp.concatenate(taps, axis=-1).reshape(-1, k * k * channels)
            return total + patches.T @ g_m, None

        turns = (
            padded.reshape(n // m, m, height + 2 * p, width + 2 * p, channels),
            g.reshape(n // m, m * height * width, filters),
        )
        zero = jnp.zeros((k * k * channels, filters), dtype=x.dtype)
        product, _ = lax.scan(add_pictures, zero, turns)
        return product.reshape(k, k, channels, filters)[::-1, ::-1].transpose(3, 2, 0, 1)

    return weight_grad
