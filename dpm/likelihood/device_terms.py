"""The terms KL_t of K (Eq. 14) on the device: for a block of examples one loop over their times."""

from collections.abc import Callable

import numpy as np

from dpm.base import noise
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
    engine, model, (n, k) = compiled.engine, compiled.model, times.shape
    columns, rows = min(columns or k, MOST_COLUMNS), engine.peers.round_up(rows)
    N, U = (compiled.examples(name, rows) for name in ("N", "U"))
    inputs = StepInputs(
        (), (compiled.examples("X", rows),), (Input("t", (rows,)),), ((N, model.kernel.noise), (U, "uniform"))
    )
    loop, theta_there = compiled.loop(model.kl_single_t, inputs, columns), place(engine, theta)
    kl, words = np.empty((n, k), engine.dtype), noise.device_key(seed, purpose)
    for start in range(0, n, rows):
        part = slice(start, min(start + rows, n))
        X_there = place(engine, pad_rows(engine.asarray(X[part]), rows), 0)
        for first in range(0, k, columns):
            t = np.full((columns, rows), model.trajectory_length, engine.dtype)
            found = times[part, first : first + columns].T
            t[: len(found), : found.shape[1]] = found
            keys = make_keys(words, range(first, first + columns), range(start, start + rows))
            arrays = LoopArrays(engine, inputs, theta_there, [], [X_there], [t], keys)
            for begin, end in cut_by_time(len(found), engine.peers):
                (values,) = engine.to_host(arrays.run(loop, begin, end))
                kl[part, first + begin : first + end] = values[begin:end, : found.shape[1]].T
                if progress:
                    progress((end - begin) * found.shape[1])
    return kl
