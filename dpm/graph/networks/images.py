"""The two networks for images by name: the network of the release, and the one that Appendix D.2 describes.

Each is a small set of choices from which dpm/model.py and dpm/regression.py build the graph; both have the same
parameters. Their differences, row by row: docs/paper-and-release.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray

from dpm.graph import Tensor
from dpm.graph.bricks import Activation, Identity
from dpm.graph.networks.vectors import Tanh
from dpm.graph.schedules import generate_temporal_basis
from dpm.regression import RELEASED_LAYERS, Layers
from dpm.util import logit


class SoftPlus(Activation):
    """log(1 + exp(x)), the "soft relu" of D.2.1, step 4."""

    def apply(self, x: Tensor) -> Tensor:
        """Return log(1 + exp(x))."""
        return pt.softplus(x)


@dataclass(frozen=True)
class ImageNetwork:
    """Choices that make the mean and variance of p(x_{t-1} | x_t) from the time and the network's coefficients.

    The tensors x_t, z and beta_t broadcast to the images' shape.

    Attributes:
        layers: choices inside the network.
        bumps: (T, J) -> g_j(t) of Eq. 64 for t = 1..T, (J, T).
        variance: (z, beta_t, T) -> Sigma (Eq. 65), of the readout z of Eq. 63.
        mean: (x_t, z, beta_t, Sigma) -> mu (Eq. 66), of the other readout z of Eq. 63.
    """

    layers: Layers
    bumps: Callable[[int, int], NDArray[np.float64]]
    variance: Callable[[Tensor, Tensor, int], Tensor]
    mean: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def released_variance(z: Tensor, beta: Tensor, trajectory_length: int) -> Tensor:
    """Return sigmoid(z / sqrt(T) + logit(beta_t)); Eq. 65 has no division."""
    return pt.sigmoid(z / trajectory_length**0.5 + logit(beta))


def released_mean(x: Tensor, z: Tensor, beta: Tensor, variance: Tensor) -> Tensor:
    """Return the forward kernel's mean plus z sqrt(beta_t); it does not depend on Sigma."""
    return x * pt.sqrt(1 - beta) + z * pt.sqrt(beta)


def paper_bumps(trajectory_length: int, n_basis: int) -> NDArray[np.float64]:
    """Return g_j(t) of Eq. 64, (n_basis, T), with a width w equal to the spacing of their centers, as in its text.

    The centers tau_j = T (j - 1/2) / J are evenly spaced inside (0, T); the text specifies no more.
    """
    spacing = trajectory_length / n_basis
    centers = spacing * (np.arange(n_basis) + 0.5)
    time = np.arange(1, trajectory_length + 1)
    exponent = -((time - centers[:, None]) ** 2) / (2 * spacing**2)
    bumps = np.exp(exponent - exponent.max(axis=0))
    return bumps / bumps.sum(axis=0)


def paper_variance(z: Tensor, beta: Tensor, trajectory_length: int) -> Tensor:
    """Return Sigma = sigmoid(z + logit(beta_t)) of Eq. 65, for any T."""
    return pt.sigmoid(z + logit(beta))


def paper_mean(x: Tensor, z: Tensor, beta: Tensor, variance: Tensor) -> Tensor:
    """Return mu = (x - z)(1 - Sigma) + z, Eq. 66 as printed, whose fixed point is z.

    z = 0 gives x (1 - Sigma), where the forward kernel has x sqrt(1 - beta_t).
    """
    return (x - z) * (1 - variance) + z


NETWORKS = {
    "reference-2015": ImageNetwork(RELEASED_LAYERS, generate_temporal_basis, released_variance, released_mean),
    "paper-2015": ImageNetwork(
        Layers(scale_activation=Identity, sum_activation=SoftPlus, sum_divided=False, dense_activation=Tanh),
        paper_bumps,
        paper_variance,
        paper_mean,
    ),
}
