"""The two toy data sets of section 3.1: binary heartbeats and the swiss roll."""

from functools import cache

import numpy as np

from dpm.base.errors import InputError

# Gauss-Legendre nodes over u; 64 nodes give the moments of its 1.5 turns to rounding.
CURVE_NODES = 64


def heartbeat(rng: np.random.Generator, n: int, length: int = 20, period: int = 5) -> np.ndarray:
    """Draw binary sequences with a 1 every `period` bins, all phases equally likely (section 3.1.2).

    Args:
        rng: Source of the phases.
        n: Number of sequences.
        length: Bins per sequence; if it is not a multiple of `period`, the last period is cut off.
        period: Distance between ones in bins.

    Returns:
        uint8 (n, length).

    Raises:
        InputError: If n < 1, length < 1 or the period is not in 1..length.
    """
    check_count("n", n)
    check_heartbeat(length, period)
    phases = rng.integers(0, period, (n, 1))
    return (np.arange(length) % period == phases).astype(np.uint8)


def swiss_roll(rng: np.random.Generator, n: int, noise: float) -> np.ndarray:
    """Draw noisy points of the two-dimensional swiss roll (section 3.1.1), each dimension of mean 0 and variance 1.

    x = c(u) + noise * z with c of `swiss_roll_curve`, u uniform on [0, 1], z standard normal. The paper does not
    state its noise.

    Args:
        rng: Source of u and z.
        n: Number of points.
        noise: Standard deviation of the noise, in units of the scaled data.

    Returns:
        float64 (n, 2).

    Raises:
        InputError: If n < 1, or unless 0 < noise < 1.
    """
    check_count("n", n)
    check_noise(noise)
    curve, _ = swiss_roll_curve(rng.uniform(size=n), noise)
    return curve + noise * rng.standard_normal((n, 2))


def swiss_roll_curve(u: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve c(u) of the swiss roll without noise, and its derivative with respect to u.

    c(u) is (t cos t, t sin t) with t = 1.5 pi (1 + 2 u). Each dimension is standardized by its exact mean and
    standard deviation over uniform u, then scaled by sqrt(1 - noise^2), so that it has variance 1 with the noise.

    Args:
        u: Positions on the curve in [0, 1], of any shape.
        noise: Standard deviation of the noise.

    Returns:
        Curve and derivative, two float64 arrays (*u.shape, 2).
    """
    mean, deviation = _spiral_moments()
    points, derivative = _spiral(np.asarray(u, dtype=np.float64))
    scale = np.sqrt(1 - noise**2) / deviation
    return (points - mean) * scale, derivative * scale


def check_count(name: str, value: int) -> None:
    """Raise InputError unless the value of the argument `name` is at least 1."""
    if value < 1:
        raise InputError(f"{name}={value}: must be 1 or more")


def check_heartbeat(length: int, period: int) -> None:
    """Raise InputError unless each phase of the period has a distinct sequence of that length."""
    check_count("length", length)
    if not 1 <= period <= length:
        raise InputError(f"period={period}: must be from 1 to the length, {length}")


def check_noise(noise: float) -> None:
    """Raise InputError unless 0 < noise < 1, so that the curve and the noise can have variance 1 together."""
    if not 0 < noise < 1:
        raise InputError(f"noise={noise}: must be above 0 and below 1, in standard deviations of the scaled data")


@cache
def _spiral_moments() -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the spiral for uniform u, each (2,), by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(CURVE_NODES)
    grid, _ = _spiral((nodes + 1) / 2)
    mean = weights @ grid / 2
    return mean, np.sqrt(weights @ (grid - mean) ** 2 / 2)


def _spiral(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = 1.5 * np.pi * (1 + 2 * u)
    cos, sin = np.cos(t), np.sin(t)
    derivative = 3 * np.pi * np.stack([cos - t * sin, sin + t * cos], axis=-1)
    return np.stack([t * cos, t * sin], axis=-1), derivative
