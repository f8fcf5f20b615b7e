"""The network of Appendix D.2: multi-scale convolutions and a dense path, then a dense layer per pixel.

Names are those of the 2015 repository, and so is the computation, unless other `Layers` are given. Differences from
the paper's text: docs/paper-and-release.md.
"""

from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt

from dpm.base.errors import InputError
from dpm.graph import Tensor
from dpm.graph.bricks import MLP, Activation, Brick, ConvolutionalActivation, Identity

FILTER_SIZE = 3


class LeakyRelu(Activation):
    """max(x, 0) with slope 0.05 for x <= 0, the non-linearity of the released code."""

    slope = 0.05

    def apply(self, x: Tensor) -> Tensor:
        """Return x where it is positive, else 0.05 x."""
        return pt.switch(x > 0, x, self.slope * x)


@dataclass(frozen=True)
class Layers:
    """The differences between the layers of the release, which are the defaults, and those of D.2's text.

    Attributes:
        scale_activation: class of the activation after each scale's convolution.
        sum_activation: class of the activation after the sum over scales.
        sum_divided: True where that sum is divided by the number of scales.
        dense_activation: class of the activation after each dense layer except the readout.
    """

    scale_activation: type[Activation] = LeakyRelu
    sum_activation: type[Activation] = Identity
    sum_divided: bool = True
    dense_activation: type[Activation] = LeakyRelu


RELEASED_LAYERS = Layers()


