"""Log likelihood of single examples by importance sampling over forward trajectories (Eq. 9)."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from scipy.special import logsumexp

from dpm.base import noise
from dpm.base.pieces import Report
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import LoopArrays, cut_by_time, make_keys
from dpm.engines.inputs import StepInputs
from dpm.engines.microbatches import map_microbatches, pad_rows
from dpm.graph.diffusion import Diffusion

BOOTSTRAPS = 200

#: (seed, number of the example, number of the first trajectory), which determine the noise
Place = tuple[int, int, int]


class Likelihood(NamedTuple):
    """Estimate of log p(x_0) of one example by Eq. 9.

    Attributes:
        value: log of the mean weight, in nats.
        error: its standard error by bootstrap, in nats; NaN for a single trajectory.
        effective: effective sample size of the weights, 1 to the number of trajectories.
        bound: mean of the log weights, an estimate of the example's K (Eq. 12), in nats.
    """

    value: float
    error: float
    effective: float
    bound: float


def log_likelihood(
    compiled: CompiledModel,
    theta: np.ndarray,
    x: np.ndarray,
    seed: int,
    trajectories: int,
    block: int = 100,
    progress: Callable[[int], object] | None = None,
    example: int = 0,
) -> Likelihood:
    """Estimate log p(x_0) of one example by the mean of p(x_0..x_T) / q(x_1..x_T | x_0) over trajectories (Eq. 9).

    The expectation of the estimate grows with the number of trajectories and never exceeds log p(x_0). The mean of the
    log weights is K (Eq. 12).

    Where the engine draws noise on its device, the trajectories of a block stay there; only x_0 with its
    dequantization noise comes from the host.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        x: one scaled example.
        seed: seed of the noise.
        trajectories: number of forward trajectories, M.
        block: number of trajectories computed at once, which limits the memory.
        progress: called after each step with the number of trajectories in it.
        example: number of the example; examples with different numbers have independent noise.
    """
    (found,) = log_likelihoods(compiled, theta, x[None], seed, trajectories, block, progress, example)
    return found


def log_likelihoods(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    trajectories: int,
    block: int = 100,
    progress: Callable[[int], object] | None = None,
    first: int = 0,
) -> list[Likelihood]:
    """Return log_likelihood of scaled examples, (n, ...), with numbers from `first` on; arguments as there."""
    size, numbers = min(block, trajectories), range(first, first + len(X))
    places = [(seed, number, start) for number in numbers for start in range(0, trajectories, size)]
    blocks = ((X[number - first], (seed, number, start)) for _, number, start in places)
    weights: dict[int, list[np.ndarray]] = {number: [] for number in numbers}
    found = compiled.mapper.map(weigh_blocks, (compiled, theta, trajectories, size), blocks, progress)
    for (_, number, _), values in zip(places, found, strict=True):
        weights[number].append(values)
    return [
        summarize(np.concatenate(parts), noise.generator(seed, noise.FORWARD, number))
        for number, parts in weights.items()
    ]


def weigh_blocks(
    compiled: CompiledModel,
    theta: np.ndarray,
    trajectories: int,
    size: int,
    blocks: Iterable[tuple[np.ndarray, Place]],
    report: Report,
) -> Iterator[np.ndarray]:
    """Yield the log weights of blocks of trajectories, (size,) or fewer, in nats.

    Args:
        compiled, theta, trajectories: as in log_likelihood.
        size: number of trajectories computed at once.
        blocks: a scaled example and the Place of each.
        report: called with the number of steps.
    """
    model, engine = compiled.model, compiled.engine
    part = compiled.microbatch_size(size)
    end = compiled.function(partial(log_prior, model), [compiled.examples("X", part)])
    run = _run_on_device if engine.noise == "device" else _run_on_host
    for x, place in blocks:
        count = min(size, trajectories - place[2])
        X = engine.asarray(np.broadcast_to(x, (size, *x.shape)))
        if model.uniform_noise:
            rng = noise.generator(place[0], noise.FORWARD, *place[1:], 0)
            X = engine.asarray(X + (rng.random(X.shape) - 0.5) * model.uniform_noise)

        def progress(steps: int, count: int = count) -> None:
            report(steps * count)

        X, total = run(compiled, theta, X, place, progress)
        (last,) = map_microbatches(engine, end, theta, [X], part)
        yield (total + last)[:count]


def _run_on_host(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, place: Place, progress: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """Return x_T of trajectories from X, (m, ...), and the sums of their log ratios, float64 (m,).

    Args:
        compiled, theta, X: model and engine, parameters, and x_0.
        place: see Place.
        progress: called with the number of steps since the last call.
    """
    (seed, example, start), engine, size = place, compiled.engine, len(X)
    part = compiled.microbatch_size(size)
    step = compiled.function(compiled.model.log_ratio, [*compiled.reverse_inputs(part), compiled.examples("N", part)])
    total = np.zeros(size)
    for t in range(1, compiled.model.trajectory_length + 1):
        rng = noise.generator(seed, noise.FORWARD, example, start, t)
        N = engine.asarray(noise.DRAWS[compiled.model.kernel.noise](rng, X.shape))
        X, ratio = map_microbatches(engine, step, theta, [X, engine.asarray(np.full(size, t)), N], part)
        total += ratio
        progress(1)
    return X, total


def _run_on_device(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, place: Place, progress: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `_run_on_host` does, from a loop over t on the device."""
    (seed, example, start), engine, n, T = place, compiled.engine, len(X), compiled.model.trajectory_length
    size = engine.peers.round_up(n)
    N = compiled.examples("N", size), compiled.model.kernel.noise
    inputs = StepInputs((compiled.examples("X", size),), (), (compiled.numbers("t", size),), (N,))
    loop = compiled.loop(compiled.model.log_ratio, inputs, T)
    keys = make_keys(noise.device_key(seed, noise.FORWARD, example), range(1, T + 1), range(start, start + size))
    times = np.repeat(engine.asarray(np.arange(1, T + 1))[:, None], size, axis=1)
    arrays = LoopArrays(engine, inputs, theta, [pad_rows(X, size)], [], [times], keys)
    total = np.zeros(n)
    for begin, end in cut_by_time(T, engine.peers):
        (ratios,) = engine.to_host(arrays.run(loop, begin, end))
        total += ratios[begin:end, :n].sum(axis=0, dtype=np.float64)
        progress(end - begin)
    return arrays.fetch()[:n], total


def log_prior(model: Diffusion, X: pt.TensorVariable) -> pt.TensorVariable:
    """Return log pi(x_T) as a graph, in nats per example, (n,)."""
    return model.kernel.log_prob(model.kernel.prior(X), X).sum(axis=tuple(range(1, X.ndim)))


def summarize(log_weights: np.ndarray, rng: np.random.Generator) -> Likelihood:
    """Return the Likelihood of M log weights, (M,), in nats; rng draws the bootstrap samples."""
    M = len(log_weights)
    value = logsumexp(log_weights) - np.log(M)
    effective = np.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights))
    again = rng.integers(0, M, (BOOTSTRAPS, M))
    error = np.std(logsumexp(log_weights[again], axis=1) - np.log(M), ddof=1) if M > 1 else np.nan
    return Likelihood(float(value), float(error), float(effective), float(log_weights.mean()))
