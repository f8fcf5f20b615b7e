"""Convolution over channels: a 'same' true convolution and its gradients, the one operation that PyTensor lacks.

PyTensor 3 convolves single channels only. The networks of Appendix D need sums over channels, so this module
adds two bilinear operations, closed under differentiation:

    same_conv(x, W)[n, y, x, f]      = sum_{i, j, c} W[f, c, i, j] x[n, y + p - i, x + p - j, c]
    weight_grad(x, g, k)[f, c, i, j] = sum_{n, y, x} g[n, y, x, f] x[n, y + p - i, x + p - j, c]

with zeros outside the image and p = (k - 1) / 2. The kernel is flipped (a true convolution), and only the center of the
full output is computed; the 2015 code computes the border too and crops it. Images are channel-last: in this layout the
patches of an image are rows of one matrix, and the convolution is a matrix product.

Each operation has a numpy implementation here, which defines it, and one for JAX and one for Numba in dpm/engines/.
"""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from dpm.graph import Tensor
from dpm.graph.dispatch import import_when_compiling

for _engine in ("jax", "numba"):
    import_when_compiling(_engine, "convolution")


def same_conv(x: Tensor, weights: Tensor) -> Tensor:
    """Return the 'same' true convolution of images.

    Args:
        x: images, (n, height, width, channels).
        weights: (filters, channels, k, k), k odd.

    Returns:
        (n, height, width, filters).
    """
    y: Any = SameConv()(x, weights)
    return y


def _flipped_transpose(weights: Tensor) -> Tensor:
    """Return the kernel of the adjoint: filters and channels exchanged, both axes flipped."""
    return weights.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


class SameConv(Op):
    """Symbolic 'same' true convolution, see the docstring of this module."""

    __props__ = ()

    def make_node(self, x: Any, weights: Any) -> Apply[Any]:  # type: ignore[override]
        """Return the node of the convolution of x by weights.

        Raises:
            ValueError: an operand does not have 4 axes, or the kernel is not square and odd.
            TypeError: the operands have different float types.
        """
        x, weights = pt.as_tensor(x), pt.as_tensor(weights)
        _check_operands(x, weights)
        kernel = weights.type.shape[-2:]
        if any(k is not None and k % 2 == 0 for k in kernel) or kernel[0] != kernel[1]:
            raise ValueError(f"weights: got a kernel of shape {kernel}; expected an odd, square, static shape")
        shape = (*x.type.shape[:3], weights.type.shape[0])
        return Apply(self, [x, weights], [pt.tensor(dtype=x.dtype, shape=shape)])

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        """Compute the convolution by numpy: patches times the flipped kernel."""
        x, weights = inputs
        filters, channels, k, _ = weights.shape
        kernel = weights[:, :, ::-1, ::-1].transpose(2, 3, 1, 0).reshape(k * k * channels, filters)
        output_storage[0][0] = np.ascontiguousarray(_patches(x, k) @ kernel)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the gradients in x and in the weights."""
        x, weights = inputs
        (g,) = cotangents
        k = weights.type.shape[-1]
        return [same_conv(g, _flipped_transpose(weights)), WeightGrad(k)(x, g)]


class WeightGrad(Op):
    """Gradient of same_conv in its weights.

    Args:
        kernel_size: k, odd.
    """

    __props__ = ("kernel_size",)

    def __init__(self, kernel_size: int) -> None:
        self.kernel_size = int(kernel_size)

    def make_node(self, x: Any, g: Any) -> Apply[Any]:  # type: ignore[override]
        """Return the node of the gradient for images x, (n, height, width, channels), and g, (..., filters)."""
        x, g = pt.as_tensor(x), pt.as_tensor(g)
        _check_operands(x, g)
        k = self.kernel_size
        shape = (g.type.shape[3], x.type.shape[3], k, k)
        return Apply(self, [x, g], [pt.tensor(dtype=x.dtype, shape=shape)])

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        """Compute the gradient by numpy: g times patches of x."""
        x, g = inputs
        k, channels, filters = self.kernel_size, x.shape[3], g.shape[3]
        product = g.reshape(-1, filters).T @ _patches(x, k).reshape(-1, k * k * channels)
        correlation = product.reshape(filters, k, k, channels).transpose(0, 3, 1, 2)
        output_storage[0][0] = np.ascontiguousarray(correlation[:, :, ::-1, ::-1])

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the gradients in x and in g."""
        x, g = inputs
        (w,) = cotangents
        return [same_conv(g, _flipped_transpose(w)), same_conv(x, w)]


def _check_operands(x: Tensor, other: Tensor) -> None:
    """Raise ValueError or TypeError where the operands do not have 4 axes and one float type."""
    if x.ndim != 4 or other.ndim != 4:
        raise ValueError(f"operands: got {x.ndim} and {other.ndim} axes; expected 4 axes in both")
    if x.dtype != other.dtype:
        raise TypeError(f"operands: got {x.dtype} and {other.dtype}; expected one float type in both")


def _patches(x: NDArray[Any], k: int) -> NDArray[Any]:
    """Return the k x k neighborhood of each pixel, (n, height, width, k k channels)."""
    p = (k - 1) // 2
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*x.shape[:3], k * k * x.shape[3])
