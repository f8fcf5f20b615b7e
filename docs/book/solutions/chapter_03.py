"""Solutions of the exercises of chapter 3, Reverse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm
from dpm.graph.networks.images import paper_bumps

KERNEL = dpm.GaussianKernel()
GRID = np.linspace(-8, 8, 3201)
POINTS = np.linspace(-2, 2, 81)


def reverse_on_grid(log_marginal: Callable[[pt.TensorVariable], pt.TensorVariable]) -> Callable[..., list[np.ndarray]]:
    """Return a function (x, x_t, beta) -> q(x_{t-1} | x_t) on the grid x, its mean and its variance.

    Args:
        log_marginal: log q(x_{t-1}) as a graph, (n,), of x, (n,).
    """
    x, x_t = pt.vectors("x", "x_t")
    beta = pt.scalar("beta")
    log_step = KERNEL.log_prob(KERNEL.forward_step(x, beta), x_t[:, None])
    exact = pt.special.softmax(log_step + log_marginal(x), axis=1)
    mu = exact @ x
    variance = (exact * (x - mu[:, None]) ** 2).sum(axis=1)
    return pytensor.function([x, x_t, beta], [exact, mu, variance], mode="JAX")


def bumps(x: pt.TensorVariable) -> pt.TensorVariable:
    """Return log q(x) of the chapter's two bumps with half of the signal left."""
    place, spread = 0.9 * np.sqrt(0.5), np.sqrt(1 - 0.5 * 0.9**2)
    sides = [dpm.kernels.Gaussian(pt.constant(sign * place), pt.constant(spread)) for sign in (-1, 1)]
    return pt.logaddexp(*(KERNEL.log_prob(side, x) for side in sides))


def exercise_1() -> float:
    """Return the largest error of "the reverse step is the forward kernel" for Gaussian data: below 1e-9.

    For x_{t-1} ~ N(0, 1) the pair (x_{t-1}, x_t) is Gaussian with variances 1 and covariance sqrt(1 - beta), which is
    symmetric in both. So q(x_{t-1} | x_t) = N(x_t sqrt(1 - beta), beta), for every beta.
    """
    reverse = reverse_on_grid(lambda x: KERNEL.log_prob(KERNEL.prior(x), x))
    errors = []
    for beta in (0.05, 0.5, 0.95):
        exact, mu, variance = reverse(GRID, POINTS, beta)
        density = np.exp(-((GRID - POINTS[:, None] * np.sqrt(1 - beta)) ** 2) / (2 * beta))
        errors += [np.abs(exact - density / density.sum(axis=1, keepdims=True)).max()]
        errors += [np.abs(mu - POINTS * np.sqrt(1 - beta)).max(), np.abs(variance - beta).max()]
    assert max(errors) < 1e-9
    return float(max(errors))


def exercise_2() -> float:
    """Return the positive x_t at which the reverse step is farthest from a Gaussian: about 0.6.

    What a Gaussian cannot follow is the third derivative of log q. It is 0 at the center, where log q is even, and 0
    far away, where one bump is left, which is a Gaussian. It is largest in between, on the way to a bump.
    """
    beta = 0.05
    exact, mu, variance = reverse_on_grid(bumps)(GRID, POINTS, beta)
    normal = np.exp(-((GRID - mu[:, None]) ** 2) / (2 * variance[:, None]))
    normal /= normal.sum(axis=1, keepdims=True)
    distance = (exact * np.log((exact + 1e-300) / (normal + 1e-300))).sum(axis=1)
    x = pt.vector("x")
    third: Any = bumps(x)
    for _ in range(3):
        third = pytensor.grad(third.sum(), x)
    size = np.abs(third.eval({x: POINTS / np.sqrt(1 - beta)}, mode="JAX"))
    right = POINTS > 0.0
    farthest = float(POINTS[right][np.argmax(distance[right])])
    steepest = float(POINTS[right][np.argmax(size[right])])
    assert 0.3 < farthest < 1.0
    assert abs(farthest - steepest) < 0.2
    assert distance[len(POINTS) // 2] < 0.9 * distance.max()
    return farthest


def exercise_3() -> tuple[int, int]:
    """Return the numbers of bumps above 1 % at t = 500: 6 in the paper's form and 2 in the released one.

    A bump at the distance of d spacings has the weight exp(-d^2 / 2) with the paper's width, and exp(-2 d^2) with half
    of it, before the division by the sum.
    """
    t = 500
    counts = [
        int((basis[:, t - 1] > 0.01).sum())
        for basis in (paper_bumps(1000, 10), dpm.schedules.generate_temporal_basis(1000, 10))
    ]
    assert counts == [6, 2]
    return counts[0], counts[1]
