"""The estimator of the bound K (Eq. 14), term by term, and the released one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from dpm.base import noise
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import choose_rows
from dpm.engines.microbatches import map_microbatches
from dpm.graph.diffusion import Diffusion
from dpm.likelihood.device_terms import compute_terms
from dpm.likelihood.result import Bound
from dpm.likelihood.standard_errors import Estimate, estimate
from dpm.likelihood.times import TermSizes, draw_positions, find_indices, mix_uniform
from dpm.likelihood.units import describe_scale

BLOCK, LARGEST_BLOCK = 200, 10_000  # examples that share one generator
ELEMENTS = 2**17  # numbers in a block of small examples
LOCAL = 10  # examples of like times whose mean is subtracted


def L_null(model: Diffusion) -> float:
    """Return the log likelihood of scaled data under the prior pi(x_T), L_null = -H_p(X_T).

    Returns:
        Bits per pixel, all channels of a pixel together; bits per example for vectors.
    """
    return -model.kernel.prior_entropy() / np.log(2) * model.n_channels


def reference_likelihood(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, seed: int, batch_size: int, draws: int
) -> Iterator[Estimate]:
    """Estimate K - L_null as the released code did: from random minibatches, each at a single time t.

    Noise comes from the host whatever the engine draws elsewhere, as in 2015.

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


class TermMeans(NamedTuple):
    """Means of KL_t over bins of t, in nats per example, each (bins,).

    Attributes:
        first, last: first and last t of each bin.
        mean: mean over the bin's t and over examples; times the number of t in each bin they add up to the sum of KL_t.
        error: standard error of the mean.
        draws: number of draws; a mean of no draw and an error of fewer than two are NaN.
    """

    first: np.ndarray
    last: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    draws: np.ndarray


