"""Log likelihood of single examples by importance sampling over forward trajectories (Eq. 9)."""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from dpm.base import noise
from dpm.engines.microbatches import map_microbatches

BOOTSTRAPS = 200


class Likelihood(NamedTuple):
    """An estimate of log p(x_0) by Eq. 9, nats.

    value: log of the mean weight; error: its standard error by bootstrap; effective: effective sample size of the
    weights, 1..M; bound: mean of the log weights, an estimate of the example's K.
    """

    value: float
    error: float
    effective: float
    bound: float


def log_likelihood(compiled, theta, x, seed, trajectories, block=100, progress=None, example=0):
    """log p(x_0) of one scaled example x, by the mean of p(x_0..x_T) / q(x_1..x_T | x_0) over trajectories (Eq. 9).

    trajectories: M, how many; block: how many at once, which is all that memory holds. The estimate grows with M in the
    mean and is never above log p(x_0) in the mean; the mean of the log weights is K (Eq. 11).
    progress: called after each step with the number of trajectories in it. example: a number, by which examples have
    noise of their own. Returns a Likelihood.
    """
    model, engine = compiled.model, compiled.engine
    size, T = min(block, trajectories), model.trajectory_length
    part = compiled.microbatch_size(size)
    step = compiled.function(model.log_ratio, [*compiled.reverse_inputs(part), compiled.examples("N", part)])
    end = compiled.function(partial(log_prior, model), [compiled.examples("X", part)])
    weights = []
    for start in range(0, trajectories, size):
        count = min(size, trajectories - start)
        X = engine.asarray(np.broadcast_to(x, (size, *x.shape)))
        if model.uniform_noise:
            rng = noise.generator(seed, noise.FORWARD, example, start, 0)
            X = engine.asarray(X + (rng.random(X.shape) - 0.5) * model.uniform_noise)
        total = np.zeros(size)
        for t in range(1, T + 1):
            rng = noise.generator(seed, noise.FORWARD, example, start, t)
            N = engine.asarray(noise.DRAWS[model.kernel.noise](rng, X.shape))
            X, ratio = map_microbatches(engine, step, theta, [X, engine.asarray(np.full(size, t)), N], part)
            total += ratio
            if progress:
                progress(count)
        (last,) = map_microbatches(engine, end, theta, [X], part)
        weights.append((total + last)[:count])
    return summary_of(np.concatenate(weights), noise.generator(seed, noise.FORWARD, example))


def log_prior(model, X):
    """log pi(x_T), nats an example: (n,)."""
    return model.kernel.log_prob(model.kernel.prior(X), X).sum(axis=tuple(range(1, X.ndim)))


def summary_of(log_weights, rng):
    """The Likelihood of M log weights, (M,), nats."""
    M = len(log_weights)
    value = logsumexp(log_weights) - np.log(M)
    effective = np.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights))
    again = rng.integers(0, M, (BOOTSTRAPS, M))
    error = np.std(logsumexp(log_weights[again], axis=1) - np.log(M), ddof=1) if M > 1 else np.nan
    return Likelihood(float(value), float(error), float(effective), float(log_weights.mean()))
