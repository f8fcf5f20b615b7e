"""Bricks: paths, shapes, starts, and dropout masks as inputs."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.bricks import (
    MLP,
    Brick,
    Constant,
    Convolutional,
    Identity,
    IsotropicGaussian,
    Linear,
    Orthogonal,
    draw_masks,
    dropout_masks,
)


def test_paths_are_those_of_blocks():
    """Names from the root joined by "/", then "." and the parameter's name."""
    mlp = MLP("MLP dense upper", [Identity(), Identity()], [2, 3, 4])
    root = Brick("diffusionmodel", [Brick("mlp_conv_dense", [mlp])])
    path = "/diffusionmodel/mlp_conv_dense/MLP dense upper/linear_{}.{}"
    shapes = {p: v.shape for p, v in root.parameters().items()}
    assert shapes == {
        path.format(0, "W"): (2, 3),
        path.format(0, "b"): (3,),
        path.format(1, "W"): (3, 4),
        path.format(1, "b"): (4,),
    }


def test_an_mlp_needs_one_more_size_than_activations():
    with pytest.raises(ValueError, match="need 2 dims"):
        MLP("mlp", [Identity()], [2, 3, 4])


def test_starts_are_a_function_of_the_generator():
    linear = Linear("linear", 4, 3)
    one, two, three = (linear.initialize(np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["/linear.W"], two["/linear.W"])
    assert not np.array_equal(one["/linear.W"], three["/linear.W"])
    np.testing.assert_array_equal(one["/linear.b"], 0)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 4)])
def test_orthogonal_matrices_are(shape):
    q = Orthogonal().generate(np.random.default_rng(0), shape)
    assert q.shape == shape
    product = q @ q.T if shape[0] <= shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)


def test_orthogonal_matrices_have_no_preferred_sign():
    """Uniform over the orthogonal group: the diagonal's mean is 0 (without the sign of R it is far from it)."""
    traces = [np.trace(Orthogonal().generate(np.random.default_rng(s), (3, 3))) for s in range(2000)]
    assert abs(np.mean(traces)) < 4 * np.std(traces) / 2000**0.5


def test_other_starts():
    np.testing.assert_array_equal(Constant(2.5).generate(None, (2, 2)), 2.5)
    draw = IsotropicGaussian(0.3, 1.0).generate(np.random.default_rng(0), (200, 200))
    assert draw.mean() == pytest.approx(1.0, abs=4 * 0.3 / 200)
    assert draw.std() == pytest.approx(0.3, rel=0.02)


def test_convolution_starts_as_released():
    """Deviation sqrt(1/F)/9, untied biases of the full output at 0 (golden facts 4 and 17)."""
    brick = Convolutional("convolutional", filter_size=3, num_filters=16, num_channels=50, image_size=(4, 6))
    start = brick.initialize(np.random.default_rng(0))
    assert start["/convolutional.W"].std() == pytest.approx(1 / 36, rel=0.05)
    assert start["/convolutional.b"].shape == (16, 6, 8)
    np.testing.assert_array_equal(start["/convolutional.b"], 0)


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
