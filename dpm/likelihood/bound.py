"""The estimator of the bound K (Eq. 14), term by term, and the released one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dpm.base import noise
from dpm.base.pieces import Report
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import choose_rows
from dpm.engines.microbatches import map_microbatches
from dpm.graph.diffusion import Diffusion
from dpm.likelihood.device_terms import compute_terms
from dpm.likelihood.result import Bound
from dpm.likelihood.standard_errors import Estimate, estimate
from dpm.likelihood.term_arrays import Terms
from dpm.likelihood.times import TermSizes, draw_positions, find_indices, mix_uniform
from dpm.likelihood.units import describe_scale

BLOCK, LARGEST_BLOCK = 200, 10_000  # examples that share one generator
ELEMENTS = 2**17  # numbers in a block of small examples


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
    means = []
    shared = compiled, theta, X, seed, batch_size
    for mean in compiled.mapper.map(draw_costs, shared, range(draws)):
        means.append(-mean)
        yield estimate(np.array(means))


def draw_costs(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    batch_size: int,
    draws: Iterable[int],
    report: Report,
) -> Iterator[np.floating]:
    """Yield the mean cost of a random minibatch for each number of `draws`; arguments as in reference_likelihood."""
    engine, model = compiled.engine, compiled.model
    function = compiled.costs(batch_size)
    for draw in draws:
        rng = noise.generator(seed, noise.LIKELIHOOD, draw)
        examples = X[rng.choice(len(X), size=min(batch_size, len(X)), replace=False)]
        t, N, U = noise.minibatch_noise(
            rng, examples.shape, model.trajectory_length, model.kernel.noise, noise.single_time
        )
        costs = function(theta, *(engine.asarray(a) for a in (examples, t, N, U)))
        yield costs.mean(dtype=np.float64)


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
    if compiled.engine.noise == "device":
        kl = compute_terms(compiled, theta, X, times, seed, noise.TERMS, size, progress=progress)
        return Terms(times, kl.astype(np.float32), weights, forward_T, forward_1, prior, T)
    kl = np.empty(times.shape, np.float32)

    places = [(slice(start, min(start + block, n)), j) for start in range(0, n, block) for j in range(times.shape[1])]
    columns = cut_columns(X, times, places)
    found = compiled.mapper.map(compute_columns, (compiled, theta, seed, size), columns, progress)
    for (part, j), values in zip(places, found, strict=True):
        kl[part, j] = values
    return Terms(times, kl, weights, forward_T, forward_1, prior, T)


class Column(NamedTuple):
    """Consecutive examples at one of the times of each.

    Attributes:
        start: number of the first example.
        j: number of the time.
        X: scaled examples, (m, ...).
        t: their times, (m,).
    """

    start: int
    j: int
    X: np.ndarray
    t: np.ndarray


def cut_columns(X: np.ndarray, times: np.ndarray, places: Iterable[tuple[slice, int]]) -> Iterator[Column]:
    """Yield the Column at each place; columns of the same examples share one array."""
    part, examples = slice(0, 0), X[:0]
    for place, j in places:
        if place != part:
            part, examples = place, X[place]
        yield Column(part.start, j, examples, times[part, j])


def compute_columns(
    compiled: CompiledModel, theta: np.ndarray, seed: int, size: int, columns: Iterable[Column], report: Report
) -> Iterator[np.ndarray]:
    """Yield KL_t of each Column, (m,), with noise from the host.

    Args:
        compiled, theta, seed: as in `terms`.
        size: number of examples computed at once.
        columns: what is computed.
        report: called with the number of terms after each column.
    """
    engine = compiled.engine

    def inputs(column: Column) -> list[np.ndarray]:
        draws = draw_noise(compiled.model, column.X.shape, seed, noise.TERMS, column.start, column.j)
        return [engine.asarray(a) for a in (column.X, column.t, *draws)]

    for arrays in engine.prefetch(inputs, columns):
        yield compute_kl(compiled, theta, arrays, size)
        report(len(arrays[0]))


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
    parts = ([a[part] for a in arrays] for part in compiled.mapper.cut(len(t), size))
    sizes.update(t, np.concatenate([*compiled.mapper.map(compute_parts, (compiled, theta, size), parts)]))
    return mix_uniform(sizes.rms())


def compute_parts(
    compiled: CompiledModel, theta: np.ndarray, size: int, parts: Iterable[Sequence[np.ndarray]], report: Report
) -> Iterator[np.ndarray]:
    """Yield compute_kl of each part, [X, t, N, U]."""
    for arrays in parts:
        yield compute_kl(compiled, theta, arrays, size)


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
