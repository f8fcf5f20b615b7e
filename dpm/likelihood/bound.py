"""Estimates of the bound K (Eq. 14): on a data set in one number, or of single examples term by term."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from dpm.base import noise
from dpm.base.progress import Progress
from dpm.engines.compiled import CompiledModel
from dpm.engines.microbatches import map_microbatches
from dpm.graph.diffusion import Diffusion
from dpm.likelihood.standard_errors import Estimate, estimate, stratified_error

BLOCK = 200  # examples that share one generator


def L_null(model: Diffusion) -> float:
    """Return the log likelihood of scaled data under the prior pi(x_T), L_null = -H_p(X_T).

    Returns:
        Bits per pixel, all channels of a pixel together; bits per example for vectors.
    """
    return -model.kernel.prior_entropy() / np.log(2) * model.n_channels


def evaluation_times(model: Diffusion, seed: int, n: int, draw: int = 0) -> np.ndarray:
    """Return the time t at which each of n examples is evaluated, spread evenly over 2..T, shape (n,)."""
    return noise.stratified_times(noise.generator(seed, noise.EVALUATION, draw), n, model.trajectory_length)


def example_costs(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, seed: int, batch_size: int, draw: int = 0
) -> np.ndarray:
    """Estimate -(K - L_null) of each example at one time t per example (Eq. 14).

    The times are spread evenly over 2..T. Noise and times depend on (seed, draw, index of the example) only, so
    repeated calls and all batch sizes give the same numbers.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of noise and times.
        batch_size: number of examples computed at once.
        draw: number of the draw: 0, 1, ... for further noise and times of the same examples.

    Returns:
        float64 (n,), bits per pixel, or bits per example for vectors.

    Raises:
        InputError: X holds values that the kernel does not accept.
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


def K_minus_L_null(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, seed: int, batch_size: int, draws: int = 1
) -> Estimate:
    """Estimate K - L_null over a data set, each example at one time t per draw (Eq. 14).

    More draws make the value more accurate. The standard error is that of a single draw, since all draws use the same
    examples.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of noise and times.
        batch_size: number of examples computed at once.
        draws: number of draws of noise and time for each example.

    Returns:
        Mean and standard error, bits per pixel, or bits per example for vectors.
    """
    bounds = [-example_costs(compiled, theta, X, seed, batch_size, draw) for draw in range(draws)]
    times = [evaluation_times(compiled.model, seed, len(X), draw) for draw in range(draws)]
    errors = [stratified_error(values, t) for values, t in zip(bounds, times, strict=True)]
    return Estimate(float(np.mean(bounds)), float(np.sqrt(np.mean(np.square(errors)))))


def K_all_terms(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    batch_size: int,
    draws: int,
    progress: bool = False,
) -> Estimate:
    """Estimate K - L_null as the sum over all t = 2..T (Eq. 14).

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of examples and noise.
        batch_size: number of examples computed at once.
        draws: number of examples drawn from X for each t.
        progress: show the progress.

    Returns:
        Mean and standard error, bits per pixel, or bits per example for vectors.

    Raises:
        InputError: X holds values that the kernel does not accept.
    """
    model, engine = compiled.model, compiled.engine
    model.kernel.check(X, "X")
    function = compiled.costs(min(batch_size, draws))
    costs = np.empty((model.trajectory_length - 1, draws))
    times = range(2, model.trajectory_length + 1)
    bar = Progress(times, unit="step", desc="K as the sum over all t", quiet=not progress)
    for row, t in zip(costs, bar, strict=True):
        rng = noise.generator(seed, noise.LIKELIHOOD, t)
        examples, N, U = noise.draw_examples(rng, X, draws, model.kernel.noise)
        row[:] = function(theta, *(engine.asarray(a) for a in (examples, np.full(draws, t), N, U)))
    error = np.sqrt(np.sum(costs.var(axis=1, ddof=1)) / draws) / len(costs)
    return Estimate(float(-costs.mean()), float(error))


def reference_likelihood(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, seed: int, batch_size: int, draws: int
) -> Iterator[Estimate]:
    """Estimate K - L_null as the released code did: from random minibatches, each at a single time t.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of minibatches, noise and times.
        batch_size: minibatch size.
        draws: number of minibatches.

    Yields:
        After each minibatch the mean over all of them so far and its standard error, bits per pixel.
    """
    engine, model = compiled.engine, compiled.model
    function = compiled.costs(batch_size)
    means = []
    for draw in range(draws):
        rng = noise.generator(seed, noise.LIKELIHOOD, draw)
        examples = X[rng.choice(len(X), size=min(batch_size, len(X)), replace=False)]
        t, N, U = noise.minibatch_noise(
            rng, examples.shape, model.trajectory_length, model.kernel.noise, noise.single_time
        )
        costs = function(theta, *(engine.asarray(a) for a in (examples, t, N, U)))
        means.append(-costs.mean(dtype=np.float64))
        yield estimate(np.array(means))