def downsample(x: Tensor, scale: int) -> Tensor:
    """Return the mean over blocks of 2^scale x 2^scale pixels ("mean pooling", D.2.1 step 1); x: (n, h, w, c)."""
    if scale == 0:
        return x
    _, height, width, channels = x.type.shape
    block = 2**scale
    blocks = x.reshape((-1, height // block, block, width // block, block, channels))
    return blocks.mean(axis=(2, 4))


def upsample(x: Tensor) -> Tensor:
    """Return x with each pixel repeated to 2 x 2 pixels (D.2.1 step 3); x: (n, h, w, c)."""
    _, height, width, channels = x.type.shape
    wide = pt.stack([x, x], axis=3)
    tall = pt.stack([wide, wide], axis=2)
    return tall.reshape((-1, 2 * height, 2 * width, channels))


class MultiScaleConvolution(Brick):
    """One layer of D.2.1: convolve mean-pooled copies of the image and sum the upsampled results.

    As released, the non-linearity acts at each scale before the sum, and the sum is divided by the number of scales;
    the paper's text has one softplus after the sum.

    Args:
        layer: number of the layer, part of the names of its bricks.
        num_channels: channels of the input.
        num_filters: channels of the output.
        spatial_width: width and height of the images.
        num_scales: number of scales.
        form: activations and sum.
        shared_bias: as in Convolutional.
    """

    def __init__(
        self,
        layer: int,
        num_channels: int,
        num_filters: int,
        spatial_width: int,
        num_scales: int,
        form: Layers = RELEASED_LAYERS,
        shared_bias: bool = False,
    ) -> None:
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

    def apply(self, x: Tensor) -> Tensor:
        """Return the layer's output, (n, width, width, filters), of x, (n, width, width, channels)."""
        coarsest = self.num_scales - 1
        total = self.layers[coarsest].apply(downsample(x, coarsest))
        for scale in reversed(range(coarsest)):
            part = self.layers[scale].apply(downsample(x, scale))
            total = upsample(total) + part
        return self.sum_activation.apply(total / self.divisor)


class MultiLayerConvolution(Brick):
    """A sequence of multi-scale convolutions.

    Args:
        n_layers: number of layers.
        n_hidden: filters of each layer.
        spatial_width: width and height of the images.
        n_colors: channels of the input.
        n_scales: number of scales of each layer.
        form: activations and sum of each layer.
        shared_bias: as in Convolutional.
    """

    def __init__(
        self,
        n_layers: int,
        n_hidden: int,
        spatial_width: int,
        n_colors: int,
        n_scales: int,
        form: Layers = RELEASED_LAYERS,
        shared_bias: bool = False,
    ) -> None:
        channels = [n_colors] + [n_hidden] * n_layers
        self.layers = [
            MultiScaleConvolution(i, channels[i], n_hidden, spatial_width, n_scales, form, shared_bias)
            for i in range(n_layers)
        ]
        super().__init__("multilayerconvolution", self.layers)

    def apply(self, x: Tensor) -> Tensor:
        """Return the last layer's output, (n, width, width, n_hidden), of x, (n, width, width, n_colors)."""
        for layer in self.layers:
            x = layer.apply(x)
        return x


class MLP_conv_dense(Brick):
    """A convolutional and a dense path side by side, then an MLP per pixel (Figure D.1).

    The arguments from n_layers_conv to n_scales are those of DiffusionModel.

    Args:
        n_layers_conv: layers of the convolutional path; 0 omits it.
        n_layers_dense_lower: layers of the dense path, output layer included; 0 omits it.
        n_layers_dense_upper: layers of the MLP per pixel, output layer included.
        n_hidden_conv: filters of a convolutional layer; 0 omits the path.
        n_hidden_dense_lower: units of a hidden layer of the dense path; 0 omits the path.
        n_hidden_dense_lower_output: outputs of the dense path per pixel.
        n_hidden_dense_upper: units per pixel of a hidden layer of the MLP.
        spatial_width: width and height of the images.
        n_colors: channels of the images.
        n_scales: number of scales of a convolutional layer.
        n_output: outputs per pixel.
        constants: float type to which sqrt(n_hidden_conv) and sqrt(n_hidden_dense_lower_output) are rounded.
        form: activations and sums of the layers.
        shared_bias: as in Convolutional.

    Raises:
        InputError: neither path remains, or the images cannot be halved n_scales - 1 times.
    """

    def __init__(
        self,
        n_layers_conv: int,
        n_layers_dense_lower: int,
        n_layers_dense_upper: int,
        n_hidden_conv: int,
        n_hidden_dense_lower: int,
        n_hidden_dense_lower_output: int,
        n_hidden_dense_upper: int,
        spatial_width: int,
        n_colors: int,
        n_scales: int,
        n_output: int,
        constants: str = "float64",
        form: Layers = RELEASED_LAYERS,
        shared_bias: bool = False,
    ) -> None:
        check_scales(spatial_width, n_scales)
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
            self.mlp_dense_lower = MLP("MLP dense lower", [form.dense_activation() for _ in dims[1:]], dims)
        features = (n_hidden_conv if self.mlp_conv else 0) + (
            n_hidden_dense_lower_output if self.mlp_dense_lower else 0
        )
        if not features:
            raise InputError(
                f"n_hidden_conv={n_hidden_conv}, n_layers_conv={n_layers_conv}, n_hidden_dense_lower="
                f"{n_hidden_dense_lower}, n_layers_dense_lower={n_layers_dense_lower}: neither the convolutional nor "
                "the dense path remains; expected units and layers above 0 for one of them"
            )
        dims = [features, *[n_hidden_dense_upper] * (n_layers_dense_upper - 1), n_output]
        activations = [form.dense_activation() for _ in range(n_layers_dense_upper - 1)] + [Identity()]
        self.mlp_dense_upper = MLP("MLP dense upper", activations, dims)
        paths = [path for path in (self.mlp_conv, self.mlp_dense_lower) if path]
        super().__init__("mlp_conv_dense", [*paths, self.mlp_dense_upper])

    def apply(self, X: Tensor) -> Tensor:
        """Return coefficients per pixel, (n, width, width, n_output), of images X, (n, n_colors, width, width)."""
        features = []
        if self.mlp_conv:
            features.append(self.apply_conv(X))
        if self.mlp_dense_lower:
            features.append(self.apply_dense_lower(X))
        if len(features) == 2:
            conv, dense = features
            features = [conv / self.conv_norm, dense / self.dense_norm]
        return self.mlp_dense_upper.apply(pt.concatenate(features, axis=3))

    def apply_conv(self, X: Tensor) -> Tensor:
        """Return the output of the convolutional path, (n, width, width, n_hidden_conv)."""
        assert self.mlp_conv is not None
        return self.mlp_conv.apply(X.transpose(0, 2, 3, 1))

    def apply_dense_lower(self, X: Tensor) -> Tensor:
        """Return the output of the dense path, (n, width, width, n_hidden_dense_lower_output)."""
        width = self.spatial_width
        assert self.mlp_dense_lower is not None
        flat = self.mlp_dense_lower.apply(X.reshape((-1, self.n_colors * width**2)))
        return flat.reshape((-1, width, width, self.n_dense_output))


def check_scales(spatial_width: int, n_scales: int) -> None:
    """Raise InputError where images of that width cannot be halved n_scales - 1 times."""
    if spatial_width % 2 ** (n_scales - 1):
        blocks = 2 ** (n_scales - 1) if n_scales <= 64 else f"2^{n_scales - 1}"  # few digits in the message
        raise InputError(
            f"n_scales: {n_scales} scales halve the images {n_scales - 1} times, but their width {spatial_width} is "
            f"not divisible by {blocks}; expected a smaller n_scales, or other images"
        )
