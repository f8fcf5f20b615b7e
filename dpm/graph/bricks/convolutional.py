"""Convolutional bricks, with biases per filter and place as in the 2015 code. Images are channel-last."""

from typing import Any

from dpm.graph import Tensor
from dpm.graph.bricks.base import BIAS, WEIGHT, Brick
from dpm.graph.bricks.dense import Activation
from dpm.graph.bricks.dropout import brick_input
from dpm.graph.bricks.initialization import Constant, IsotropicGaussian
from dpm.graph.same_conv import same_conv


class Convolutional(Brick):
    """'Same' true convolution plus a bias.

    Args:
        name: name of the brick.
        filter_size: k, odd.
        num_filters: channels of the output.
        num_channels: channels of the input.
        image_size: height and width of the images.
        shared_bias: True for one bias per filter, (filters,), so that the same parameters serve images of any size;
            False for one per filter and place, in the shape of the *full* convolution, (filters, height + k - 1,
            width + k - 1), which the released code and its checkpoints hold. The border of these never reaches the
            cropped output and so has gradient 0.
    """

    def __init__(
        self,
        name: str,
        filter_size: int,
        num_filters: int,
        num_channels: int,
        image_size: tuple[int, int],
        shared_bias: bool = False,
    ) -> None:
        super().__init__(name)
        self.shared_bias = shared_bias
        self.crop = (filter_size - 1) // 2
        # The released deviation: much smaller than the one that preserves variance, so layers start almost linear.
        std = num_filters**-0.5 / filter_size**2
        height, width = image_size
        kernel = (num_filters, num_channels, filter_size, filter_size)
        full = (num_filters, height + filter_size - 1, width + filter_size - 1)
        self.W = self.add_parameter("W", kernel, WEIGHT, IsotropicGaussian(std))
        self.b = self.add_parameter("b", full[:1] if shared_bias else full, BIAS, Constant(0.0))

    def apply(self, x: Tensor) -> Tensor:
        """Return the convolution, (n, height, width, filters), of x, (n, height, width, channels)."""
        if self.shared_bias:
            return same_conv(brick_input(x), self.W) + self.b
        c, (_, height, width) = self.crop, self.b.type.shape
        bias = self.b[:, c : height - c, c : width - c]
        return same_conv(brick_input(x), self.W) + bias.transpose(1, 2, 0)


class ConvolutionalActivation(Brick):
    """A convolution followed by an activation.

    Args:
        name: name of the brick.
        activation: brick applied to the convolution.
        convolution: arguments of Convolutional, except its name.
    """

    def __init__(self, name: str, activation: Activation, **convolution: Any) -> None:
        self.convolution = Convolutional("convolutional", **convolution)
        self.activation = activation
        super().__init__(name, [self.convolution, activation])

    def apply(self, x: Tensor) -> Tensor:
        """Return the layer's output, (n, height, width, filters), of x, (n, height, width, channels)."""
        return self.activation.apply(self.convolution.apply(x))
