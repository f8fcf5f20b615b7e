"""Dense bricks: Linear and MLP."""

from collections.abc import Sequence

import pytensor.tensor as pt

from dpm.graph import Tensor
from dpm.graph.bricks.base import BIAS, WEIGHT, Brick
from dpm.graph.bricks.dropout import brick_input
from dpm.graph.bricks.initialization import Constant, Initialization, Orthogonal


class Activation(Brick):
    """A non-linearity: a brick that maps a tensor to one of the same shape.

    Args:
        name: name of the brick; that of its class in lower case by default.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name or type(self).__name__.lower())

    def apply(self, x: Tensor) -> Tensor:
        """Return the activation of x, elementwise."""
        raise NotImplementedError


class Identity(Activation):
    """The activation f(x) = x."""

    def apply(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Linear(Brick):
    """Affine map y = x W + b over the last axis of x.

    Args:
        name: name of the brick.
        input_dim: size of the last axis of x.
        output_dim: size of the last axis of y.
        weights: initialization of W, (input_dim, output_dim); orthogonal by default.
        biases: initialization of b, (output_dim,); 0 by default.
    """

    def __init__(
        self,
        name: str,
        input_dim: int,
        output_dim: int,
        weights: Initialization | None = None,
        biases: Initialization | None = None,
    ) -> None:
        super().__init__(name)
        self.W = self.add_parameter("W", (input_dim, output_dim), WEIGHT, weights or Orthogonal())
        self.b = self.add_parameter("b", (output_dim,), BIAS, biases or Constant(0.0))

    def apply(self, x: Tensor) -> Tensor:
        """Return x W + b, (..., output_dim), of x, (..., input_dim)."""
        return pt.dot(brick_input(x), self.W) + self.b


class MLP(Brick):
    """Linear layers, each followed by its activation.

    Args:
        name: name of the brick.
        activations: one brick per layer.
        dims: sizes from input to output, one more than the layers.
        weights: initialization of all weights; orthogonal by default.

    Raises:
        ValueError: the number of dims is not the number of activations plus 1.
    """

    def __init__(
        self,
        name: str,
        activations: Sequence[Activation],
        dims: Sequence[int],
        weights: Initialization | None = None,
    ) -> None:
        if len(dims) != len(activations) + 1:
            raise ValueError(f"dims: got {list(dims)}; {len(activations)} activations need {len(activations) + 1} dims")
        self.linears = [Linear(f"linear_{i}", dims[i], dims[i + 1], weights) for i in range(len(activations))]
        self.activations = list(activations)
        super().__init__(name, [b for pair in zip(self.linears, activations, strict=True) for b in pair])

    def apply(self, x: Tensor) -> Tensor:
        """Return the output of the last layer, (..., dims[-1]), of x, (..., dims[0])."""
        for linear, activation in zip(self.linears, self.activations, strict=True):
            x = activation.apply(linear.apply(x))
        return x
