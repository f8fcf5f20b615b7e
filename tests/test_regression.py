"""The released network: resampling, layers, and networks of one path."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.signal import convolve2d

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.model import DiffusionModel
from dpm.regression import LeakyRelu, MultiScaleConvolution, downsample, upsample
from tests.helpers.graphs import TINY, constant, set_values, value


def test_resampling_is_block_mean_and_repetition():
    """D.2.1: mean pooling by 2 x 2 blocks; upsampling repeats each pixel."""
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    pooled = value(downsample(constant(x), 1))
    np.testing.assert_allclose(pooled[1, 0, 1, 2], x[1, 0:2, 2:4, 2].mean(), rtol=1e-14)
    np.testing.assert_array_equal(value(upsample(constant(x))), x.repeat(2, axis=1).repeat(2, axis=2))


def test_leaky_relu_has_slope_005_at_zero_too():
    """The released non-linearity and its derivative (golden fact 5)."""
    x = pt.vector("x", dtype="float64")
    y = LeakyRelu().apply(x)
    slope = pt.grad(y.sum(), x)
    points = {x: np.array([-2.0, 0.0, 3.0])}
    np.testing.assert_allclose(y.eval(points, mode="FAST_COMPILE"), [-0.1, 0.0, 3.0], rtol=1e-14)
    np.testing.assert_allclose(slope.eval(points, mode="FAST_COMPILE"), [0.05, 0.05, 1.0], rtol=1e-14)


def test_multi_scale_convolution_by_scipy():
    """Two scales: convolve, add the bias, leaky ReLU, upsample the coarse one, sum, divide by 2 (golden fact 6)."""
    layer = MultiScaleConvolution(0, num_channels=1, num_filters=1, spatial_width=4, num_scales=2)
    rng = np.random.default_rng(0)
    set_values(layer, {path: rng.standard_normal(p.shape) for path, p in layer.parameters().items()})
    x = rng.standard_normal((4, 4))
    out = layer.apply(constant(x[None, :, :, None])).eval(mode="FAST_COMPILE")

    def part(image, scale):
        brick = layer.layers[scale].convolution
        full = convolve2d(image, brick.W.get_value()[0, 0], mode="full") + brick.b.get_value()[0]
        return np.where(full > 0, full, 0.05 * full)[1:-1, 1:-1]

    coarse = part(x.reshape(2, 2, 2, 2).mean(axis=(1, 3)), 1).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(out[0, :, :, 0], (part(x, 0) + coarse) / 2, rtol=1e-12)


@pytest.mark.parametrize(
    "change",
    [{"n_hidden_conv": 0}, {"n_layers_conv": 0}, {"n_hidden_dense_lower": 0}, {"n_layers_dense_lower": 0}],
)
def test_either_path_can_be_omitted(change):
    """Only convolutions, or only the dense path: finite cost and gradient at T = 2."""
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(**(TINY | change), trajectory_length=2)
    compiled = CompiledModel(model, engine)
    rng = np.random.default_rng(0)
    start = model.initialize(rng)
    theta = compiled.layout.flatten({p: start[p] for p in compiled.layout.slices}, "float32")
    X, N = (engine.asarray(a) for a in rng.standard_normal((2, 2, 2, 4, 4)))
    two = np.full(2, 2, dtype="float32")
    cost, gradient = compiled.objective(2)(theta, X, two, N, np.zeros_like(X), np.ones_like(two))
    assert cost.dtype == gradient.dtype == np.float32
    assert np.isfinite(cost)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
