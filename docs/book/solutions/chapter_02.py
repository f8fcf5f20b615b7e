"""Solutions of the exercises of chapter 2, Forward."""

import math

import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm

RATE = 0.02


def exercise_1() -> int:
    """Return the number of steps of rate 0.02 after which less than 1 % of the signal is left: 228.

    alpha_bar_t = 0.98^t falls below 0.01 at t = log 0.01 / log 0.98 = 227.9, rounded up.
    """
    rates = pt.vector("beta")
    noise_shares = dpm.schedules.cumulative_beta(rates).eval({rates: dpm.schedules.constant(400, RATE)})
    steps = int(np.argmax(1 - noise_shares < 0.01))
    assert steps == math.ceil(math.log(0.01) / math.log(1 - RATE)) == 228
    return steps


def exercise_2() -> int:
    """Return the number of steps of rate 0.02 after which the variance is within 1 % of 1: 283.

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(beta_bar_t) noise has the mean sqrt(alpha_bar_t) and the variance
    4 alpha_bar_t + 1 - alpha_bar_t = 1 + 3 alpha_bar_t, so alpha_bar_t must fall to 1 / 300. Simulated, too.
    """
    signal = dpm.schedules.signal_shares(dpm.schedules.constant(400, RATE))
    steps = int(np.argmax(3 * signal <= 0.01))
    assert steps == math.ceil(math.log(1 / 300) / math.log(1 - RATE)) == 283
    rng = np.random.default_rng(0)
    x_0, noise = 1 + 2 * rng.standard_normal(200_000), rng.standard_normal(200_000)
    for t in (0, 50, steps):
        x_t = signal[t] ** 0.5 * x_0 + (1 - signal[t]) ** 0.5 * noise
        assert abs(x_t.mean() - signal[t] ** 0.5) < 0.02
        assert abs(x_t.var() / (1 + 3 * signal[t]) - 1) < 0.02
    return steps


def exercise_3() -> tuple[float, float]:
    """Return how far apart the rates of x_T, and of x_{T-1}, are for x_0 = 1 and x_0 = 0: 0 and 1 / T.

    The last rate is 1, so x_T is a draw of the prior and keeps nothing. One step earlier the share 1 / T of the signal
    is left, which is the difference of the two rates.
    """
    T = 40
    kernel = dpm.BinomialKernel(0.2)
    x, beta_bar = pt.vector("x"), pt.scalar("beta_bar")
    rate = pytensor.function([x, beta_bar], pt.sigmoid(kernel.forward_marginal(x, beta_bar).logit))
    signal = dpm.schedules.signal_shares(dpm.schedules.erase_equally(T))
    last, before = (float(np.diff(rate(np.array([0.0, 1.0]), 1 - signal[t]))[0]) for t in (T, T - 1))
    assert abs(last) < 1e-12
    assert abs(before - 1 / T) < 1e-12
    return last, before
