"""What is possible on the paper's two made-up data sets: the exact log likelihood, and the best K of a reverse kernel.

A *ceiling* is the bound K (Eq. 14) of the reverse kernel that is the best of its form at each x_t: factorial over bits
for heartbeats, Gaussian for the swiss roll. No training of any network gives more. All results are in bits per
example; nothing here knows a model.
"""

from itertools import combinations_with_replacement, pairwise

import numpy as np
from scipy.special import entr, expit, gammaln, logsumexp, softmax

from dpm.base.errors import InputError
from dpm.datasets.made.generators import check_count, check_heartbeat, check_noise, swiss_roll_curve

LOG_2 = float(np.log(2))
LOG_2PI = float(np.log(2 * np.pi))
# Exponentials of the density worked on at once, 32 MB.
CHUNK_VALUES = 1 << 22
# Quadrature of the density over u: nodes for each deviation of the noise, where the curve is fastest.
NODES_A_DEVIATION = 3
# A noisy point is felt on the curve no further than this many deviations from where it came from ...
WINDOW = 10
WINDOW_NODES = 64
# ... and below this deviation it is not felt on the neighboring turns, which are about 1 away.
ONE_TURN = 0.05
FULL_NODES = 512
# `best_schedule` chooses its times among so many, evenly spaced in log signal-to-noise ratio down to the lowest.
GRID = 160
LOWEST_LOG_SNR = -9.0


def heartbeat_truth(period: int = 5) -> float:
    """log2 of the probability of each heartbeat sequence, -log2(period): bits per sequence.

    Raises InputError if period < 1.
    """
    check_count("period", period)
    return -float(np.log2(period))


def heartbeat_L_null(pi: float = 0.2, length: int = 20) -> float:
    """The log2 likelihood under independent bits, 1 with probability pi, of data with that share of ones.

    It is -H_p(X_T) of Eq. 14, in bits per sequence. Raises InputError if length < 1 or pi is not in (0, 1).
    """
    check_count("length", length)
    _check_pi(pi)
    return -length * float(entr([1 - pi, pi]).sum()) / LOG_2


def heartbeat_first_entropy(T: int, pi: float = 0.2, length: int = 20, period: int = 5) -> float:
    """H_q(X_1 | X_0) of Eq. 14 for heartbeats under beta_t = 1 / (T - t + 1): bits per sequence.

    Raises InputError as `heartbeat_ceiling` does.
    """
    _check_chain(T, pi, length, period)
    zero, one = entr(_marginal((T - 1) / T, pi)).sum(0)
    # Over all phases each bin is 1 in one of `period`.
    return length * float((1 - 1 / period) * zero + one / period) / LOG_2


def heartbeat_ceiling(T: int, pi: float = 0.2, length: int = 20, period: int = 5) -> float:
    """The largest K on heartbeats of a reverse kernel that is factorial over bits: bits per sequence, exact.

    K = -sum over t = 2..T of E KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) + H_q(X_T | X_0) - H_q(X_1 | X_0) -
    H_p(X_T) (Eq. 14) for beta_t = 1 / (T - t + 1), whose beta_T = 1 makes the first and the last entropy the same.
    The best factorial p(x_{t-1,i} | x_t) is the mean of q(x_{t-1,i} | x_{t,i}, x_0) over q(phase | x_t), which depends
    on x_t only by how many ones it has at the places of each phase: the expectation is a sum over these counts.

    T: steps; pi: probability of a 1 in pi(x_T).
    Raises InputError if T < 1, pi is not in (0, 1), length < 1 or the period is not in 1..length.
    """
    _check_chain(T, pi, length, period)
    counts, sizes, log_ways = _count_states(length, period)
    nats = sum(_heartbeat_kl(t, T, pi, counts, sizes, log_ways) for t in range(2, T + 1))
    return -nats / LOG_2 - heartbeat_first_entropy(T, pi, length, period)


def _heartbeat_kl(t: int, T: int, pi: float, counts: np.ndarray, sizes: np.ndarray, log_ways: np.ndarray) -> float:
    """E KL of step t with the best factorial reverse kernel: nats per sequence."""
    before, now = _marginal((T - t + 1) / T, pi), _marginal((T - t) / T, pi)
    step = _marginal((T - t) / (T - t + 1), pi)
    ones, zeros = counts, sizes - counts
    log_zero, log_one = np.log(now).T
    # As if x_0 were 0 in all bins, then the places of the phase put right.
    log_joint = log_ways[:, None] + (zeros * log_zero[0] + ones * log_zero[1]).sum(1, keepdims=True)
    log_joint = log_joint + zeros * (log_one - log_zero)[0] + ones * (log_one - log_zero)[1] - np.log(len(sizes))
    state, phase = np.exp(logsumexp(log_joint, axis=1)), softmax(log_joint, axis=1)
    # posterior[x, y, c] = q(x_{t-1} = y | x_t = x, x_0 = c)
    posterior = step[:, :, None] * before[None] / now[:, None]
    entropy = entr(posterior).sum(1)
    nats = 0.0
    for x, bits in enumerate((zeros, ones)):
        best = phase[..., None] * posterior[x, :, 1] + (1 - phase[..., None]) * posterior[x, :, 0]
        kl = entr(best).sum(-1) - phase * entropy[x, 1] - (1 - phase) * entropy[x, 0]
        nats += float(state @ (bits * kl).sum(1))
    return nats


