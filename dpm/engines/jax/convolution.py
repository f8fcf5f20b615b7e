"""How JAX computes the convolution of dpm.graph.same_conv; imported when the JAX engine is chosen.

XLA's own convolution is used, but its weight gradient is slow on a CPU (docs/results): there it is a loop over a few
pictures at a time, which stay in the cache, and each turn is one matrix product.
"""

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from dpm.graph.same_conv import SameConv, WeightGrad

PIXELS_PER_MICROBATCH = 8 * 28 * 28


@jax_funcify.register(SameConv)
def jax_funcify_same_conv(op, node=None, **kwargs):
    return conv_by_xla


@jax_funcify.register(WeightGrad)
def jax_funcify_weight_grad(op, node=None, **kwargs):
    function = weight_grad_by_taps if jax.default_backend() == "cpu" else weight_grad_by_xla
    return lambda x, g: function(x, g, op.kernel_size)


def conv_by_xla(x, weights):
    """dpm.graph.same_conv.same_conv by XLA's convolution, which is a correlation: the kernel is flipped first."""
    kernel = weights[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def weight_grad_by_xla(x, g, k):
    """The transpose of conv_by_xla in its weights."""
    weights = jax.ShapeDtypeStruct((g.shape[3], x.shape[3], k, k), x.dtype)
    return jax.linear_transpose(lambda w: conv_by_xla(x, w), weights)(g)[0]


def weight_grad_by_taps(x, g, k):
    """The gradient of same_conv by its weights, summed over a few pictures at a time.

    The columns' taps are taken of x and the rows' of g, so that one matrix product of k channels by k filters has all
    k x k of them, from 2 k copies of pictures where patches take k k.
    """
    channels, filters = x.shape[3], g.shape[3]

    def add_pictures(total, pictures):
        x_turn, g_turn = pictures
        columns = _taps(x_turn, k, axis=2).reshape(-1, k * channels)
        rows = _taps(g_turn, k, axis=1).reshape(-1, k * filters)
        return total + columns.T @ rows, None

    zero = jnp.zeros((k * channels, k * filters), dtype=x.dtype)
    total, _ = lax.scan(add_pictures, zero, (_turns(x), _turns(g)))
    # [j, c, i, f]: x was moved by the column tap j, g against it by the row tap i, so i alone runs the other way.
    return total.reshape(k, channels, k, filters)[::-1].transpose(3, 1, 2, 0)


def _turns(x):
    """(n, h, w, c) as (turns, pictures a turn, h, w, c)."""
    n, height, width, _ = x.shape
    most = max(1, min(n, PIXELS_PER_MICROBATCH // (height * width)))
    pictures = next(d for d in range(most, 0, -1) if n % d == 0)
    return x.reshape(n // pictures, pictures, *x.shape[1:])


def _taps(pictures, k, axis):
    """Each pixel's k neighbors along an axis, with zeros outside: (n, h, w, k channels)."""
    length = pictures.shape[axis]
    border = [(k // 2, k // 2) if a == axis else (0, 0) for a in range(4)]
    padded = jnp.pad(pictures, border)
    return jnp.concatenate([lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(k)], axis=-1)
