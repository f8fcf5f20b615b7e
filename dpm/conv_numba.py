"""How Numba computes the convolution of dpm.conv; imported when the Numba engine is chosen.

For one picture at a time the patches are copied into one buffer that stays in the cache, and a BLAS product
does the arithmetic.
"""

import numpy as np
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from dpm.conv import SameConv, WeightGrad

VERSION = 3  # part of the key of Numba's cache: raise it when this file's arithmetic changes


@numba_njit
def fill_patches(picture, k, padded, patches):
    """Write the k x k neighbourhoods of picture (height, width, channels) into patches (pixels, k k channels).

    padded: zeros, (height + k - 1, (width + k - 1) channels), whose inside is overwritten. A row of a neighbourhood
    is one run of memory in it.
    """
    height, width, channels = picture.shape
    p = (k - 1) // 2
    run = k * channels
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                padded[y + p, (x + p) * channels + c] = picture[y, x, c]
    for y in range(height):
        for x in range(width):
            pixel, first = y * width + x, x * channels
            for i in range(k):
                for e in range(run):
                    patches[pixel, i * run + e] = padded[y + i, first + e]


@register_funcify_default_op_cache_key(SameConv)
def numba_funcify_same_conv(op, node, **kwargs):
    dtype = node.outputs[0].type.numpy_dtype

    @numba_njit
    def same_conv(x, weights):
        n, height, width, channels = x.shape
        filters, _, k, _ = weights.shape
        kernel = np.empty((k, k, channels, filters), dtype)
        for i in range(k):
            for j in range(k):
                kernel[i, j] = weights[:, :, k - 1 - i, k - 1 - j].T
        kernel_matrix = kernel.reshape((k * k * channels, filters))
        padded = np.zeros((height + k - 1, (width + k - 1) * channels), dtype)
        patches = np.empty((height * width, k * k * channels), dtype)
        out = np.empty((n, height * width, filters), dtype)
        for picture in range(n):
            fill_patches(x[picture], k, padded, patches)
            np.dot(patches, kernel_matrix, out[picture])
        return out.reshape((n, height, width, filters))

    return same_conv, VERSION


@register_funcify_default_op_cache_key(WeightGrad)
def numba_funcify_weight_grad(op, node, **kwargs):
    dtype = node.outputs[0].type.numpy_dtype
    k = op.kernel_size

    @numba_njit
    def weight_grad(x, g):
        n, height, width, channels = x.shape
        filters = g.shape[3]
        padded = np.zeros((height + k - 1, (width + k - 1) * channels), dtype)
        patches = np.empty((height * width, k * k * channels), dtype)
        total = np.zeros((filters, k * k * channels), dtype)
        for picture in range(n):
            fill_patches(x[picture], k, padded, patches)
            g_matrix = np.ascontiguousarray(g[picture]).reshape((height * width, filters))
            total += np.dot(g_matrix.T, patches)
        correlation = total.reshape((filters, k, k, channels))
        out = np.empty((filters, channels, k, k), dtype)
        for i in range(k):
            for j in range(k):
                out[:, :, i, j] = correlation[:, k - 1 - i, k - 1 - j, :]
        return out

    return weight_grad, VERSION
