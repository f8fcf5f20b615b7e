"""How JAX computes the convolution of dpm.conv; imported when the JAX engine is chosen.

XLA's own convolution is used, but its weight gradient is slow on a CPU (docs/results): there it is a loop over a few
pictures at a time, whose patches stay in the cache, and each turn is one matrix product.
"""

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from dpm.conv import SameConv, WeightGrad

PICTURES_A_TURN = 4


@jax_funcify.register(SameConv)
def jax_funcify_same_conv(op, node=None, **kwargs):
    return conv_by_xla


@jax_funcify.register(WeightGrad)
def jax_funcify_weight_grad(op, node=None, **kwargs):
    function = weight_grad_by_patches if jax.default_backend() == "cpu" else weight_grad_by_xla
    return lambda x, g: function(x, g, op.kernel_size)


def conv_by_xla(x, weights):
    """dpm.conv.same_conv by XLA's convolution, which is a correlation: the kernel is flipped first."""
    kernel = weights[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def weight_grad_by_xla(x, g, k):
    """The transpose of conv_by_xla in its weights."""
    weights = jax.ShapeDtypeStruct((g.shape[3], x.shape[3], k, k), x.dtype)
    return jax.linear_transpose(lambda w: conv_by_xla(x, w), weights)(g)[0]


def weight_grad_by_patches(x, g, k):
    """The gradient of same_conv by its weights, summed over a few pictures at a time."""
    filters, channels = g.shape[3], x.shape[3]

    def add_pictures(total, pictures_and_g):
        pictures, g_turn = pictures_and_g
        return total + _patches(pictures, k).T @ g_turn.reshape(-1, filters), None

    zero = jnp.zeros((k * k * channels, filters), dtype=x.dtype)
    total, _ = lax.scan(add_pictures, zero, (_turns(x), _turns(g)))
    return total.reshape(k, k, channels, filters)[::-1, ::-1].transpose(3, 2, 0, 1)


def _turns(x):
    """(n, h, w, c) as (turns, pictures a turn, h, w, c)."""
    n = x.shape[0]
    pictures = next(d for d in range(min(PICTURES_A_TURN, n), 0, -1) if n % d == 0)
    return x.reshape(n // pictures, pictures, *x.shape[1:])


def _patches(pictures, k):
    """The k x k neighbourhood of each pixel, with zeros outside: (pixels, k k channels)."""
    _, height, width, channels = pictures.shape
    border = (k // 2, k // 2)
    padded = jnp.pad(pictures, ((0, 0), border, border, (0, 0)))
    taps = [padded[:, i : i + height, j : j + width, :] for i in range(k) for j in range(k)]
    return jnp.concatenate(taps, axis=-1).reshape(-1, k * k * channels)
