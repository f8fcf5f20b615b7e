"""Convolutional bricks, their biases for each filter and place as in the 2015 code. Pictures are channel-last."""

from dpm.graph.bricks.base import BIAS, WEIGHT, Brick
from dpm.graph.bricks.dropout import brick_input
from dpm.graph.bricks.initialization import Constant, IsotropicGaussian
from dpm.graph.same_conv import same_conv


class Convolutional(Brick):
    """'Same' true convolution plus a bias.

    shared_bias: one bias for each filter, (filters,), so that the same parameters serve pictures of any size; else one
    for each place too, in the shape of the *full* convolution, (filters, height + k - 1, width + k - 1), because that
    is what the released code and its checkpoints hold. Its border never reaches the cropped output and so has
    gradient 0.
    """

    def __init__(self, name, filter_size, num_filters, num_channels, image_size, shared_bias=False):
        super().__init__(name)
        self.shared_bias = shared_bias
        self.crop = (filter_size - 1) // 2
        # The released choice: much smaller than what keeps the variance, so the layers start almost linear.
        std = num_filters**-0.5 / filter_size**2
        height, width = image_size
        kernel = (num_filters, num_channels, filter_size, filter_size)
        full = (num_filters, height + filter_size - 1, width + filter_size - 1)
        self.W = self.add_parameter("W", kernel, WEIGHT, IsotropicGaussian(std))
        self.b = self.add_parameter("b", full[:1] if shared_bias else full, BIAS, Constant(0.0))

    def apply(self, x):
        """x: (n, height, width, channels); returns (n, height, width, filters)."""
        if self.shared_bias:
            return same_conv(brick_input(x), self.W) + self.b
        c, (_, height, width) = self.crop, self.b.type.shape
        bias = self.b[:, c : height - c, c : width - c]
        return same_conv(brick_input(x), self.W) + bias.transpose(1, 2, 0)


class ConvolutionalActivation(Brick):
    """A convolution followed by an activation."""

    def __init__(self, name, activation, **convolution):
        self.convolution = Convolutional("convolutional", **convolution)
        self.activation = activation
        super().__init__(name, [self.convolution, activation])

    def apply(self, x):
        return self.activation.apply(self.convolution.apply(x))
