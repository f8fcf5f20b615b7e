"""Dropout masks as inputs of the graph."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.graph.bricks import MLP, Identity, draw_masks, dropout_masks
from tests.helpers.graphs import set_values


def test_dropout_masks_multiply_the_inputs_of_weights():
    """y = sum over layers of (x mask) W: with identity layers the output is the product of the masks."""
    mlp = MLP("mlp", [Identity(), Identity()], [2, 2, 2])
    x = pt.tensor("x", dtype="float64", shape=(3, 2))
    with dropout_masks() as masks:
        y = mlp.apply(x)
    assert [mask.type.shape for mask in masks] == [(3, 2), (3, 2)]
    set_values(mlp, {path: np.eye(2) if p.role == "weight" else np.zeros(2) for path, p in mlp.parameters().items()})
    values = draw_masks(np.random.default_rng(0), [(3, 2), (3, 2)], 0.5)
    out = y.eval({x: np.ones((3, 2)), **dict(zip(masks, values, strict=True))}, mode="FAST_COMPILE")
    np.testing.assert_array_equal(out, values[0] * values[1])
    np.testing.assert_array_equal(mlp.apply(x).eval({x: np.ones((3, 2))}, mode="FAST_COMPILE"), 1)


def test_masks_have_mean_1():
    """An element is kept with probability 1 - rate and divided by it."""
    (mask,) = draw_masks(np.random.default_rng(0), [(200, 200)], 0.2)
    assert set(np.unique(mask)) == {0, 1.25}
    assert mask.mean() == pytest.approx(1, abs=4 * 0.5 / 200)
