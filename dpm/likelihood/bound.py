"""K of single examples, term by term (Eq. 14), and their log likelihood by importance sampling (Eq. 9)."""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from dpm.base import noise
from dpm.engines.compiled import map_microbatches
from dpm.likelihood.estimates import estimate

BLOCK = 200  # examples that share one generator
BOOTSTRAPS = 200


class Terms(NamedTuple):
    """The parts of K (Eq. 14) of n examples, nats an example.

    times: (n, k), the t at which each example was looked at; kl: (n, k), D_KL(q || p) there, from one draw of x_t;
    forward_T, forward_1, prior: (n,), H_q(X_T | X_0), H_q(X_1 | X_0) and H_p(X_T). T: trajectory_length.
    Eq. 14 has H_p in the place of means of -log pi(x_t) (Eq. 42), which is right for the mean over data that have the
    prior's mean and variance: K is a bound for these together, not for each example.
    """

    times: np.ndarray
    kl: np.ndarray
    forward_T: np.ndarray
    forward_1: np.ndarray
    prior: np.ndarray
    T: int

    @property
    def K(self):
        """(n,): -sum over t = 2..T of KL_t + H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T).

        Where not all t were looked at, the sum is T - 1 times the mean over those that were, one in each of k equal
        parts of the range: unbiased over the draws.
        """
        return -(self.T - 1) * self.kl.mean(axis=1) + self.forward_T - self.forward_1 - self.prior

    @property
    def L_null(self):
        """(n,): the log likelihood under pi of data with its mean and variance, -H_p(X_T)."""
        return -self.prior

    @property
    def error(self):
        """Standard error of the mean of K as one over all data, from the spread over examples: NaN for a single one."""
        return estimate(self.K).standard_error

    @property
    def draws_error(self):
        """The part of `error` that the draws of times and x_t make: that of the mean of K over these very examples.

        Neighboring terms of an example differ by the mean curve, which is taken away, and by chance: half the mean
        square of their differences is the variance of a term, as in dpm.likelihood.estimates.stratified_error. The last and the
        first count as neighbors, so that each term comes twice. NaN for a single example or a single time.
        """
        n, k = self.kl.shape
        if n < 2 or k < 2:
            return float("nan")
        rest = self.kl - self.kl.mean(axis=0, dtype=np.float64)
        squares = (np.diff(rest, axis=1) ** 2).sum() + ((rest[:, 0] - rest[:, -1]) ** 2).sum()
        return float((self.T - 1) / k * np.sqrt(squares / 2 / (n - 1) / n))

    def by_time(self):
        """(t, mean of KL_t, its standard error, number of draws), each (T - 1,); NaN where there are too few draws."""
        t = np.arange(2, self.T + 1)
        index, values = self.times.ravel() - 2, self.kl.ravel().astype(np.float64)
        count = np.bincount(index, minlength=self.T - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(index, values, self.T - 1) / count
            spread = np.bincount(index, (values - mean[index]) ** 2, self.T - 1) / (count - 1)
            return t, mean, np.sqrt(spread / count), count


def terms(compiled, theta, X, seed, times_per_example=None, progress=None, batch_size=None):
    """Terms of the scaled examples X, (n, ...): every t from 2 to T for each, or times_per_example of them.

    progress: called with the number of draws after each turn. The draws depend on the seed and the place of an example
    in X alone. batch_size: examples computed at once, at most BLOCK; by default as many as the engine is fast with.
    """
    model, engine = compiled.model, compiled.engine
    model.kernel.check(X, "X")
    T, n = model.trajectory_length, len(X)
    k = T - 1 if times_per_example is None else min(times_per_example, T - 1)
    size = min(BLOCK, n, batch_size or compiled.microbatch_size(BLOCK))
    function = compiled.get("kl", size, "XtNU", lambda *inputs: [model.kl_single_t(*inputs)], kept=True)
    times, kl = np.empty((n, k), np.int64), np.empty((n, k), np.float32)

    def inputs(place):
        start, j = place
        part = slice(start, min(start + BLOCK, n))
        rng = noise.generator(seed, noise.TERMS, start, j)
        # The j-th of k equal parts of 2..T: with k = T - 1 it is t = j + 2.
        shares = (j + rng.random(BLOCK)) / k
        times[part, j] = (2 + np.floor(shares * (T - 1)).astype(np.int64))[: part.stop - start]
        N, U = (draw[: part.stop - start] for draw in _noise(rng, model))
        return part, j, [engine.asarray(a) for a in (X[part], times[part, j], N, U)]

    for part, j, arrays in engine.prefetch(inputs, product(range(0, n, BLOCK), range(k))):
        (kl[part, j],) = map_microbatches(engine, function, theta, arrays, size)
        if progress:
            progress(part.stop - part.start)
    forward_T, forward_1, prior = entropies(compiled, theta, X)
    return Terms(times, kl, forward_T, forward_1, prior, T)


def entropies(compiled, theta, X):
    """H_q(X_T | X_0), H_q(X_1 | X_0) and H_p(X_T) (Eq. 14) of the scaled examples X, nats: three of (n,)."""
    size, engine = min(BLOCK, len(X)), compiled.engine
    function = compiled.get("constants", size, "X", compiled.model.entropies)
    return [a.astype(np.float64) for a in map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)]


def edge(compiled, theta, X):
    """K of Eq. 12 less that of Eq. 14 for each of the scaled examples X, nats: (n,). See Diffusion.edge."""
    size, engine = min(BLOCK, len(X)), compiled.engine
    function = compiled.get("edge", size, "X", lambda X: [compiled.model.edge(X)])
    return map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)[0].astype(np.float64)


def bounds_apart(compiled, theta, X):
    """How far the bounds of Eq. 23 are apart at t = 2..T, nats an example: (T - 1,), means over X[:BLOCK]."""
    X = compiled.engine.asarray(X[:BLOCK])
    function = compiled.get("bounds_apart", len(X), "Xt", lambda X, t: [compiled.model.bounds_apart(X, t)])
    times = range(2, compiled.model.trajectory_length + 1)
    rows = [function(theta, X, compiled.engine.asarray(np.full(len(X), t)))[0] for t in times]
    return np.mean(rows, axis=1, dtype=np.float64)


def _noise(rng, model):
    """The kernel's and uniform noise of a whole block, so that an example's draws do not depend on how many follow."""
    shape = (BLOCK, *model.example_shape)
    return noise.DRAWS[model.kernel.noise](rng, shape), rng.random(shape)


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
    step = compiled.get("log_ratio", part, "XtN", model.log_ratio)
    end = compiled.get("prior_log_prob", part, "X", lambda X: [log_prior(model, X)])
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
