"""Exact log likelihood and ceiling of K for binary heartbeats (section 3.1.2), in bits per sequence."""

from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
from scipy.special import entr, gammaln, logsumexp, softmax

from dpm.base.errors import InputError
from dpm.datasets.made.generators import check_count, check_heartbeat

LOG_2 = float(np.log(2))


def log_likelihood(period: int = 5) -> float:
    """Return the log probability of a heartbeat sequence, -log2(period): all phases are equally likely.

    Args:
        period: bins between two ones.

    Raises:
        InputError: the period is below 1.
    """
    check_count("period", period)
    return -float(np.log2(period))


def L_null(pi: float = 0.2, length: int = 20) -> float:
    """Return L_null = -H_p(X_T) of Eq. 14, the log likelihood of the data under independent bits.

    Args:
        pi: probability of a 1, and share of ones in the data.
        length: bins of a sequence.

    Raises:
        InputError: the length is below 1, or pi is not in (0, 1).
    """
    check_count("length", length)
    _check_pi(pi)
    return -length * float(entr([1 - pi, pi]).sum()) / LOG_2


def first_entropy(T: int, pi: float = 0.2, length: int = 20, period: int = 5) -> float:
    """Return H_q(X_1 | X_0) of Eq. 14 under beta_t = 1 / (T - t + 1), in bits per sequence.

    Takes the arguments of `ceiling` and raises the same errors.
    """
    _check_chain(T, pi, length, period)
    zero, one = entr(_marginal((T - 1) / T, pi)).sum(0)
    # Averaged over all phases, each bin is 1 with probability 1 / period.
    return length * float((1 - 1 / period) * zero + one / period) / LOG_2


def ceiling(
    T: int,
    pi: float = 0.2,
    length: int = 20,
    period: int = 5,
    progress: Callable[[int], object] = lambda steps: None,
) -> float:
    """Return the largest K (Eq. 14) of any reverse kernel that is factorial over bits, in bits per sequence.

    K = -sum over t = 2..T of E KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) + H_q(X_T | X_0) - H_q(X_1 | X_0) -
    H_p(X_T). With beta_t = 1 / (T - t + 1) the last step has beta_T = 1, so H_q(X_T | X_0) and H_p(X_T) cancel.
    The best factorial p(x_{t-1,i} | x_t) is the mean of q(x_{t-1,i} | x_{t,i}, x_0) over q(phase | x_t). It depends on
    x_t only through the number of ones at the bins of each phase, so the expectation is a finite sum over these counts.

    Args:
        T: number of diffusion steps.
        pi: probability of a 1 under pi(x_T).
        length: bins of a sequence.
        period: bins between two ones.
        progress: called with 1 after each of the T - 1 steps.

    Raises:
        InputError: T or the length is below 1, pi is not in (0, 1), or the period is not in 1..length.
    """
    _check_chain(T, pi, length, period)
    counts, sizes, log_multiplicity = _count_states(length, period)
    nats = 0.0
    for t in range(2, T + 1):
        nats += _step_kl(t, T, pi, counts, sizes, log_multiplicity)
        progress(1)
    return -nats / LOG_2 - first_entropy(T, pi, length, period)


def _step_kl(t: int, T: int, pi: float, counts: np.ndarray, sizes: np.ndarray, log_multiplicity: np.ndarray) -> float:
    """Return E KL of step t for the best factorial reverse kernel, in nats per sequence."""
    before, now = _marginal((T - t + 1) / T, pi), _marginal((T - t) / T, pi)
    step = _marginal((T - t) / (T - t + 1), pi)
    ones, zeros = counts, sizes - counts
    log_zero, log_one = np.log(now).T
    # The likelihood of x_0 = 0 in all bins, then corrected at the bins of the phase.
    log_joint = log_multiplicity[:, None] + (zeros * log_zero[0] + ones * log_zero[1]).sum(1, keepdims=True)
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


def _marginal(remaining: float, pi: float) -> np.ndarray:
    """Return q(x_t = row | x_s = column) of a bit, shape (2, 2), where the share `remaining` of the signal is left."""
    return remaining * np.eye(2) + (1 - remaining) * np.array([[1 - pi], [pi]])


def _count_states(length: int, period: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Enumerate the numbers of ones at the bins of each phase; phases with equally many bins are interchangeable.

    Returns counts (states, period), bins per phase (period,), log of the number of sequences in each state (states,).
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


def _check_pi(pi: float) -> None:
    if not 0 < pi < 1:
        raise InputError(f"pi={pi}: the probability of a 1 must be above 0 and below 1")


def _check_chain(T: int, pi: float, length: int, period: int) -> None:
    check_count("T", T)
    _check_pi(pi)
    check_heartbeat(length, period)
