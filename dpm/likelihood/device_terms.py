"""The terms KL_t of K (Eq. 14) on the device: for a block of examples one loop over their times."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from dpm.base import noise
from dpm.base.pieces import Report
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import LoopArrays, cut_by_time, make_keys, place
from dpm.engines.inputs import Input, StepInputs
from dpm.engines.microbatches import pad_rows

MOST_COLUMNS = 2000  # of times in one loop: 80 MB for 10,000 examples in float32, and as much for the terms


def compute_terms(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    times: np.ndarray,
    seed: int,
    purpose: int,
    rows: int,
    columns: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return KL_t of examples at their times, (n, k), in the engine's float type.

    The noise of a term depends on the seed, the purpose, the example's index and its column only. A loop is cut into
    calls of about half a second, and the terms of a call are fetched at its end.

    Args:
        compiled: model and an engine that compiles loops.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        times: times of each example, (n, k).
        seed, purpose: of the noise.
        rows: number of examples computed at once.
        columns: number of columns that the loop is compiled for; k, or MOST_COLUMNS, if None.
        progress: called with the number of terms after each call.
    """
    n, k = times.shape
    columns, rows = min(columns or k, MOST_COLUMNS), compiled.engine.peers.round_up(rows)
    kl = np.empty((n, k), compiled.engine.dtype)
    places = [
        (slice(start, min(start + rows, n)), slice(first, min(first + columns, k)))
        for start in range(0, n, rows)
        for first in range(0, k, columns)
    ]
    tiles = (Tile(part.start, span.start, X[part], times[part, span]) for part, span in places)
    found = compiled.mapper.map(run_tiles, (compiled, theta, seed, purpose, rows, columns), tiles, progress)
    for (part, span), values in zip(places, found, strict=True):
        kl[part, span] = values
    return kl


class Tile(NamedTuple):
    """Consecutive examples at some of their times.

    Attributes:
        start: number of the first example.
        first: number of the first time.
        X: scaled examples, (m, ...).
        times: their times, (m, c).
    """

    start: int
    first: int
    X: np.ndarray
    times: np.ndarray


def run_tiles(
    compiled: CompiledModel,
    theta: np.ndarray,
    seed: int,
    purpose: int,
    rows: int,
    columns: int,
    tiles: Iterable[Tile],
    report: Report,
) -> Iterator[np.ndarray]:
    """Yield KL_t of each Tile, (m, c); arguments as in compute_terms."""
    engine, model = compiled.engine, compiled.model
    N, U = (compiled.examples(name, rows) for name in ("N", "U"))
    inputs = StepInputs(
        (), (compiled.examples("X", rows),), (Input("t", (rows,)),), ((N, model.kernel.noise), (U, "uniform"))
    )
    loop, theta_there = compiled.loop(model.kl_single_t, inputs, columns), place(engine, theta)
    words = noise.device_key(seed, purpose)
    for start, first, X, times in tiles:
        m, c = times.shape
        t = np.full((columns, rows), model.trajectory_length, engine.dtype)
        t[:c, :m] = times.T
        keys = make_keys(words, range(first, first + columns), range(start, start + rows))
        arrays = LoopArrays(engine, inputs, theta_there, [], [pad_rows(engine.asarray(X), rows)], [t], keys)
        kl = np.empty((m, c), engine.dtype)
        for begin, end in cut_by_time(c, engine.peers):
            (values,) = engine.to_host(arrays.run(loop, begin, end))
            kl[:, begin:end] = values[begin:end, :m].T
            report((end - begin) * m)
        yield kl
