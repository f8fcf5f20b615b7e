"""The paper's two made-up data sets, drawn from numpy's generators: binary heartbeats and the swiss roll."""

import numpy as np

from dpm.base.errors import InputError

# Gauss-Legendre nodes over u; the curve turns three times in all, so 64 give its moments to rounding.
CURVE_NODES = 64


def heartbeat(rng: np.random.Generator, n: int, length: int = 20, period: int = 5) -> np.ndarray:
    """Binary sequences with a 1 every `period` bins, at each phase equally likely (section 3.1.1).

    Returns uint8 of shape (n, length). A length that is no multiple of the period ends within a period.
    Raises InputError if n < 1, length < 1 or the period is not in 1..length.
    """
    check_count("n", n)
    check_heartbeat(length, period)
    phases = rng.integers(0, period, (n, 1))
    return (np.arange(length) % period == phases).astype(np.uint8)


def swiss_roll(rng: np.random.Generator, n: int, noise: float) -> np.ndarray:
    """Noisy points of the two-dimensional swiss roll (section 3.1.1), each dimension of mean 0 and variance 1.

    x = c(u) + noise * z with c of `swiss_roll_curve`, u uniform on [0, 1], z standard normal. The paper does not
    state its noise; here it is a standard deviation in units of the scaled data.
    Returns float64 of shape (n, 2). Raises InputError if n < 1 or the noise is not strictly between 0 and 1.
    """
    check_count("n", n)
    check_noise(noise)
    curve, _ = swiss_roll_curve(rng.uniform(size=n), noise)
    return curve + noise * rng.standard_normal((n, 2))


def swiss_roll_curve(u: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """The curve c(u) on which the points lie before the noise, and its derivative in u.

    (t cos t, t sin t) with t = 1.5 pi (1 + 2 u), standardized in each dimension by its exact mean and deviation over
    uniform u and scaled by sqrt(1 - noise^2), so that with the noise each dimension has variance 1.
    u: any shape, in [0, 1]. Returns two float64 arrays of u's shape with a last axis of 2.
    """
    nodes, weights = np.polynomial.legendre.leggauss(CURVE_NODES)
    grid, _ = _spiral((nodes + 1) / 2)
    mean = weights @ grid / 2
    deviation = np.sqrt(weights @ (grid - mean) ** 2 / 2)
    points, derivative = _spiral(np.asarray(u, dtype=np.float64))
    scale = np.sqrt(1 - noise**2) / deviation
    return (points - mean) * scale, derivative * scale


def check_count(name: str, value: int) -> None:
    """InputError unless value, called `name`, is 1 or more."""
    if value < 1:
        raise InputError(f"{name}={value}: must be 1 or more")


def check_heartbeat(length: int, period: int) -> None:
    """InputError unless each phase of the period has its own sequence of that length."""
    check_count("length", length)
    if not 1 <= period <= length:
        raise InputError(f"period={period}: must be from 1 to the length, {length}")


def check_noise(noise: float) -> None:
    """InputError unless the noise leaves room for the curve in a variance of 1."""
    if not 0 < noise < 1:
        raise InputError(f"noise={noise}: must be above 0 and below 1, a standard deviation of the scaled data")


def _spiral(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = 1.5 * np.pi * (1 + 2 * u)
    cos, sin = np.cos(t), np.sin(t)
    derivative = 3 * np.pi * np.stack([cos - t * sin, sin + t * cos], axis=-1)
    return np.stack([t * cos, t * sin], axis=-1), derivative