class Terms(NamedTuple):
    """Parts of K (Eq. 14) of n examples, in nats per example.

    Eq. 14 has H_p in place of means of -log pi(x_t) (Eq. 42). This is correct for the mean over data with the prior's
    mean and variance: K is a bound for such data together, not for each example.

    Attributes:
        times: times t at which each example was evaluated, (n, k), in ascending order.
        kl: D_KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) at these times, from one draw of x_t each, (n, k).
        weights: times each of these terms counts in the sum over t = 2..T, (n, k): 1 where an example has every t,
            1 / (k p(t)) where k times were drawn from p. The expectation is the sum, whatever p is.
        forward_T: H_q(X_T | X_0), (n,).
        forward_1: H_q(X_1 | X_0), (n,).
        prior: H_p(X_T), (n,).
        T: trajectory length.
    """

    times: np.ndarray
    kl: np.ndarray
    weights: np.ndarray
    forward_T: np.ndarray
    forward_1: np.ndarray
    prior: np.ndarray
    T: int

    @property
    def sum_kl(self) -> np.ndarray:
        """The sum over t = 2..T of KL_t of each example, or its unbiased estimate from k times, (n,)."""
        total: np.ndarray = (self.weights * self.kl).sum(axis=1, dtype=np.float64)
        return total

    @property
    def K(self) -> np.ndarray:
        """K = -sum over t = 2..T of KL_t + H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T), shape (n,)."""
        return -self.sum_kl + self.forward_T - self.forward_1 - self.prior

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

        Next to the mean over examples of like t, neighboring terms of an example differ by noise only, so half the mean
        square of their differences is the variance of a term (the successive-difference estimator, von Neumann 1941).
        The last and the first term count as neighbors, so that each term occurs twice. NaN for a single example or a
        single time.
        """
        n, k = self.kl.shape
        if n < 2 or k < 2:
            return float("nan")
        values = subtract_local_mean(self.times, self.weights * self.kl.astype(np.float64))
        squares = (np.diff(values, axis=1) ** 2).sum() + ((values[:, 0] - values[:, -1]) ** 2).sum()
        return float(np.sqrt(squares / 2) / n)

    def by_time(self, edges: np.ndarray | None = None) -> TermMeans:
        """Return the mean of KL_t over bins of t: each t, or bins that begin at `edges`, (bins + 1,), up to T."""
        edges = np.arange(2, self.T + 2) if edges is None else edges
        n_bins, index = len(edges) - 1, np.searchsorted(edges, self.times.ravel(), side="right") - 1
        values = (self.weights * self.kl).ravel().astype(np.float64)
        count = np.bincount(index, minlength=n_bins)
        total = np.bincount(index, values, n_bins)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.bincount(index, (values - (total / count)[index]) ** 2, n_bins) / (count - 1)
            size = len(self.kl) * np.diff(edges) * np.where(count > 0, 1, np.nan)
            return TermMeans(edges[:-1], edges[1:] - 1, total / size, np.sqrt(spread * count) / size, count)


def subtract_local_mean(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Subtract from values (n, k) their mean over examples of like times (n, k): some LOCAL of each column's in order.

    The result is scaled up so that independent values keep their variance.
    """
    n = len(values)
    order = np.argsort(times, axis=0, kind="stable")
    rest = np.take_along_axis(values, order, axis=0)
    for part in np.array_split(np.arange(n), max(1, n // LOCAL)):
        rest[part] -= rest[part].mean(axis=0)
        rest[part] *= np.sqrt(len(part) / (len(part) - 1))
    result = np.empty_like(values)
    np.put_along_axis(result, order, rest, axis=0)
    return result


def terms(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    times_per_example: int | None = None,
    progress: Callable[[int], object] | None = None,
    batch_size: int | None = None,
) -> Terms:
    """Estimate the terms of K (Eq. 14) of each example: the one estimator of K of this program.

    With k times per example, the n k times are in equal strata of a density p(t) that is large where the terms are
    (dpm/likelihood/times.py). p is measured first, on a few examples and with draws of its own. The noise of an example
    depends on the seed and on its index in X only. Where the engine draws noise on its device, the terms of a block of
    examples are a loop there; the times come from the host.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of noise and times.
        times_per_example: number k of times t of each example; None for every t from 2 to T, once.
        progress: called with the number of terms after each batch.
        batch_size: number of examples computed at once; None for the fastest on this engine.

    Raises:
        InputError: X holds values that the kernel does not accept.
    """
    engine = compiled.engine
    compiled.model.kernel.check(X, "X")
    block, T, n = block_size(compiled.model), compiled.model.trajectory_length, len(X)
    size = batch_size_of(compiled, n, batch_size)
    if times_per_example is None:
        times = np.broadcast_to(np.arange(2, T + 1), (n, T - 1))
        weights = np.broadcast_to(1.0, times.shape)
    else:
        p = measure_density(compiled, theta, X, seed, times_per_example, size)
        positions = draw_positions(noise.generator(seed, noise.EVALUATION), n, times_per_example)
        index = find_indices(p, positions)
        times, weights = 2 + index, 1 / (times_per_example * p[index])
    forward_T, forward_1, prior = entropies(compiled, theta, X)
    if engine.noise == "device":
        kl = compute_terms(compiled, theta, X, times, seed, noise.TERMS, size, progress=progress)
        return Terms(times, kl.astype(np.float32), weights, forward_T, forward_1, prior, T)
    kl = np.empty(times.shape, np.float32)

    def inputs(place: tuple[int, int]) -> tuple[slice, int, list[np.ndarray]]:
        start, j = place
        part = slice(start, min(start + block, n))
        shape = (part.stop - start, *compiled.model.example_shape)
        draws = draw_noise(compiled.model, shape, seed, noise.TERMS, start, j)
        return part, j, [engine.asarray(a) for a in (X[part], times[part, j], *draws)]

    places = product(range(0, n, block), range(times.shape[1]))
    for part, j, arrays in engine.prefetch(inputs, places):
        kl[part, j] = compute_kl(compiled, theta, arrays, size)
        if progress:
            progress(part.stop - part.start)
    return Terms(times, kl, weights, forward_T, forward_1, prior, T)


def estimate_bound(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    times_per_example: int | None,
    split: str = "",
    progress: Callable[[int], object] | None = None,
) -> Bound:
    """Estimate K of scaled examples X, (n, ...), and its gain over L_null (Eq. 14).

    Args:
        compiled, theta, X, seed, times_per_example, progress: as in `terms`.
        split: as in Bound.
    """
    found = terms(compiled, theta, X, seed, times_per_example, progress)
    return summarize(compiled, found, seed, times_per_example, split)


def summarize(
    compiled: CompiledModel, found: Terms, seed: int, times_per_example: int | None, split: str = ""
) -> Bound:
    """Return the Bound of terms that were drawn with this seed and this number of times per example."""
    model = compiled.model
    bits = 1 / np.log(2) / model.n_pixels
    K, null = float(found.K.mean() * bits), float(found.L_null.mean() * bits)
    return Bound(
        K,
        K - null,
        found.draws_error * bits,
        found.error * bits,
        model.unit,
        len(found.kl),
        times_per_example,
        found.T - 1,
        seed,
        split,
        describe_scale(model),
    )


def block_size(model: Diffusion) -> int:
    """Return how many examples are drawn and computed together: BLOCK images, more vectors."""
    return max(BLOCK, min(LARGEST_BLOCK, ELEMENTS // int(np.prod(model.example_shape))))


def batch_size_of(compiled: CompiledModel, n: int, batch_size: int | None = None) -> int:
    """Return how many of n examples `terms` computes at once, which a compiled function is made for."""
    block = block_size(compiled.model)
    size = min(block, n, batch_size or compiled.microbatch_size(block))
    return choose_rows(compiled, n, size) if batch_size is None else size


def default_times(model: Diffusion) -> int:
    """Return the times per example at which K is evaluated unless a number is given: 2 of images, 50 of vectors."""
    return 2 if model.n_pixels > 1 else 50


def measure_density(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, seed: int, times_per_example: int, size: int
) -> np.ndarray:
    """Return p(t) at t = 2..T, (T - 1,), from the sizes of the terms of some examples: a tenth of the cost of K.

    Its draws are not those of K, so K has no bias.

    Args:
        compiled, theta, X, seed, times_per_example: as in `terms`.
        size: number of examples computed at once.
    """
    sizes = TermSizes(compiled.model.trajectory_length)
    n_bins = len(sizes.counts)
    each = int(np.clip(len(X) * times_per_example // (10 * n_bins), 2, block_size(compiled.model) // 4))
    rng = noise.generator(seed, noise.SIZES)
    t = np.concatenate([rng.choice(sizes.times[sizes.bins == number], each) for number in range(n_bins)])
    examples = X[rng.integers(0, len(X), len(t))]
    if compiled.engine.noise == "device":
        found = compute_terms(compiled, theta, examples, t[:, None], seed, noise.SIZES, size, times_per_example)
        sizes.update(t, found[:, 0])
        return mix_uniform(sizes.rms())
    draws = draw_noise(compiled.model, examples.shape, seed, noise.SIZES, 0, 0)
    arrays = [compiled.engine.asarray(a) for a in (examples, t, *draws)]
    sizes.update(t, compute_kl(compiled, theta, arrays, size))
    return mix_uniform(sizes.rms())


def compute_kl(compiled: CompiledModel, theta: np.ndarray, arrays: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return KL_t of examples, (m,), from their [X, t, N, U], `size` at once."""
    function = compiled.function(compiled.model.kl_single_t, compiled.forward_inputs(size), cache=True)
    (kl,) = map_microbatches(compiled.engine, function, theta, arrays, size)
    return kl


def draw_noise(
    model: Diffusion, shape: Sequence[int], seed: int, purpose: int, start: int, j: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the kernel's and uniform noise, each of that shape; the draws of an example do not depend on later ones."""
    kernel, uniform = (noise.generator(seed, purpose, start, j, kind) for kind in range(2))
    return noise.DRAWS[model.kernel.noise](kernel, shape), uniform.random(shape)


def entropies(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray) -> list[np.ndarray]:
    """Return H_q(X_T | X_0), H_q(X_1 | X_0) and H_p(X_T) (Eq. 14) of scaled examples X, in nats, each float64 (n,)."""
    size, engine = batch_size_of(compiled, len(X)), compiled.engine
    function = compiled.function(compiled.model.entropies, [compiled.examples("X", size)])
    return [a.astype(np.float64) for a in map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)]


def edge_correction(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return K of Eq. 12 minus K of Eq. 14 of scaled examples X, in nats per example, float64 (n,).

    See Diffusion.edge_correction.
    """
    size, engine = min(BLOCK, len(X)), compiled.engine
    function = compiled.function(compiled.model.edge_correction, [compiled.examples("X", size)])
    return map_microbatches(engine, function, theta, [engine.asarray(X[:])], size)[0].astype(np.float64)


def bounds_apart(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, progress: Callable[[int], object] = lambda steps: None
) -> np.ndarray:
    """Return the gap between the bounds of Eq. 23 at t = 2..T, in nats per example, shape (T - 1,).

    It is the mean over X[:BLOCK], scaled examples; progress is called with 1 after each t.
    """
    engine, n = compiled.engine, min(BLOCK, len(X))
    function = compiled.function(compiled.model.bounds_apart, compiled.reverse_inputs(n))
    there = [engine.to_device(array) for array in (theta, engine.asarray(X[:n]))]
    rows = []
    for t in range(2, compiled.model.trajectory_length + 1):
        rows.append(function(*there, engine.asarray(np.full(n, t)))[0])
        progress(1)
    return np.array(rows).mean(axis=1, dtype=np.float64)