def _marginal(kept: float, pi: float) -> np.ndarray:
    """q(x_t = row | x_s = column) of a bit of which the share `kept` is left: (2, 2), each entry from its own sum."""
    return kept * np.eye(2) + (1 - kept) * np.array([[1 - pi], [pi]])


def _count_states(length: int, period: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many ones there are at the places of each phase, up to the order of phases that have as many places.

    Returns counts (states, period), places of each phase (period,), log of the number of sequences in each state.
    """
    shortest, longer = divmod(length, period)
    sizes = np.repeat([shortest + 1, shortest], [longer, period - longer])
    halves = [
        np.array(list(combinations_with_replacement(range(size + 1), phases)), dtype=int)
        for size, phases in ((shortest + 1, longer), (shortest, period - longer))
    ]
    orders = [
        gammaln(half.shape[1] + 1) - sum(gammaln(1 + (half == k).sum(1)) for k in range(shortest + 2))
        for half in halves
    ]
    first, second = (index.ravel() for index in np.indices([len(half) for half in halves]))
    counts = np.hstack([halves[0][first], halves[1][second]])
    log_choices = gammaln(sizes + 1) - gammaln(counts + 1) - gammaln(sizes - counts + 1)
    return counts, sizes, log_choices.sum(1) + orders[0][first] + orders[1][second]


def gaussian_L_null(d: int = 2) -> float:
    """-d/2 log2(2 pi e), the mean log2 density under a standard normal of d numbers of variance 1: bits per example.

    Raises InputError if d < 1.
    """
    check_count("d", d)
    return -d / 2 * (LOG_2PI + 1) / LOG_2


def swiss_roll_log_density(x: np.ndarray, noise: float) -> np.ndarray:
    """log2 density of `swiss_roll` at the points x: bits, (n,).

    log2 of the integral over u of N(x; c(u), noise^2 I), by the midpoint rule. x: (n, 2).
    Raises InputError if x has another shape or the noise is not strictly between 0 and 1.
    """
    check_noise(noise)
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 2:
        raise InputError(f"x: an array of shape {x.shape}; accepted: points of the plane, (n, 2)")
    _, tangent = swiss_roll_curve(np.ones(1), noise)
    # The curve is fastest at its end. The whole curve at large noise still needs some nodes.
    nodes = max(1024, int(NODES_A_DEVIATION * np.linalg.norm(tangent) / noise))
    curve, _ = swiss_roll_curve(_midpoints(nodes), noise)
    scaled, norms = curve / noise**2, (curve**2).sum(1) / (2 * noise**2)
    rows = max(1, CHUNK_VALUES // nodes)
    parts = [
        logsumexp(part @ scaled.T - norms, axis=1) - (part**2).sum(1) / (2 * noise**2)
        for part in (x[start : start + rows] for start in range(0, len(x), rows))
    ]
    nats = np.concatenate([np.empty(0), *parts])
    return (nats - np.log(nodes) - LOG_2PI - 2 * np.log(noise)) / LOG_2


def swiss_roll_truth(noise: float, rng: np.random.Generator, n: int = 2000) -> tuple[float, float]:
    """The mean log2 density of `swiss_roll` and its standard error: bits per example.

    From n points. What the density would be if the curve were straight around each point, -log(speed) -
    (log 2 pi noise^2 + z^2) / 2 with z the deviation across the curve, has a known mean: only the difference to it is
    sampled, so that the standard error at small noise is far below that of as many log densities.
    Raises InputError if n < 2 or the noise is not strictly between 0 and 1.
    """
    check_noise(noise)
    if n < 2:
        raise InputError(f"n={n}: must be 2 or more, for a standard error")
    u, z = rng.uniform(size=n), rng.standard_normal((n, 2))
    curve, tangent = swiss_roll_curve(u, noise)
    speed = np.linalg.norm(tangent, axis=1)
    across = (z[:, 0] * tangent[:, 1] - z[:, 1] * tangent[:, 0]) / speed
    _, tangents = swiss_roll_curve(_midpoints(FULL_NODES), noise)
    mean_log_speed = np.log(np.linalg.norm(tangents, axis=1)).mean()
    straight = (mean_log_speed - np.log(speed) + (1 - across**2) / 2) / LOG_2
    bits = swiss_roll_log_density(curve + noise * z, noise) - straight
    return float(bits.mean()), float(bits.std(ddof=1) / np.sqrt(n))


def swiss_roll_ceiling(
    noise: float, beta: np.ndarray, rng: np.random.Generator, covariance: str = "diagonal", n_points: int = 2000
) -> tuple[float, float]:
    """The largest K (Eq. 14) on the swiss roll of a Gaussian reverse kernel, and its standard error: bits per example.

    The best Gaussian p(x_{t-1} | x_t) has the mean and the covariance of the exact q(x_{t-1} | x_t); then E KL of
    step t is E log det(I + (SNR_{t-1} - SNR_t) Cov(x_0 | x_t)) / 2, SNR_t = alpha_bar_t / (1 - alpha_bar_t), of which
    a kernel of diagonal covariance has the diagonal alone. Moments are by quadrature over u, the expectation over x_t
    is the mean over n_points fresh points for each step.

    beta: beta_1..beta_T, (T,); covariance: "diagonal", as the paper's, or "full".
    Raises InputError if the noise or a beta is outside (0, 1), where the last beta may be 1, the covariance has another
    name or n_points < 2.
    """
    check_noise(noise)
    _check_covariance(covariance)
    beta = _checked_beta(beta)
    if n_points < 2:
        raise InputError(f"n_points={n_points}: must be 2 or more, for a standard error")
    with np.errstate(divide="ignore"):
        log_kept = np.cumsum(np.log1p(-beta))
    lost = -np.expm1(log_kept)
    snr = np.exp(log_kept) / lost
    nats = np.zeros(n_points)
    for before, now in pairwise(snr):
        nats += _step_kl(before - now, *_posterior_moments(noise, now, covariance, rng, n_points))
    # H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T), the last for data of mean 0 and variance 1.
    bits = (np.log(lost[-1] / lost[0]) - LOG_2PI - 1 - nats) / LOG_2
    return float(bits.mean()), float(bits.std(ddof=1) / np.sqrt(n_points))


def even_log_snr_schedule(T: int, beta_1: float, final_snr: float) -> np.ndarray:
    """beta_1..beta_T whose log SNR_t = log(alpha_bar_t / (1 - alpha_bar_t)) are evenly spaced: float64 (T,).

    From SNR_1 = (1 - beta_1) / beta_1 to SNR_T = final_snr. For the swiss roll beta_1 should be well below the squared
    noise, such as noise^2 exp(-6).
    Raises InputError if T < 2, beta_1 is not in (0, 1) or final_snr is not above 0 and below SNR_1.
    """
    log_snr_1 = _checked_log_snr_1(T, beta_1)
    if not 0 < final_snr < np.exp(log_snr_1):
        raise InputError(f"final_snr={final_snr}: must be above 0 and below that of beta_1, {np.exp(log_snr_1):g}")
    return _beta_of_log_snr(np.linspace(log_snr_1, np.log(final_snr), T))


def best_schedule(
    noise: float,
    T: int,
    rng: np.random.Generator,
    beta_1: float | None = None,
    covariance: str = "diagonal",
    n_points: int = 500,
) -> np.ndarray:
    """beta_1..beta_T with the largest `swiss_roll_ceiling`, by dynamic programming: float64 (T,).

    The times 2..T are chosen among SNR evenly spaced in the logarithm below that of beta_1; the cost of a step depends
    only on its two SNR. The costs are means over n_points points, the same for all steps to one SNR: judge the result
    on others.

    beta_1: the first rate, noise^2 exp(-6) unless given.
    Raises InputError if the noise is not in (0, 1), the covariance has another name, n_points < 1, T is not in 2..161,
    or beta_1 is not above 0 and at most 0.98.
    """
    check_noise(noise)
    _check_covariance(covariance)
    check_count("n_points", n_points)
    beta_1 = noise**2 * np.exp(-6) if beta_1 is None else beta_1
    top = _checked_log_snr_1(T, beta_1)
    if T > GRID + 1 or beta_1 > 0.98:
        raise InputError(f"T={T}, beta_1={beta_1}: accepted are T up to {GRID + 1} and beta_1 up to 0.98")
    grid = np.linspace(top, LOWEST_LOG_SNR, GRID + 1)
    snr = np.exp(grid)
    cost = np.full((GRID + 1, GRID + 1), np.inf)
    for now in range(1, GRID + 1):
        trace, determinant = _posterior_moments(noise, snr[now], covariance, rng, n_points)
        cost[:now, now] = _step_kl((snr[:now] - snr[now])[:, None], trace, determinant).mean(1)
    # total[i]: least nats of a chain that starts at grid[0] and is at grid[i] now.
    total, chosen = np.where(np.arange(GRID + 1) == 0, 0.0, np.inf), []
    for _ in range(T - 1):
        sums = total[:, None] + cost
        chosen.append(sums.argmin(0))
        total = sums.min(0)
    # K also has H_q(X_T | X_0), which the signal left at T makes smaller.
    path = [int((total - np.log(expit(-grid))).argmin())]
    for previous in reversed(chosen):
        path.append(int(previous[path[-1]]))
    return _beta_of_log_snr(grid[path[::-1]])


def _posterior_moments(
    noise: float, snr: float, covariance: str, rng: np.random.Generator, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Trace and determinant of Cov(x_0 | x_t), or of its diagonal, at n points x_t of that SNR: two of (n,).

    x_0 given u and x_t is normal, so the covariance is that for one u plus that of the means, which are linear in c(u).
    """
    shrink = 1 + snr * noise**2
    # The weight of a place d away from the true c(u) is a normal density of this precision.
    root_precision = np.sqrt(snr / shrink)
    u, z = rng.uniform(size=n), rng.standard_normal((n, 2))
    center, tangent = swiss_roll_curve(u, noise)
    if root_precision * ONE_TURN > 1:
        reach = WINDOW / (root_precision * np.linalg.norm(tangent, axis=1))
        low, high = np.maximum(u - reach, 0)[:, None], np.minimum(u + reach, 1)[:, None]
        places = low + (high - low) * _midpoints(WINDOW_NODES)
    else:
        places = _midpoints(FULL_NODES)[None]
    away = swiss_roll_curve(places, noise)[0] - center[:, None]
    weights = softmax(-((root_precision * away - z[:, None]) ** 2).sum(-1) / 2, axis=1)
    away -= np.einsum("nm,nmd->nd", weights, away)[:, None]
    cov = np.einsum("nm,nmd,nme->nde", weights, away, away, optimize=True) / shrink**2
    cov += np.eye(2) * noise**2 / shrink
    determinant = cov[:, 0, 0] * cov[:, 1, 1]
    if covariance == "full":
        determinant = determinant - cov[:, 0, 1] ** 2
    return cov[:, 0, 0] + cov[:, 1, 1], determinant


def _step_kl(snr_lost: np.ndarray | float, trace: np.ndarray, determinant: np.ndarray) -> np.ndarray:
    """log det(I + snr_lost C) / 2 of 2 x 2 matrices C: nats."""
    return np.log1p(snr_lost * trace + snr_lost**2 * determinant) / 2


def _beta_of_log_snr(log_snr: np.ndarray) -> np.ndarray:
    """beta_t = (1 - alpha_bar_t) (1 - SNR_t / SNR_{t-1}), which keeps the smallest rates exact; SNR_0 is infinite."""
    lost = -np.expm1(np.diff(log_snr))
    return expit(-log_snr) * np.concatenate([[1.0], lost])


def _midpoints(n: int) -> np.ndarray:
    return (np.arange(n) + 0.5) / n


def _check_pi(pi: float) -> None:
    if not 0 < pi < 1:
        raise InputError(f"pi={pi}: must be above 0 and below 1, a probability of a 1")


def _check_chain(T: int, pi: float, length: int, period: int) -> None:
    check_count("T", T)
    _check_pi(pi)
    check_heartbeat(length, period)


def _check_covariance(covariance: str) -> None:
    if covariance not in ("diagonal", "full"):
        raise InputError(f"covariance={covariance!r}: accepted are 'diagonal' and 'full'")


def _checked_beta(beta: np.ndarray) -> np.ndarray:
    beta = np.asarray(beta, dtype=np.float64)
    if beta.ndim != 1 or not beta.size:
        raise InputError(f"beta: an array of shape {beta.shape}; accepted: beta_1..beta_T, (T,)")
    wrong = np.flatnonzero(~((beta > 0) & (beta < 1)))
    wrong = wrong[(wrong < beta.size - 1) | (beta[wrong] != 1)]
    if wrong.size:
        raise InputError(f"beta: beta_{wrong[0] + 1} = {beta[wrong[0]]}; accepted: in (0, 1), the last may be 1")
    return beta


def _checked_log_snr_1(T: int, beta_1: float) -> float:
    if T < 2:
        raise InputError(f"T={T}: must be 2 or more")
    if not 0 < beta_1 < 1:
        raise InputError(f"beta_1={beta_1}: must be above 0 and below 1")
    return float(np.log1p(-beta_1) - np.log(beta_1))
