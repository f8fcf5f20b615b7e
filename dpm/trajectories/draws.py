"""Sampling in batches: sample i is the same for any batch size, start and number of samples."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import choose_rows
from dpm.sampler import Constraint, generate_samples
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
        callback: called as callback(t, X), as in generate_samples with these times.

    Yields:
        Batch of up to `batch` samples.

    Raises:
        InputError: a state is not finite.
    """
    model = compiled.model
    batch = batch or batch_size(compiled, n)
    rows = min(batch, n - start)  # of all batches, the last one too, so that a loop on the device is compiled once
    wanted = set(times) | {0}
    for first in range(start, n, batch):
        count = min(batch, n - first)
        noise = ExampleNoise(seed, first, count, model.kernel.noise)
        states: list[np.ndarray] = []

        def notify(t, X, states=states):
            check_finite(X, t, plain=constraint is None and log_r is None)
            if t in times:
                states.append(np.asarray(X, dtype=np.float64))
            if callback:
                callback(t, X)

        if log_r is None:
            known = constraint(first, count) if constraint else None
            X = generate_samples(compiled, theta, count, noise, known, notify, wanted, rows)
        else:
            X = sample_chain(compiled, theta, log_r, count, noise, guidance, False, notify, wanted, rows)
        empty = np.empty((0, count, *model.example_shape))
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
    advice = (
        "the parameters may be of a run that diverged"
        if plain
        else "r(x) is too narrow or steep for the float type: take a larger --sigma or smaller weights"
    )
    raise InputError(f"samples: {n_bad} of {len(X)} trajectories are not finite at t = {t}; {advice}; none is saved")
