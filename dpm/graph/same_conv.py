"""The one operation of our own: a 'same' true convolution over channels, and its gradients.

PyTensor 3 convolves single channels only. The networks of Appendix D need sums over channels, so this module
adds two bilinear operations which are closed under differentiation:

    same_conv(x, W)[n, y, x, f]      = sum_{i, j, c} W[f, c, i, j] x[n, y + p - i, x + p - j, c]
    weight_grad(x, g, k)[f, c, i, j] = sum_{n, y, x} g[n, y, x, f] x[n, y + p - i, x + p - j, c]

with zeros outside the picture and p = (k - 1) / 2. The kernel is flipped (a true convolution) and only the
center of the full output is kept: the border ring that the 2015 code computes and then crops never existed
here. Pictures are channel-last, which is the layout in which a picture's patches are rows of one matrix and
the convolution is a matrix product.

Each operation has a numpy implementation (the truth), one for JAX and one for Numba.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op


def same_conv(x, weights):
    """'Same' true convolution.

    x: (n, height, width, channels); weights: (filters, channels, k, k), k odd.
    Returns (n, height, width, filters).
    """
    return SameConv()(x, weights)


def _flipped_transpose(weights):
    """The kernel of the adjoint: filters and channels exchanged, both axes flipped."""
    return weights.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


class SameConv(Op):
    """Symbolic 'same' true convolution, see the module's docstring."""

    __props__ = ()

    def make_node(self, x, weights):  # type: ignore[override]
        x, weights = pt.as_tensor(x), pt.as_tensor(weights)
        _check_operands(x, weights)
        kernel = weights.type.shape[-2:]
        if any(k is not None and k % 2 == 0 for k in kernel) or kernel[0] != kernel[1]:
            raise ValueError(f"weights must have an odd, square, static kernel; their shape is {kernel}")
        shape = (*x.type.shape[:3], weights.type.shape[0])
        return Apply(self, [x, weights], [pt.tensor(dtype=x.dtype, shape=shape)])

    def perform(self, node, inputs, output_storage):
        x, weights = inputs
        filters, channels, k, _ = weights.shape
        kernel = weights[:, :, ::-1, ::-1].transpose(2, 3, 1, 0).reshape(k * k * channels, filters)
        output_storage[0][0] = np.ascontiguousarray(_patches(x, k) @ kernel)

    def pullback(self, inputs, outputs, cotangents):
        x, weights = inputs
        (g,) = cotangents
        k = weights.type.shape[-1]
        return [same_conv(g, _flipped_transpose(weights)), WeightGrad(k)(x, g)]


class WeightGrad(Op):
    """Gradient of same_conv with respect to its weights; kernel_size is odd."""

    __props__ = ("kernel_size",)

    def __init__(self, kernel_size):
        self.kernel_size = int(kernel_size)

    def make_node(self, x, g):  # type: ignore[override]
        x, g = pt.as_tensor(x), pt.as_tensor(g)
        _check_operands(x, g)
        k = self.kernel_size
        shape = (g.type.shape[3], x.type.shape[3], k, k)
        return Apply(self, [x, g], [pt.tensor(dtype=x.dtype, shape=shape)])

    def perform(self, node, inputs, output_storage):
        x, g = inputs
        k, channels, filters = self.kernel_size, x.shape[3], g.shape[3]
        product = g.reshape(-1, filters).T @ _patches(x, k).reshape(-1, k * k * channels)
        correlation = product.reshape(filters, k, k, channels).transpose(0, 3, 1, 2)
        output_storage[0][0] = np.ascontiguousarray(correlation[:, :, ::-1, ::-1])

    def pullback(self, inputs, outputs, cotangents):
        x, g = inputs
        (w,) = cotangents
        return [same_conv(g, _flipped_transpose(w)), same_conv(x, w)]


def _check_operands(x, other):
    if x.ndim != 4 or other.ndim != 4:
        raise ValueError(f"a convolution needs 4 axes in both operands, not {x.ndim} and {other.ndim}")
    if x.dtype != other.dtype:
        raise TypeError(f"both operands must have one float type, not {x.dtype} and {other.dtype}")


def _patches(x, k):
    """The k x k neighborhood of each pixel: (n, height, width, k k channels)."""
    p = (k - 1) // 2
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*x.shape[:3], k * k * x.shape[3])
