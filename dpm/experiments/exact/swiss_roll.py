"""Exact log likelihood, ceiling of K and best schedule for the swiss roll (section 3.1.1), in bits per point."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.special import expit

from dpm.base.blas import one_blas_thread
from dpm.base.errors import InputError
from dpm.datasets.made.generators import check_count, check_noise, swiss_roll_curve
from dpm.graph.schedules import log_snr_1, rates_of_log_snr

LOG_2 = float(np.log(2))
LOG_2PI = float(np.log(2 * np.pi))
CHUNK_VALUES = 1 << 22  # exponentials of the density held at once: 32 MB
NODES_PER_DEVIATION = 3  # quadrature nodes over u per deviation of the noise, where the curve is fastest
# At high signal-to-noise ratio, q(x_0 | x_t) is integrated over a window of this many deviations around x_0 ...
WINDOW = 10
WINDOW_NODES = 64
# ... if its deviation is below this value: the neighboring turns of the curve are about 1 away.
ONE_TURN = 0.05
FULL_NODES = 512  # nodes over the whole curve
# `best_schedule` chooses its times from a grid of this size, evenly spaced in log signal-to-noise ratio.
GRID = 160
LOWEST_LOG_SNR = -9.0


def L_null(d: int = 2) -> float:
    """Return -d/2 log2(2 pi e), the mean log2 density of the standard normal over data of variance 1, in bits.

    Args:
        d: dimensions of an example, each of mean 0 and variance 1.

    Raises:
        InputError: d is below 1.
    """
    check_count("d", d)
    return -d / 2 * (LOG_2PI + 1) / LOG_2


@one_blas_thread()
def log_density(x: np.ndarray, noise: float) -> np.ndarray:
    """Return the log2 density of the noisy swiss roll at the points x, in bits, shape (n,).

    It is log2 of the integral over u of N(x; c(u), noise^2 I), computed by the midpoint rule.

    Args:
        x: points of the plane, shape (n, 2).
        noise: standard deviation, in units of the scaled data.

    Raises:
        InputError: x has another shape, or the noise is not in (0, 1).
    """
    check_noise(noise)
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 2:
        raise InputError(f"x: got an array of shape {x.shape}; expected points of the plane, shape (n, 2)")
    _, tangent = swiss_roll_curve(np.ones(1), noise)
    # The curve is fastest at its end, u = 1. At large noise the whole curve still needs some nodes.
    nodes = max(1024, int(NODES_PER_DEVIATION * np.linalg.norm(tangent) / noise))
    curve, _ = swiss_roll_curve(_midpoints(nodes), noise)
    scaled, norms = curve / noise**2, (curve**2).sum(1) / (2 * noise**2)
    rows = max(1, CHUNK_VALUES // nodes)
    parts = [
        _log_sum_exp(part @ scaled.T - norms) - (part**2).sum(1) / (2 * noise**2)
        for part in (x[start : start + rows] for start in range(0, len(x), rows))
    ]
    nats = np.concatenate([np.empty(0), *parts])
    return (nats - np.log(nodes) - LOG_2PI - 2 * np.log(noise)) / LOG_2


def log_likelihood(noise: float, rng: np.random.Generator, n: int = 2000) -> tuple[float, float]:
    """Estimate the mean log2 density of the noisy swiss roll.

    A control variate reduces the error: if the curve were straight around a point, its log density would be
    -log(speed) - (log 2 pi noise^2 + z^2) / 2, with z the deviation across the curve. The mean of that is known, and
    only the difference is sampled.

    Args:
        noise: standard deviation, in units of the scaled data.
        rng: generator of the sampled points.
        n: number of points.

    Returns:
        The mean and its standard error, in bits per example.

    Raises:
        InputError: n is below 2, or the noise is not in (0, 1).
    """
    check_noise(noise)
    if n < 2:
        raise InputError(f"n={n}: a standard error needs 2 or more")
    u, z = rng.uniform(size=n), rng.standard_normal((n, 2))
    curve, tangent = swiss_roll_curve(u, noise)
    speed = np.linalg.norm(tangent, axis=1)
    across = (z[:, 0] * tangent[:, 1] - z[:, 1] * tangent[:, 0]) / speed
    _, tangents = swiss_roll_curve(_midpoints(FULL_NODES), noise)
    mean_log_speed = np.log(np.linalg.norm(tangents, axis=1)).mean()
    straight = (mean_log_speed - np.log(speed) + (1 - across**2) / 2) / LOG_2
    bits = log_density(curve + noise * z, noise) - straight
    return float(bits.mean()), float(bits.std(ddof=1) / np.sqrt(n))


@one_blas_thread()
def ceiling(
    noise: float,
    beta: np.ndarray,
    rng: np.random.Generator,
    covariance: str = "diagonal",
    n_points: int = 2000,
    progress: Callable[[int], object] = lambda steps: None,
) -> tuple[float, float]:
    """Estimate the largest K (Eq. 14) that a Gaussian reverse kernel reaches on the noisy swiss roll.

    The best Gaussian p(x_{t-1} | x_t) has the mean and the covariance of the exact q(x_{t-1} | x_t). With it, E KL of
    step t is E log det(I + (SNR_{t-1} - SNR_t) Cov(x_0 | x_t)) / 2, where SNR_t = alpha_bar_t / (1 - alpha_bar_t); a
    kernel of diagonal covariance replaces Cov by its diagonal. Moments are computed by quadrature over u, the
    expectation over x_t by n_points new points per step.

    Args:
        noise: standard deviation of the data, in units of the scaled data.
        beta: beta_1..beta_T, shape (T,).
        rng: generator of the points.
        covariance: "diagonal" as in the paper, or "full".
        n_points: points per step.
        progress: called with 1 after each of the T - 1 steps.

    Returns:
        The ceiling and its standard error, in bits per example.

    Raises:
        InputError: the noise or a beta is not in (0, 1), except the last beta, which may be 1; the covariance is
            unknown; or n_points is below 2.
    """
    check_noise(noise)
    _check_covariance(covariance)
    beta = _check_beta(beta)
    if n_points < 2:
        raise InputError(f"n_points={n_points}: a standard error needs 2 or more")
    with np.errstate(divide="ignore"):
        log_alpha_bar = np.cumsum(np.log1p(-beta))
    variance = -np.expm1(log_alpha_bar)
    snr = np.exp(log_alpha_bar) / variance
    nats = np.zeros(n_points)
    for before, now in pairwise(snr):
        nats += _step_kl(before - now, *_posterior_moments(noise, now, covariance, rng, n_points))
        progress(1)
    # H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T), the last for data of mean 0 and variance 1.
    bits = (np.log(variance[-1] / variance[0]) - LOG_2PI - 1 - nats) / LOG_2
    return float(bits.mean()), float(bits.std(ddof=1) / np.sqrt(n_points))


@one_blas_thread()
def best_schedule(
    noise: float,
    T: int,
    rng: np.random.Generator,
    beta_1: float | None = None,
    covariance: str = "diagonal",
    n_points: int = 500,
) -> np.ndarray:
    """Return beta_1..beta_T with the largest `ceiling`, by dynamic programming, float64 (T,).

    The times 2..T are chosen among signal-to-noise ratios spaced evenly in their logarithm below SNR_1; the cost of a
    step depends only on the ratios at its two ends. All steps to one ratio share their n_points points, so evaluate
    the result on other points.

    Args:
        noise: standard deviation of the data, in units of the scaled data.
        T: number of diffusion steps.
        rng: generator of the points.
        beta_1: first rate (default: noise^2 exp(-6)).
        covariance: "diagonal" or "full", of the reverse kernel.
        n_points: points per signal-to-noise ratio.

    Raises:
        InputError: the noise is not in (0, 1), the covariance is unknown, n_points is below 1, T is not in 2..161, or
            beta_1 is not in (0, 0.98].
    """
    check_noise(noise)
    _check_covariance(covariance)
    check_count("n_points", n_points)
    beta_1 = noise**2 * np.exp(-6) if beta_1 is None else beta_1
    top = log_snr_1(T, beta_1)
    if T > GRID + 1 or beta_1 > 0.98:
        raise InputError(f"T={T}, beta_1={beta_1}: expected T up to {GRID + 1} and beta_1 up to 0.98")
    grid = np.linspace(top, LOWEST_LOG_SNR, GRID + 1)
    snr = np.exp(grid)
    cost = np.full((GRID + 1, GRID + 1), np.inf)
    for now in range(1, GRID + 1):
        trace, determinant = _posterior_moments(noise, snr[now], covariance, rng, n_points)
        cost[:now, now] = _step_kl((snr[:now] - snr[now])[:, None], trace, determinant).mean(1)
    # total[i]: smallest cost in nats of a chain from grid[0] to grid[i].
    total, previous = np.where(np.arange(GRID + 1) == 0, 0.0, np.inf), []
    for _ in range(T - 1):
        sums = total[:, None] + cost
        previous.append(sums.argmin(0))
        total = sums.min(0)
    # K also has H_q(X_T | X_0), which is smaller where more signal is left at T.
    path = [int((total - np.log(expit(-grid))).argmin())]
    for indices in reversed(previous):
        path.append(int(indices[path[-1]]))
    return rates_of_log_snr(grid[path[::-1]])


def _posterior_moments(
    noise: float, snr: float, covariance: str, rng: np.random.Generator, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return trace and determinant of Cov(x_0 | x_t), or of its diagonal, at n points x_t of that SNR, each (n,).

    Given u and x_t, x_0 is normal with a mean linear in c(u): Cov(x_0 | x_t) is Cov(x_0 | u, x_t) plus that mean's Cov.
    """
    shrink = 1 + snr * noise**2
    # Posterior weights over c(u) are normal densities with this precision, around the c(u) that x_t came from.
    root_precision = np.sqrt(snr / shrink)
    u, z = rng.uniform(size=n), rng.standard_normal((n, 2))
    center, tangent = swiss_roll_curve(u, noise)
    if root_precision * ONE_TURN > 1:
        reach = WINDOW / (root_precision * np.linalg.norm(tangent, axis=1))
        low, high = np.maximum(u - reach, 0)[:, None], np.minimum(u + reach, 1)[:, None]
        places = low + (high - low) * _midpoints(WINDOW_NODES)
    else:
        places = _midpoints(FULL_NODES)[None]
    # One array for each coordinate: arrays with a last axis of 2 take four times as long.
    curve = swiss_roll_curve(places, noise)[0]
    away = [curve[..., d] - center[:, d, None] for d in (0, 1)]
    squares = sum((root_precision * a - z[:, d, None]) ** 2 for d, a in enumerate(away))
    weights = np.exp((squares.min(1, keepdims=True) - squares) / 2)
    weights /= weights.sum(1, keepdims=True)
    x, y = (a - np.einsum("nm,nm->n", weights, a)[:, None] for a in away)
    wx, wy = weights * x, weights * y
    xx, yy = (np.einsum("nm,nm->n", *pair) / shrink**2 + noise**2 / shrink for pair in ((wx, x), (wy, y)))
    determinant = xx * yy
    if covariance == "full":
        determinant = determinant - (np.einsum("nm,nm->n", wx, y) / shrink**2) ** 2
    return xx + yy, determinant


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Return the log of the sum of exp over the last axis, in place: a quarter of the time of scipy's."""
    largest = values.max(axis=-1, keepdims=True)
    values -= largest
    return np.log(np.exp(values, out=values).sum(axis=-1)) + largest[..., 0]


def _step_kl(snr_lost: np.ndarray | float, trace: np.ndarray, determinant: np.ndarray) -> np.ndarray:
    """Return log det(I + snr_lost C) / 2 of 2 x 2 matrices C, in nats."""
    return np.log1p(snr_lost * trace + snr_lost**2 * determinant) / 2


def _midpoints(n: int) -> np.ndarray:
    return (np.arange(n) + 0.5) / n


def _check_covariance(covariance: str) -> None:
    if covariance not in ("diagonal", "full"):
        raise InputError(f"covariance={covariance!r}: expected 'diagonal' or 'full'")


def _check_beta(beta: np.ndarray) -> np.ndarray:
    beta = np.asarray(beta, dtype=np.float64)
    if beta.ndim != 1 or not beta.size:
        raise InputError(f"beta: got an array of shape {beta.shape}; expected beta_1..beta_T, shape (T,)")
    wrong = np.flatnonzero(~((beta > 0) & (beta < 1)))
    wrong = wrong[(wrong < beta.size - 1) | (beta[wrong] != 1)]
    if wrong.size:
        raise InputError(
            f"beta: got beta_{wrong[0] + 1} = {beta[wrong[0]]}; expected values in (0, 1), the last may be 1"
        )
    return beta
