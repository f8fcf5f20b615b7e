"""ReverseNetwork: the interface of a network that gives the reverse kernel."""

from typing import Any

from dpm.graph import Tensor
from dpm.graph.bricks import Brick
from dpm.graph.kernels import Kernel


class ReverseNetwork(Brick):
    """A network of a model: any brick with `reverse`.

    Example:
        A network with one parameter, for examples of any shape:

        >>> import pytensor.tensor as pt
        >>> from dpm.graph.bricks import WEIGHT, Constant
        >>> from dpm.graph.kernels import Gaussian
        >>> class Scaling(ReverseNetwork):
        ...     def __init__(self):
        ...         super().__init__("scaling")
        ...         self.W = self.add_parameter("W", (), WEIGHT, Constant(1.0))
        ...
        ...     def reverse(self, kernel, X_noisy, t, rates):
        ...         beta = rates[0]
        ...         return Gaussian(self.W * X_noisy * pt.sqrt(1 - beta), pt.sqrt(beta))
    """

    def reverse(self, kernel: Kernel[Any], X_noisy: Tensor, t: Tensor, rates: tuple[Tensor, Tensor, Tensor]) -> Any:
        """Return p(x_{t-1} | x_t), a distribution of the kernel, such as Gaussian(mu, sigma) or Bernoulli(logit).

        Args:
            kernel: kernel of the model, for instance for `kernel.posterior`.
            X_noisy: x_t, (n, *example_shape).
            t: its time 1..T, (n,), of float type.
            rates: beta_t, beta_bar_t and beta_bar_{t-1}, each (n, 1, ..., 1).
        """
        raise NotImplementedError
