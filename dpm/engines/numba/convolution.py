"""Numba implementation of the convolution of dpm.graph.same_conv, registered with PyTensor when imported.

For one image at a time each pixel's neighbors in its row are copied side by side, into a buffer that stays in the
cache, and BLAS multiplies them. The neighbors in its column are the same buffer some rows further on, so that they
need no copies: one k-th of the copying of whole k x k patches, and broader products.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

# Documented only in PyTensor's source (3.0.7, 3.3.8). A function registered so returns a compiled function and a
# version; the operation's class and properties and this version are its key in PyTensor's cache on disk.
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from dpm.graph.same_conv import SameConv, WeightGrad

VERSION = 4  # part of the cache key: raise it when this file's arithmetic changes


@numba_njit
def fill_neighbors(image: np.ndarray, k: int, neighbors: np.ndarray) -> None:
    """Write the k pixels around each pixel in its row.

    Args:
        image: (height, width, channels).
        k: side of the kernel.
        neighbors: zeros, (height, width, k channels); what is outside the image stays 0.
    """
    height, width, channels = image.shape
    for y in range(height):
        for j in range(k):
            shift = j - k // 2
            for x in range(max(0, -shift), width - max(0, shift)):
                for c in range(channels):
                    neighbors[y, x, j * channels + c] = image[y, x + shift, c]


@register_funcify_default_op_cache_key(SameConv)
def numba_funcify_same_conv(op: SameConv, node: Any, **kwargs: Any) -> tuple[Callable[..., Any], int]:
    """Return the function of Numba that computes the operation, as PyTensor asks for it."""
    dtype = node.outputs[0].type.numpy_dtype

    @numba_njit
    def same_conv(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        n, height, width, channels = x.shape
        filters, _, k, _ = weights.shape
        kernel = np.empty((k, channels, k, filters), dtype)
        for f in range(filters):
            for c in range(channels):
                for i in range(k):
                    for j in range(k):
                        kernel[j, c, i, f] = weights[f, c, k - 1 - i, k - 1 - j]
        kernel_matrix = kernel.reshape((k * channels, k * filters))
        neighbors = np.zeros((height, width, k * channels), dtype)
        neighbor_matrix = neighbors.reshape((height * width, k * channels))
        rows = np.empty((height, width, k * filters), dtype)
        row_matrix = rows.reshape((height * width, k * filters))
        out = np.zeros((n, height, width, filters), dtype)
        for image in range(n):
            fill_neighbors(x[image], k, neighbors)
            np.dot(neighbor_matrix, kernel_matrix, row_matrix)
            for i in range(k):
                shift = i - k // 2
                for y in range(max(0, -shift), height - max(0, shift)):
                    for column in range(width):
                        for f in range(filters):
                            out[image, y, column, f] += rows[y + shift, column, i * filters + f]
        return out

    return same_conv, VERSION


@register_funcify_default_op_cache_key(WeightGrad)
def numba_funcify_weight_grad(op: WeightGrad, node: Any, **kwargs: Any) -> tuple[Callable[..., Any], int]:
    """Return the function of Numba that computes the operation, as PyTensor asks for it."""
    dtype = node.outputs[0].type.numpy_dtype
    k = op.kernel_size

    @numba_njit
    def weight_grad(x: np.ndarray, g: np.ndarray) -> np.ndarray:
        n, height, width, channels = x.shape
        filters = g.shape[3]
        neighbors = np.zeros((height, width, k * channels), dtype)
        neighbor_matrix = neighbors.reshape((height * width, k * channels))
        total = np.zeros((k, k * channels, filters), dtype)
        product = np.empty((k * channels, filters), dtype)
        for image in range(n):
            fill_neighbors(x[image], k, neighbors)
            g_matrix = np.ascontiguousarray(g[image]).reshape((height * width, filters))
            for i in range(k):
                below, above = max(0, i - k // 2) * width, max(0, k // 2 - i) * width
                pixels = height * width - below - above
                if pixels > 0:
                    np.dot(neighbor_matrix[below : below + pixels].T, g_matrix[above : above + pixels], product)
                    total[i] += product
        out = np.empty((filters, channels, k, k), dtype)
        for f in range(filters):
            for c in range(channels):
                for i in range(k):
                    for j in range(k):
                        out[f, c, k - 1 - i, k - 1 - j] = total[i, j * channels + c, f]
        return out

    return weight_grad, VERSION
