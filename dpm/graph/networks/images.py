"""The two networks of pictures by name: the release's, and the one that Appendix D.2 describes.

Each is a small set of choices, which dpm/model.py and dpm/regression.py turn into the graph; both have the same
parameters. Where they differ, row by row: docs/paper-and-release.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt

from dpm.graph.bricks import Brick, Identity
from dpm.graph.networks.vectors import Tanh
from dpm.graph.schedules import generate_temporal_basis
from dpm.regression import RELEASED_LAYERS, Layers
from dpm.util import logit


class SoftPlus(Brick):
    """log(1 + exp(x)), the "soft relu" of D.2.1, step 4."""

    def __init__(self, name="softplus"):
        super().__init__(name)

    def apply(self, x):
        return pt.softplus(x)


@dataclass(frozen=True)
class ImageNetwork:
    """What makes the mean and variance of p(x_{t-1} | x_t) of the time and the network's coefficients.

    layers: what differs inside the network. bumps(T, J): g_j(t) of Eq. 64, (J, T), for t = 1..T.
    variance(z, beta, T): Sigma (Eq. 65), mean(x, z, beta, Sigma): mu (Eq. 66), of the readouts z of Eq. 63, the
    noisy pictures x and beta_t, all of which broadcast to the pictures' shape.
    """

    layers: Layers
    bumps: Callable
    variance: Callable
    mean: Callable


def released_variance(z, beta, trajectory_length):
    """sigmoid(z / sqrt(T) + logit(beta_t)); Eq. 65 has no division."""
    return pt.sigmoid(z / trajectory_length**0.5 + logit(beta))


def released_mean(x, z, beta, variance):
    """The forward kernel's mean plus z sqrt(beta_t); Sigma has no part in it."""
    return x * pt.sqrt(1 - beta) + z * pt.sqrt(beta)


def paper_bumps(trajectory_length, n_basis):
    """g_j(t) of Eq. 64: (n_basis, T); their width w is the spacing of their centers, as its text says.

    The centers tau_j = T (j - 1/2) / J are evenly spaced and lie inside (0, T), which is all that the text says.
    """
    spacing = trajectory_length / n_basis
    centers = spacing * (np.arange(n_basis) + 0.5)
    time = np.arange(1, trajectory_length + 1)
    exponent = -((time - centers[:, None]) ** 2) / (2 * spacing**2)
    bumps = np.exp(exponent - exponent.max(axis=0))
    return bumps / bumps.sum(axis=0)


def paper_variance(z, beta, trajectory_length):
    """Eq. 65: Sigma = sigmoid(z + logit(beta_t)), whatever T is."""
    return pt.sigmoid(z + logit(beta))


def paper_mean(x, z, beta, variance):
    """Eq. 66 as printed: mu = (x - z)(1 - Sigma) + z, whose fixed point is z.

    z = 0 gives x (1 - Sigma) and not the forward kernel's x sqrt(1 - beta_t).
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
