"""The network of Appendix D.2: multi-scale convolutions beside a dense path, then a dense layer a pixel.

Names are those of the 2015 repository, and so is what is done unless other Layers are given. Where it differs from
the paper's text, see docs/paper-and-release.md.
"""

from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt

from dpm.base.errors import InputError
from dpm.graph.bricks import MLP, Brick, ConvolutionalActivation, Identity

FILTER_SIZE = 3


class LeakyRelu(Brick):
    """max(x, 0) with slope 0.05 for x <= 0, the released code's non-linearity."""

    slope = 0.05

    def __init__(self, name="leakyrelu"):
        super().__init__(name)

    def apply(self, x):
        return pt.switch(x > 0, x, self.slope * x)


@dataclass(frozen=True)
class Layers:
    """What differs between the layers of the release, the defaults, and those of D.2's text.

    scale_activation: class of the brick behind each scale's convolution; sum_activation: behind the sum over the
    scales; sum_divided: whether that sum is divided by their number; dense_activation: behind each dense layer, the
    readout excepted.
    """

    scale_activation: type[Brick] = LeakyRelu
    sum_activation: type[Brick] = Identity
    sum_divided: bool = True
    dense_activation: type[Brick] = LeakyRelu


RELEASED_LAYERS = Layers()


def downsample(x, scale):
    """Mean over blocks of 2^scale x 2^scale pixels ("mean pooling", D.2.1 step 1); x: (n, h, w, c)."""
    if scale == 0:
        return x
    _, height, width, channels = x.type.shape
    block = 2**scale
    blocks = x.reshape((-1, height // block, block, width // block, block, channels))
    return blocks.mean(axis=(2, 4))


def upsample(x):
    """Each pixel becomes 2 x 2 pixels (D.2.1 step 3); x: (n, h, w, c)."""
    _, height, width, channels = x.type.shape
    wide = pt.stack([x, x], axis=3)
    tall = pt.stack([wide, wide], axis=2)
    return tall.reshape((-1, 2 * height, 2 * width, channels))


class MultiScaleConvolution(Brick):
    """One layer of D.2.1: convolve mean-pooled copies of the picture and sum the upsampled results.

    As released, the non-linearity acts at each scale before the sum and the sum is divided by the number of
    scales; the paper's text applies one softplus after the sum.
    """

    def __init__(
        self, layer, num_channels, num_filters, spatial_width, num_scales, form=RELEASED_LAYERS, shared_bias=False
    ):
        self.num_scales = num_scales
        self.divisor = num_scales if form.sum_divided else 1
        self.layers = [
            ConvolutionalActivation(
                f"layer{layer}_scale{scale}",
                form.scale_activation(),
                filter_size=FILTER_SIZE,
                num_filters=num_filters,
                num_channels=num_channels,
                image_size=(spatial_width // 2**scale,) * 2,
                shared_bias=shared_bias,
            )
            for scale in range(num_scales)
        ]
        self.sum_activation = form.sum_activation()
        super().__init__("multiscaleconvolution", [*self.layers, self.sum_activation])

    def apply(self, x):
        """x: (n, width, width, channels); returns (n, width, width, filters)."""
        coarsest = self.num_scales - 1
        total = self.layers[coarsest].apply(downsample(x, coarsest))
        for scale in reversed(range(coarsest)):
            part = self.layers[scale].apply(downsample(x, scale))
            total = upsample(total) + part
        return self.sum_activation.apply(total / self.divisor)


class MultiLayerConvolution(Brick):
    """Multi-scale convolutions one after the other."""

    def __init__(self, n_layers, n_hidden, spatial_width, n_colors, n_scales, form=RELEASED_LAYERS, shared_bias=False):
        channels = [n_colors] + [n_hidden] * n_layers
        self.layers = [
            MultiScaleConvolution(i, channels[i], n_hidden, spatial_width, n_scales, form, shared_bias)
            for i in range(n_layers)
        ]
        super().__init__("multilayerconvolution", self.layers)

    def apply(self, x):
        for layer in self.layers:
            x = layer.apply(x)
        return x


class MLP_conv_dense(Brick):
    """Convolutional and dense paths side by side, then an MLP for each pixel (Figure D.1).

    Raises InputError where neither path is left or the picture cannot be halved n_scales - 1 times.
    """

    def __init__(
        self,
        n_layers_conv,
        n_layers_dense_lower,
        n_layers_dense_upper,
        n_hidden_conv,
        n_hidden_dense_lower,
        n_hidden_dense_lower_output,
        n_hidden_dense_upper,
        spatial_width,
        n_colors,
        n_scales,
        n_output,
        constants="float64",
        form=RELEASED_LAYERS,
        shared_bias=False,
    ):
        if spatial_width % 2 ** (n_scales - 1):
            blocks = 2 ** (n_scales - 1) if n_scales <= 64 else f"2^{n_scales - 1}"  # few digits in the message
            raise InputError(
                f"n_scales: {n_scales} scales halve the picture {n_scales - 1} times, but its width "
                f"{spatial_width} is not divisible by {blocks}; take a smaller n_scales or other pictures"
            )
        self.spatial_width, self.n_colors = spatial_width, n_colors
        self.n_dense_output = n_hidden_dense_lower_output
        self.conv_norm, self.dense_norm = (
            float(np.dtype(constants).type(n**0.5)) for n in (n_hidden_conv, n_hidden_dense_lower_output)
        )
        self.mlp_conv: MultiLayerConvolution | None = None
        self.mlp_dense_lower: MLP | None = None
        if n_hidden_conv > 0 and n_layers_conv > 0:
            self.mlp_conv = MultiLayerConvolution(
                n_layers_conv, n_hidden_conv, spatial_width, n_colors, n_scales, form, shared_bias
            )
        if n_hidden_dense_lower > 0 and n_layers_dense_lower > 0:
            pixels = spatial_width**2
            hidden = [n_hidden_dense_lower] * (n_layers_dense_lower - 1)
            dims = [n_colors * pixels, *hidden, pixels * n_hidden_dense_lower_output]
            activations = [form.dense_activation() for _ in range(n_layers_dense_lower)]
            self.mlp_dense_lower = MLP("MLP dense lower", activations, dims)
        features = (n_hidden_conv if self.mlp_conv else 0) + (
            n_hidden_dense_lower_output if self.mlp_dense_lower else 0
        )
        if not features:
            raise InputError(
                f"n_hidden_conv={n_hidden_conv}, n_layers_conv={n_layers_conv}, n_hidden_dense_lower="
                f"{n_hidden_dense_lower}, n_layers_dense_lower={n_layers_dense_lower}: neither the convolutional nor "
                "the dense path is left; one needs units and layers > 0"
            )
        dims = [features, *[n_hidden_dense_upper] * (n_layers_dense_upper - 1), n_output]
        activations = [form.dense_activation() for _ in range(n_layers_dense_upper - 1)] + [Identity()]
        self.mlp_dense_upper = MLP("MLP dense upper", activations, dims)
        paths = [path for path in (self.mlp_conv, self.mlp_dense_lower) if path]
        super().__init__("mlp_conv_dense", [*paths, self.mlp_dense_upper])

    def apply(self, X):
        """X: (n, n_colors, width, width) pictures; returns (n, width, width, n_output) coefficients a pixel."""
        features = []
        if self.mlp_conv:
            features.append(self.apply_conv(X))
        if self.mlp_dense_lower:
            features.append(self.apply_dense_lower(X))
        if len(features) == 2:
            conv, dense = features
            features = [conv / self.conv_norm, dense / self.dense_norm]
        return self.mlp_dense_upper.apply(pt.concatenate(features, axis=3))

    def apply_conv(self, X):
        """The convolutional path: (n, width, width, n_hidden_conv)."""
        assert self.mlp_conv is not None
        return self.mlp_conv.apply(X.transpose(0, 2, 3, 1))

    def apply_dense_lower(self, X):
        """The dense path, the whole picture at once: (n, width, width, n_hidden_dense_lower_output)."""
        width = self.spatial_width
        assert self.mlp_dense_lower is not None
        flat = self.mlp_dense_lower.apply(X.reshape((-1, self.n_colors * width**2)))
        return flat.reshape((-1, width, width, self.n_dense_output))
