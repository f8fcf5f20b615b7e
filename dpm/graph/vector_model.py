"""VectorDiffusion: a diffusion put together from a kernel, a schedule and a network, for examples of any shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dpm.graph import Tensor
from dpm.graph.diffusion import Diffusion
from dpm.graph.kernels import Kernel
from dpm.graph.networks.base import ReverseNetwork
from dpm.graph.schedules import Schedule


class VectorDiffusion(Diffusion):
    """A diffusion with any kernel, schedule and network: the paper's vectors and bits (sections 2 and D.1), or images.

    The three parts may be the user's: a kernel with the methods of `dpm.graph.kernels.Kernel`, any brick with
    `beta_arr()` and `trajectory_length` as a schedule, and any brick with `reverse` as a network.

    The bound is per example for vectors, and per pixel for shapes of two or more axes, such as images (channels,
    height, width); the first axis is then that of the channels.

    Args:
        example_shape: size of a vector, or shape of an example.
        kernel: a kernel of dpm.graph.kernels, or the user's.
        schedule: a schedule of dpm.graph.schedules, or the user's.
        network: a network of dpm.graph.networks, or the user's.

    Example:
        >>> from dpm.graph import schedules
        >>> from dpm.graph.kernels import GaussianKernel
        >>> from dpm.graph.networks import MeanVariance, NormalizedRBF
        >>> network = MeanVariance(2, NormalizedRBF(2, units=16), trajectory_length=40)
        >>> model = VectorDiffusion(2, GaussianKernel(), schedules.FixedSchedule(schedules.released(40)), network)
        >>> model.unit
        'bits/example'
    """

    def __init__(
        self, example_shape: int | Sequence[int], kernel: Kernel[Any], schedule: Schedule, network: ReverseNetwork
    ) -> None:
        shape = tuple(int(size) for size in np.atleast_1d(example_shape))
        super().__init__("vectordiffusion", [schedule, network], kernel, shape, shape[0])
        self.unit = "bits/example" if len(shape) == 1 else "bits/pixel"
        self.schedule, self.network = schedule, network
        self.set_schedule(schedule.beta_arr(), schedule.trajectory_length)

    def reverse(self, X_noisy: Tensor, t: Tensor) -> Any:
        """Return p(x_{t-1} | x_t) of the network; X_noisy: (n, *example_shape), t: (n,)."""
        return self.network.reverse(self.kernel, X_noisy, t, self.get_rates(t))
