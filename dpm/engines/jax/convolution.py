"""JAX implementation of the convolution of dpm.graph.same_conv, registered with PyTensor when imported.

XLA's own convolution is used, but its gradient by the weights is slow on a CPU (docs/results): there it is a loop over
a few images at a time, which stay in the cache, with one matrix product each.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify  # documented only in PyTensor's source (3.0.7, 3.3.8)

from dpm.graph.same_conv import SameConv, WeightGrad

PIXELS_PER_MICROBATCH = 8 * 28 * 28

ArrayFunction = Callable[[jax.Array, jax.Array], jax.Array]


@jax_funcify.register(SameConv)
def jax_funcify_same_conv(op: SameConv, node: Any = None, **kwargs: Any) -> ArrayFunction:
    """Return the function of JAX that computes the operation, as PyTensor asks for it."""
    return conv_by_xla


@jax_funcify.register(WeightGrad)
def jax_funcify_weight_grad(op: WeightGrad, node: Any = None, **kwargs: Any) -> ArrayFunction:
    """Return the function of JAX that computes the operation, as PyTensor asks for it."""
    function = weight_grad_by_taps if jax.default_backend() == "cpu" else weight_grad_by_xla
    return lambda x, g: function(x, g, op.kernel_size)


def conv_by_xla(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Compute dpm.graph.same_conv.same_conv by XLA's convolution, which is a correlation: flip the kernel first."""
    kernel = weights[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def weight_grad_by_xla(x: jax.Array, g: jax.Array, k: int) -> jax.Array:
    """Compute the gradient by the weights as the transpose of `conv_by_xla`.

    Args:
        x: inputs (n, height, width, channels).
        g: gradient by the outputs (n, height, width, filters).
        k: side of the kernel.

    Returns:
        Gradient (filters, channels, k, k).
    """
    weights = jax.ShapeDtypeStruct((g.shape[3], x.shape[3], k, k), x.dtype)
    gradient: jax.Array = jax.linear_transpose(lambda w: conv_by_xla(x, w), weights)(g)[0]
    return gradient


def weight_grad_by_taps(x: jax.Array, g: jax.Array, k: int) -> jax.Array:
    """Compute the gradient by the weights by matrix products, a few images at a time; see `weight_grad_by_xla`.

    The columns' taps are taken of x and the rows' of g, so that one product of k channels by k filters has all k x k
    of them, from 2 k copies of the images, where patches take k k.
    """
    channels, filters = x.shape[3], g.shape[3]

    def add_images(total: jax.Array, images: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        x_part, g_part = images
        columns = _taps(x_part, k, axis=2).reshape(-1, k * channels)
        rows = _taps(g_part, k, axis=1).reshape(-1, k * filters)
        return total + columns.T @ rows, None

    zero = jnp.zeros((k * channels, k * filters), dtype=x.dtype)
    total, _ = lax.scan(add_images, zero, (_split(x), _split(g)))
    # [j, c, i, f]: x was moved by the column tap j, g against it by the row tap i, so only i runs the other way.
    return total.reshape(k, channels, k, filters)[::-1].transpose(3, 1, 2, 0)


def _split(x: jax.Array) -> jax.Array:
    """Reshape (n, h, w, c) to (microbatches, microbatch size, h, w, c)."""
    n, height, width, _ = x.shape
    largest = max(1, min(n, PIXELS_PER_MICROBATCH // (height * width)))
    size = next(d for d in range(largest, 0, -1) if n % d == 0)
    return x.reshape(n // size, size, *x.shape[1:])


def _taps(images: jax.Array, k: int, axis: int) -> jax.Array:
    """Return each pixel's k neighbors along an axis, with zeros outside: (n, h, w, k channels)."""
    length = images.shape[axis]
    border = [(k // 2, k // 2) if a == axis else (0, 0) for a in range(4)]
    padded = jnp.pad(images, border)
    return jnp.concatenate([lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(k)], axis=-1)
