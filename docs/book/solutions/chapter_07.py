"""Solutions of the exercises of chapter 7, Images."""

import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm
from dpm.graph.same_conv import same_conv
from dpm.regression import MultiLayerConvolution


def exercise_1() -> int:
    """Return the width that a pixel sees after two layers with three scales: 20 of the 28 pixels.

    One layer sees 12 pixels, three blocks of 4. The coarsest scale of the second layer reads three such blocks of the
    first layer's output, and each of them sees one block more on both sides: five blocks of 4. The finer scales lie in
    the same grid of blocks and add nothing.
    """
    image = pt.tensor("image", shape=(1, 28, 28, 1))
    layers = MultiLayerConvolution(n_layers=2, n_hidden=1, spatial_width=28, n_colors=1, n_scales=3)
    for parameter in layers.parameters().values():
        parameter.variable.set_value(np.ones(parameter.shape))
    slope = pytensor.grad(layers.apply(image)[0, 14, 14, 0], image)
    seen = slope.eval({image: np.ones((1, 28, 28, 1))}, mode="FAST_COMPILE")[0, :, :, 0] != 0
    width = int(seen.any(axis=0).sum())
    assert width == int(seen.any(axis=1).sum()) == 20
    return width


def exercise_2() -> float:
    """Return the difference of <g, conv(x)> and <gradient in x, x>, which is only rounding.

    The gradient of the sum of g conv(x) in x does not depend on x, since the operation is linear in x. So it is the
    transpose applied to g.
    """
    rng = np.random.default_rng(0)
    x, g = pt.tensor4("x"), pt.tensor4("g")
    kernel = pt.constant(rng.standard_normal((3, 2, 3, 3)))
    product = (g * same_conv(x, kernel)).sum()
    values = {x: rng.standard_normal((4, 6, 5, 2)), g: rng.standard_normal((4, 6, 5, 3))}
    forward, backward = (v.eval(values, mode="FAST_COMPILE") for v in (product, (pytensor.grad(product, x) * x).sum()))
    difference = abs(float(forward - backward))
    assert difference < 1e-9
    return difference


def exercise_3() -> tuple[int, int]:
    """Return the numbers of parameters with untied and with shared biases of the convolutions.

    A convolution has 20 biases when they are shared, and 20 x 30 x 30 when they are untied. Only a model with shared
    biases and without a dense path fits images of another size: each of its parameters belongs to a filter, none to a
    place.
    """
    counts = []
    for biases in ("untied", "shared"):
        model = dpm.DiffusionModel(spatial_width=28, n_colors=1, conv_biases=biases)
        counts.append(sum(int(np.prod(p.shape)) for p in model.parameters().values() if p.is_trained))
    untied, shared = counts
    layers, filters = 4, 20
    assert untied - shared == layers * filters * (30 * 30 - 1)
    sizes = [
        {
            path: p.shape
            for path, p in dpm.DiffusionModel(width, 1, conv_biases="shared", n_hidden_dense_lower=0)
            .parameters()
            .items()
        }
        for width in (16, 32)
    ]
    assert sizes[0] == sizes[1]
    return untied, shared
