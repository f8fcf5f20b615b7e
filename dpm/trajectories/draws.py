"""Sampling in batches: sample i is the same for any batch size, start and number of samples."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.base.pieces import Report
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import choose_rows
from dpm.sampler import Constraint, StepCounter, generate_samples
from dpm.trajectories.potentials import LogR
from dpm.trajectories.products import sample_chain

IMAGES_PER_BATCH = 100
VECTORS_PER_BATCH = 1000


class Batch(NamedTuple):
    """Consecutive samples.

    Attributes:
        first: number of the first sample.
        samples: (n, ...), in scaled units.
        states: states at the requested times, float64 (len(times), n, ...), in scaled units.
    """

    first: int
    samples: np.ndarray
    states: np.ndarray


def default_batch(example_shape: Sequence[int]) -> int:
    """Return the batch size for examples of this shape: images (c, h, w) or vectors (D,)."""
    return IMAGES_PER_BATCH if len(example_shape) == 3 else VECTORS_PER_BATCH


def batch_size(compiled: CompiledModel, n: int) -> int:
    """Return how many of n samples are drawn at once: default_batch, or more where an accelerator has the memory."""
    return choose_rows(compiled, n, default_batch(compiled.model.example_shape))


def state_times(trajectory_length: int, every: int) -> list[int]:
    """Return the times whose states are captured: T, then each `every`-th below it, and 0; none for every = 0."""
    if not every:
        return []
    return [t for t in range(trajectory_length, 0, -1) if (trajectory_length - t) % every == 0 and t != 1] + [0]


def draw_batches(
    compiled: CompiledModel,
    theta: np.ndarray,
    n: int,
    seed: int,
    batch: int | None = None,
    start: int = 0,
    constraint: Callable[[int, int], Constraint | None] | None = None,
    log_r: LogR | None = None,
    guidance: str = "linear",
    times: Sequence[int] = (),
    callback: Callable[[int, np.ndarray], object] | None = None,
    progress: Report | None = None,
) -> Iterator[Batch]:
    """Draw the samples with numbers start to n - 1 by reverse trajectories, one batch after the other.

    Sample i depends on the seed and on i only: its noise is ExampleNoise(seed, i), or its numbers on the device.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        n: number of samples, those before `start` included.
        seed: seed of the noise.
        batch: samples computed at once; batch_size(compiled, n) if None.
        start: number of the first sample.
        constraint: function (first, count) that returns the constraint on samples first to first + count - 1.
        log_r: log r(x) in nats, (n,); samples are then drawn by sample_chain instead of generate_samples.
        guidance: guidance schedule of log_r.
        times: times whose states are returned, such as state_times(T, every).
        callback: called as callback(t, X), as in generate_samples with these times; not where a cluster draws.
        progress: called with numbers that add up to n - start times the steps of a trajectory.

    Yields:
        Batch of up to `batch` samples.

    Raises:
        InputError: a state is not finite.
        ValueError: there is a callback, and a cluster draws.
    """
    mapper, batch = compiled.mapper, batch or batch_size(compiled, n)
    if callback and mapper.is_remote:
        raise ValueError("callback: is not called for states on a cluster; expected None, or progress instead")
    shared = compiled, theta, seed, log_r, guidance, tuple(times), callback
    return mapper.map(draw_ranges, shared, _cut(compiled, n, batch, start, constraint, log_r is None), progress)


class Range(NamedTuple):
    """Consecutive samples to draw.

    Attributes:
        first: number of the first one.
        n: how many.
        rows: number of samples that the functions are compiled for.
        constraint: on these samples.
    """

    first: int
    n: int
    rows: int
    constraint: Constraint | None


def _cut(
    compiled: CompiledModel,
    n: int,
    batch: int,
    start: int,
    constraint: Callable[[int, int], Constraint | None] | None,
    in_microbatches: bool,
) -> Iterator[Range]:
    """Yield the ranges of the samples start to n - 1; arguments as in draw_batches.

    On a cluster a range is a microbatch where the host draws, so that a single batch occupies several workers.
    """
    there = compiled.engine.noise == "device"
    for first in range(start, n, batch):
        count = min(batch, n - first)
        # A loop on the device is compiled once: for all batches, the last one too.
        rows = min(batch, n - start) if there else count
        size = count if there or not in_microbatches else compiled.microbatch_size(count)
        for part in compiled.mapper.cut(count, size):
            place, few = first + part.start, part.stop - part.start
            yield Range(place, few, rows, constraint(place, few) if constraint else None)


def draw_ranges(
    compiled: CompiledModel,
    theta: np.ndarray,
    seed: int,
    log_r: LogR | None,
    guidance: str,
    times: Sequence[int],
    callback: Callable[[int, np.ndarray], object] | None,
    ranges: Iterable[Range],
    report: Report,
) -> Iterator[Batch]:
    """Yield the samples of each Range; arguments as in draw_batches."""
    model, wanted = compiled.model, set(times) | {0}
    for first, n, rows, constraint in ranges:
        noise = ExampleNoise(seed, first, n, model.kernel.noise)
        states: list[np.ndarray] = []
        count_steps = StepCounter(model.trajectory_length, report, by_example=True)
        plain = constraint is None and log_r is None

        def notify(t, X, states=states, count_steps=count_steps, plain=plain):
            check_finite(X, t, plain)
            if t in times:
                states.append(np.asarray(X, dtype=np.float64))
            if callback:
                callback(t, X)
            count_steps(t, X)

        if log_r is None:
            X = generate_samples(compiled, theta, n, noise, constraint, notify, wanted, rows)
        else:
            X = sample_chain(compiled, theta, log_r, n, noise, guidance, False, notify, wanted, rows)
        empty = np.empty((0, n, *model.example_shape))
        yield Batch(first, X, np.stack(states) if states else empty)


def check_finite(X: np.ndarray, t: int, plain: bool) -> None:
    """Raise InputError if a state x_t is not finite.

    Args:
        X: state of a trajectory, (n, ...).
        t: its time.
        plain: True where no r(x) multiplies the model.
    """
    if np.isfinite(X).all():
        return
    n_bad = int((~np.isfinite(X.reshape(len(X), -1))).any(axis=1).sum())
    if not plain:
        advice = "r(x) is too narrow or steep for the float type: take a larger --sigma or smaller weights"
    elif n_bad == len(X):
        advice = "the parameters may be of a run that diverged"
    else:
        advice = "the model is not stable everywhere: draw fewer samples, or take another --seed"
    raise InputError(f"samples: {n_bad} of {len(X)} trajectories are not finite at t = {t}; {advice}; none is saved")
