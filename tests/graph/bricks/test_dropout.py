"""Dropout masks as inputs of the graph."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.graph.bricks import (
    MLP,
    Identity,
    draw_masks,
    dropout_masks,
)


def test_dropout_masks_multiply_the_inputs_of_weights():
    """y = sum over layers of (x mask) W: with identity layers the masks' product is what comes out."""
    mlp = MLP("mlp", [Identity(), Identity()], [2, 2, 2])
    x = pt.tensor("x", dtype="float64", shape=(3, 2))
    with dropout_masks() as masks:
        y = mlp.apply(x)
    assert [mask.type.shape for mask in masks] == [(3, 2), (3, 2)]
    values = {p.variable: np.eye(2) if p.role == "weight" else np.zeros(2) for p in mlp.parameters().values()}
    drawn = draw_masks(np.random.default_rng(0), [(3, 2), (3, 2)], 0.5)
    out = y.eval({x: np.ones((3, 2)), **values, **dict(zip(masks, drawn, strict=True))}, mode="FAST_COMPILE")
    np.testing.assert_array_equal(out, drawn[0] * drawn[1])
    untouched = mlp.apply(x).eval({x: np.ones((3, 2)), **values}, mode="FAST_COMPILE")
    np.testing.assert_array_equal(untouched, 1)


def test_masks_keep_the_mean():
    """Kept with probability 1 - rate and divided by it."""
    (mask,) = draw_masks(np.random.default_rng(0), [(200, 200)], 0.2)
    assert set(np.unique(mask)) == {0, 1.25}
    assert mask.mean() == pytest.approx(1, abs=4 * 0.5 / 200)
