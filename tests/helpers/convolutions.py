"""Operands of the convolution, scipy's result for them, and the compiled function."""

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.signal import convolve2d

from dpm.graph.same_conv import same_conv

SHAPES = [  # n, height, width, channels, filters, kernel
    (17, 4, 4, 2, 2, 3),
    (2, 8, 8, 1, 4, 3),
    (3, 7, 5, 3, 2, 3),
    (5, 6, 9, 3, 1, 5),
    (1, 1, 1, 2, 2, 3),
    (2, 4, 4, 2, 3, 1),
]


def operands(shape, dtype="float64", seed=0):
    """Draw images, weights and an output's gradient for a shape (n, height, width, channels, filters, kernel)."""
    n, height, width, channels, filters, k = shape
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, height, width, channels)).astype(dtype)
    weights = rng.normal(size=(filters, channels, k, k)).astype(dtype)
    g = rng.normal(size=(n, height, width, filters)).astype(dtype)
    return x, weights, g


def scipy_same(x, weights):
    """Return the sum over channels of scipy's true convolution, one image and filter at a time."""
    out = np.zeros((*x.shape[:3], weights.shape[0]))
    for image, filter_, channel in np.ndindex(x.shape[0], *weights.shape[:2]):
        full = convolve2d(x[image, :, :, channel], weights[filter_, channel], mode="full")
        p = (weights.shape[-1] - 1) // 2
        out[image, :, :, filter_] += full[p : p + x.shape[1], p : p + x.shape[2]]
    return out


def compiled_with_gradients(engine, shape):
    """Return the compiled function (x, weights, g) -> the convolution and its gradients by x and weights."""
    n, height, width, channels, filters, k = shape
    with engine:
        x = pt.tensor("x", dtype=engine.dtype, shape=(n, height, width, channels))
        weights = pt.tensor("weights", dtype=engine.dtype, shape=(filters, channels, k, k))
        g = pt.tensor("g", dtype=engine.dtype, shape=(n, height, width, filters))
        y = same_conv(x, weights)
        gradients = pytensor.grad((y * g).sum(), [x, weights])
        return engine.function([x, weights, g], [y, *gradients])
