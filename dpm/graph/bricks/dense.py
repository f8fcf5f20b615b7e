"""Dense bricks: Linear and MLP."""

import pytensor.tensor as pt

from dpm.graph.bricks.base import BIAS, WEIGHT, Brick
from dpm.graph.bricks.dropout import brick_input
from dpm.graph.bricks.initialization import Constant, Orthogonal


class Identity(Brick):
    """The activation that does nothing."""

    def __init__(self, name="identity"):
        super().__init__(name)

    def apply(self, x):
        return x


class Linear(Brick):
    """y = x W + b over the last axis of x: (..., input_dim) to (..., output_dim).

    weights, biases: how they start; orthogonal and 0 unless given.
    """

    def __init__(self, name, input_dim, output_dim, weights=None, biases=None):
        super().__init__(name)
        self.W = self.add_parameter("W", (input_dim, output_dim), WEIGHT, weights or Orthogonal())
        self.b = self.add_parameter("b", (output_dim,), BIAS, biases or Constant(0.0))

    def apply(self, x):
        return pt.dot(brick_input(x), self.W) + self.b


class MLP(Brick):
    """Linear layers, each followed by its activation.

    activations: one brick a layer; dims: the sizes from input to output, one more than the layers.
    """

    def __init__(self, name, activations, dims):
        if len(dims) != len(activations) + 1:
            raise ValueError(f"{len(activations)} activations need {len(activations) + 1} dims, not {dims}")
        self.linears = [Linear(f"linear_{i}", *dims[i : i + 2]) for i in range(len(activations))]
        self.activations = list(activations)
        super().__init__(name, [b for pair in zip(self.linears, activations, strict=True) for b in pair])

    def apply(self, x):
        for linear, activation in zip(self.linears, self.activations, strict=True):
            x = activation.apply(linear.apply(x))
        return x
