"""K on a data set and of single examples, in one estimate or term by term (Eq. 14)."""

from itertools import product
from typing import NamedTuple

import numpy as np

from dpm.base import noise
from dpm.engines.microbatches import map_microbatches
from dpm.likelihood.standard_errors import Estimate, estimate, stratified_error

BLOCK = 200  # examples that share one generator


def L_null(model):
    """The log likelihood of scaled pictures under the unit Gaussian, -H_p(X_T), in bits a pixel."""
    return -model.kernel.prior_entropy() / np.log(2) * model.n_channels


def evaluation_times(model, seed, n, draw=0):
    """The time at which each of n pictures is evaluated, spread evenly over 2..T: (n,)."""
    return noise.stratified_times(noise.generator(seed, noise.EVALUATION, draw), n, model.trajectory_length)


def example_costs(compiled, theta, X, seed, batch_size, draw=0):
    """-(K - L_null) of each picture at one time each, bits a pixel: (n,).

    X: scaled pictures (n, c, h, w); the times spread evenly over 2..T. Noise and times depend on (seed, draw,
    picture) alone, so every call and every batch size gives the same numbers.
    """
    engine = compiled.engine
    compiled.model.kernel.check(X, "X")
    function = compiled.costs(batch_size)
    t = evaluation_times(compiled.model, seed, len(X), draw)

    def inputs(start):
        indices = np.arange(start, min(start + batch_size, len(X)))
        N, U = noise.example_noise(seed, noise.EVALUATION, indices, X.shape[1:], compiled.model.kernel.noise, draw)
        part = slice(start, start + batch_size)
        return [engine.asarray(a) for a in (X[part], t[part], N, U)]

    costs = [function(theta, *arrays) for arrays in engine.prefetch(inputs, range(0, len(X), batch_size))]
    return np.concatenate(costs).astype(np.float64)


def K_minus_L_null(compiled, theta, X, seed, batch_size, draws=1):
    """K - L_null over the pictures X, bits a pixel: an Estimate.

    Several draws make the value more exact; the error is that of one, since all have the same pictures.
    """
    bounds = [-example_costs(compiled, theta, X, seed, batch_size, draw) for draw in range(draws)]
    times = [evaluation_times(compiled.model, seed, len(X), draw) for draw in range(draws)]
    errors = [stratified_error(values, t) for values, t in zip(bounds, times, strict=True)]
    return Estimate(float(np.mean(bounds)), float(np.sqrt(np.mean(np.square(errors)))))


def K_all_terms(compiled, theta, X, seed, batch_size, draws):
    """K - L_null as the sum over all t = 2..T (Eq. 14), each term the mean over `draws` examples of X: an Estimate."""
    model, engine = compiled.model, compiled.engine
    model.kernel.check(X, "X")
    function = compiled.costs(min(batch_size, draws))
    costs = np.empty((model.trajectory_length - 1, draws))
    for row, t in zip(costs, range(2, model.trajectory_length + 1), strict=True):
        rng = noise.generator(seed, noise.LIKELIHOOD, t)
        examples, N, U = noise.draw_examples(rng, X, draws, model.kernel.noise)
        row[:] = function(theta, *(engine.asarray(a) for a in (examples, np.full(draws, t), N, U)))
    error = np.sqrt(np.sum(costs.var(axis=1, ddof=1)) / draws) / len(costs)
    return Estimate(float(-costs.mean()), float(error))


def reference_likelihood(compiled, theta, X, seed, batch_size, draws):
    """The released estimate: the mean over `draws` random minibatches, each at one single time. An Estimate."""
    engine, model = compiled.engine, compiled.model
    function = compiled.costs(batch_size)
    means = []
    for draw in range(draws):
        rng = noise.generator(seed, noise.LIKELIHOOD, draw)
        pictures = X[rng.choice(len(X), size=min(batch_size, len(X)), replace=False)]
        t, N, U = noise.minibatch_noise(
            rng, pictures.shape, model.trajectory_length, model.kernel.noise, noise.single_time
        )
        costs = function(theta, *(engine.asarray(a) for a in (pictures, t, N, U)))
        means.append(-costs.mean(dtype=np.float64))
        yield estimate(np.array(means))


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
        square of their differences is the variance of a term, as in stratified_error. The last and the
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
    function = compiled.function(model.kl_single_t, compiled.forward_inputs(size), cache=True)
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
    function = compiled.function(compiled.model.entropies, [compiled.examples("X", size)])
    return [a.astype(np.float64) for a in map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)]


def edge_correction(compiled, theta, X):
    """K of Eq. 12 less that of Eq. 14 for each of the scaled examples X, nats: (n,). See Diffusion.edge_correction."""
    size, engine = min(BLOCK, len(X)), compiled.engine
    function = compiled.function(compiled.model.edge_correction, [compiled.examples("X", size)])
    return map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)[0].astype(np.float64)


def bounds_apart(compiled, theta, X):
    """How far the bounds of Eq. 23 are apart at t = 2..T, nats an example: (T - 1,), means over X[:BLOCK]."""
    X = compiled.engine.asarray(X[:BLOCK])
    function = compiled.function(compiled.model.bounds_apart, compiled.reverse_inputs(len(X)))
    times = range(2, compiled.model.trajectory_length + 1)
    rows = [function(theta, X, compiled.engine.asarray(np.full(len(X), t)))[0] for t in times]
    return np.mean(rows, axis=1, dtype=np.float64)


def _noise(rng, model):
    """The kernel's and uniform noise of a whole block, so that an example's draws do not depend on how many follow."""
    shape = (BLOCK, *model.example_shape)
    return noise.DRAWS[model.kernel.noise](rng, shape), rng.random(shape)
