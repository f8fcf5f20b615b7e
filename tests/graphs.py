"""Small helpers to evaluate graphs in tests."""

import numpy as np
import pytensor.tensor as pt

TINY = {
    "spatial_width": 4,
    "n_colors": 2,
    "n_temporal_basis": 3,
    "n_hidden_conv": 2,
    "n_layers_conv": 1,
    "n_hidden_dense_lower": 3,
    "n_layers_dense_lower": 2,
    "n_hidden_dense_upper": 3,
}


def value(expression):
    """Evaluate a graph without inputs, quickly."""
    return expression.eval(mode="FAST_COMPILE")


def constant(number):
    return pt.constant(np.asarray(number, dtype="float64"))
