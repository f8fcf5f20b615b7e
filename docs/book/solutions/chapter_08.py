"""Solutions of the exercises of chapter 8, Entropy bounds."""

import numpy as np
import pytensor.tensor as pt

import dpm

T = 40
RATES = dpm.schedules.erase_equally(T)
SIGNAL = dpm.schedules.signal_shares(RATES)


def exercise_1() -> tuple[float, float]:
    """Return the width of the band at t = 2 and at t = 40, in nats: 0.347 and 0.013.

    It is H_q(X_t | X_0) - H_q(X_{t-1} | X_0) = log(beta_bar_t / beta_bar_{t-1}) / 2. Under this schedule beta_bar_t is
    t / T, so the width is log(t / (t - 1)) / 2: from log(2) / 2 it falls as 1 / 2t.
    """
    share = pt.vector("beta_bar")
    entropy = dpm.GaussianKernel().entropy_marginal(share).eval({share: 1 - SIGNAL[1:]})
    widths = np.diff(entropy)
    t = np.arange(2, T + 1)
    assert np.allclose(widths, 0.5 * np.log(t / (t - 1)))
    assert round(widths[0], 3) == 0.347
    assert round(widths[-1], 3) == 0.013
    return float(widths[0]), float(widths[-1])


def exercise_2() -> tuple[float, int]:
    """Return the largest violation for data of variance 4, in nats, and its t: 0.036 at t = 40.

    By Eq. 26 the reverse step has the entropy of the forward step minus the growth log(v_t / v_{t-1}) / 2, which
    is negative here. With v_t = 1 + 3 (1 - t / T) the variance falls by equal amounts, so by the largest share at the
    end.
    """
    variance = 1 + 3 * SIGNAL
    violation = -0.5 * np.diff(np.log(variance))
    t = int(np.argmax(violation)) + 1
    assert np.all(violation > 0)
    assert t == T
    assert np.isclose(violation.max(), 0.5 * np.log(1 + 3 / T))
    return float(violation.max()), t


def entropies(beats: np.ndarray, base_rate: float) -> np.ndarray:
    """Return H_q(X_t) for t = 0..T - 1, in nats, of data that are one of the rows (n, size), each as likely."""
    kernel = dpm.BinomialKernel(base_rate)
    n, size = beats.shape
    states = ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).astype(float)
    share = pt.scalar("beta_bar")
    q = kernel.forward_marginal(pt.constant(beats[:, None]), share)
    log_q = pt.logsumexp(kernel.log_prob(q, pt.constant(states[None])).sum(axis=2), axis=0) - np.log(n)
    p = pt.exp(log_q)
    graph = -(p * log_q).sum()
    return np.array([float(graph.eval({share: s}, mode="JAX")) for s in 1 - SIGNAL[:-1]])


def exercise_3() -> tuple[float, float]:
    """Return the smallest growth of the entropy in a step: above 0 for r = 0.5, below 0 for fair coins and r = 0.2.

    The prior of r = 0.5 is the uniform distribution on all bits, the largest entropy that bits can have, so no data
    exceed it. The prior of r = 0.2 has less entropy than fair coins: the entropy falls on the way, and the upper bound
    is violated. "Without qualification" is meant for the 0.5 of Table C.1.
    """
    beats = np.eye(5)
    coins = ((np.arange(4)[:, None] >> np.arange(2)) & 1).astype(float)
    growing, falling = (float(np.diff(entropies(*case)).min()) for case in ((beats, 0.5), (coins, 0.2)))
    assert growing > 0
    assert falling < -1e-3
    assert np.all(np.diff(entropies(coins, 0.2)) < 0)
    return growing, falling
