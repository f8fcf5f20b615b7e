"""Seconds of a training step in processes that this program starts; used by benchmarks/scaling.py.

    python -m benchmarks.training_steps BATCH THREADS [HOST:PORT COUNT INDEX]

Print the shortest and median time, in seconds, of a training step of the default network on the embedded digits and of
summing a gradient over all processes. Without an address, measure a single process with the default settings.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np

STEPS, SUMS = 24, 20


def main(batch: int, threads: int, address: str = "", count: int = 1, index: int = 0) -> None:
    """Measure, and print JSON in process 0."""
    with ExitStack() as stack:
        if address:
            from dpm.engines.jax.processes import joined

            stack.enter_context(joined(address, count, index))
        seconds = time_steps(batch, threads, bool(address))
        sums = time_sums(seconds.pop("parameters")) if address else []
    if index == 0:
        print(json.dumps({"step": summarize(seconds["step"]), "sum": summarize(sums)}), flush=True)


def time_steps(batch: int, threads: int, distributed: bool) -> dict:
    """Return the seconds of each step, and the number of parameters."""
    import dpm
    from dpm.engines.compiled import CompiledModel
    from dpm.runs.settings import Settings
    from dpm.training.building import build_loop
    from dpm.training.run import copy_model

    engine = dpm.Engine("jax", threads=threads, distributed=distributed)
    settings = Settings.from_arguments(batch_size=batch, threads=threads, epochs=STEPS, quiet=True)
    model = copy_model(dpm.DiffusionModel(spatial_width=28, n_colors=1), engine, 1 / 255)
    loop = build_loop(settings, dpm.load("mnist"), CompiledModel(model, engine))
    ends: list[float] = []

    def after_batch(loop) -> None:
        ends.append(time.perf_counter())
        loop.stopped = len(ends) > STEPS

    loop.extensions, loop.steps_per_call = [SimpleNamespace(after_batch=after_batch)], 1
    loop.compile()
    loop.run()
    return {"step": np.diff(ends).tolist(), "parameters": loop.compiled.layout.size}


def time_sums(n: int) -> list[float]:
    """Return the seconds of sums of n float32 numbers over the devices."""
    import jax

    from dpm.engines.jax.mesh import MeshPeers

    peers = MeshPeers()
    rows = peers.own_rows(peers.n_devices)
    x = peers.place(np.ones((rows.stop - rows.start, n), np.float32), 0)
    total = jax.jit(lambda x: x.sum(axis=0), out_shardings=peers.sharding())
    seconds = [timed(lambda: total(x).block_until_ready()) for _ in range(SUMS + 1)]
    return seconds[1:]  # the first call compiles


def timed(action: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def summarize(seconds: list[float]) -> list[float]:
    """Return the least and the median of some seconds, or nothing."""
    return [min(seconds), float(np.median(seconds))] if seconds else []


if __name__ == "__main__":
    batch, threads, *more = sys.argv[1:]
    main(int(batch), int(threads), *more[:1], *map(int, more[1:]))
    sys.stdout.flush()
    os._exit(0)  # exit handlers of JAX would wait for the other processes