class Terms(NamedTuple):
    """Parts of K (Eq. 14) of n examples, in nats per example.

    Eq. 14 has H_p in place of means of -log pi(x_t) (Eq. 42). This is correct for the mean over data with the prior's
    mean and variance: K is a bound for such data together, not for each example.

    Attributes:
        times: times t at which each example was evaluated, (n, k).
        kl: D_KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) at these times, from one draw of x_t each, (n, k).
        forward_T: H_q(X_T | X_0), (n,).
        forward_1: H_q(X_1 | X_0), (n,).
        prior: H_p(X_T), (n,).
        T: trajectory length.
    """

    times: np.ndarray
    kl: np.ndarray
    forward_T: np.ndarray
    forward_1: np.ndarray
    prior: np.ndarray
    T: int

    @property
    def K(self) -> np.ndarray:
        """K = -sum over t = 2..T of KL_t + H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T), shape (n,).

        With k < T - 1 times per example, one in each of k equal parts of 2..T, the sum is estimated by T - 1 times the
        mean, which is unbiased.
        """
        return -(self.T - 1) * self.kl.mean(axis=1) + self.forward_T - self.forward_1 - self.prior

    @property
    def L_null(self) -> np.ndarray:
        """Log likelihood under pi of data with its mean and variance, -H_p(X_T), shape (n,)."""
        return -self.prior

    @property
    def error(self) -> float:
        """Standard error of the mean of K over all data, from the spread over examples; NaN for a single example."""
        return estimate(self.K).standard_error

    @property
    def draws_error(self) -> float:
        """Part of `error` due to the draws of t and x_t: the standard error of the mean of K over these very examples.

        After subtraction of the mean curve, neighboring terms of an example differ by noise only, so half the mean
        square of their differences is the variance of a term, as in stratified_error. The last and the first term count
        as neighbors, so that each term occurs twice. NaN for a single example or a single time.
        """
        n, k = self.kl.shape
        if n < 2 or k < 2:
            return float("nan")
        rest = self.kl - self.kl.mean(axis=0, dtype=np.float64)
        squares = (np.diff(rest, axis=1) ** 2).sum() + ((rest[:, 0] - rest[:, -1]) ** 2).sum()
        return float((self.T - 1) / k * np.sqrt(squares / 2 / (n - 1) / n))

    def by_time(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return t = 2..T, the mean of KL_t in nats per example, its standard error, and the number of draws.

        Each has shape (T - 1,). Means of no draw and errors of fewer than two draws are NaN.
        """
        t = np.arange(2, self.T + 1)
        index, values = self.times.ravel() - 2, self.kl.ravel().astype(np.float64)
        count = np.bincount(index, minlength=self.T - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(index, values, self.T - 1) / count
            spread = np.bincount(index, (values - mean[index]) ** 2, self.T - 1) / (count - 1)
            return t, mean, np.sqrt(spread / count), count


def terms(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    times_per_example: int | None = None,
    progress: Callable[[int], object] | None = None,
    batch_size: int | None = None,
) -> Terms:
    """Estimate the terms of K (Eq. 14) of each example.

    The draws of an example depend on the seed and on its index in X only.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of noise and times.
        times_per_example: number k of times t of each example, one in each of k equal parts of 2..T; None for every t.
        progress: called with the number of terms after each batch.
        batch_size: number of examples computed at once, at most BLOCK; None for the fastest on this engine.

    Raises:
        InputError: X holds values that the kernel does not accept.
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


def entropies(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray) -> list[np.ndarray]:
    """Return H_q(X_T | X_0), H_q(X_1 | X_0) and H_p(X_T) (Eq. 14) of scaled examples X, in nats, each float64 (n,)."""
    size, engine = min(BLOCK, len(X)), compiled.engine
    function = compiled.function(compiled.model.entropies, [compiled.examples("X", size)])
    return [a.astype(np.float64) for a in map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)]


def edge_correction(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return K of Eq. 12 minus K of Eq. 14 of scaled examples X, in nats per example, float64 (n,).

    See Diffusion.edge_correction.
    """
    size, engine = min(BLOCK, len(X)), compiled.engine
    function = compiled.function(compiled.model.edge_correction, [compiled.examples("X", size)])
    return map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)[0].astype(np.float64)


def bounds_apart(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return the gap between the bounds of Eq. 23 at t = 2..T, in nats per example, shape (T - 1,).

    It is the mean over X[:BLOCK], scaled examples.
    """
    X = compiled.engine.asarray(X[:BLOCK])
    function = compiled.function(compiled.model.bounds_apart, compiled.reverse_inputs(len(X)))
    times = range(2, compiled.model.trajectory_length + 1)
    rows = [function(theta, X, compiled.engine.asarray(np.full(len(X), t)))[0] for t in times]
    return np.array(rows).mean(axis=1, dtype=np.float64)


def _noise(rng: np.random.Generator, model: Diffusion) -> tuple[np.ndarray, np.ndarray]:
    """Draw the kernel's and uniform noise of a whole block, so that draws do not depend on the number of examples."""
    shape = (BLOCK, *model.example_shape)
    return noise.DRAWS[model.kernel.noise](rng, shape), rng.random(shape)
