"""Measure the overhead of an SFO step without the cost of f: milliseconds per step and peak memory.

    python benchmarks/sfo.py [--threads 2] [--steps 200] [--profile] [SIZE:N[:float32] ...]

A table and JSON are printed to stdout. Each case runs in a separate process; the default cases are 230 parameters in 31
subfunctions, and 1,000,000 in 25. Timing starts after the active set and the subspace have filled. `growth` is the mean
time of the last third of the steps divided by that of the first, about 1 if nothing grows. `CPU ms` is the processor
time of all threads per step, which other programs on the machine disturb less.
"""

import argparse
import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

CASES = ("230:31", "1000000:25")


class Quadratics:
    """Subfunctions f_i = 1/2 sum of a_k (x_k - c_k)^2 with other a, c for each i: cheap, with distinct gradients."""

    def __init__(self, size: int, number: int, dtype: str) -> None:
        rng = np.random.default_rng(0)
        # Each subfunction uses another stretch of the same draws, so that the memory measured is not theirs.
        self.scale = rng.uniform(0.1, 3, size + number).astype(dtype)
        self.center = rng.standard_normal(size + number).astype(dtype)
        self.seconds = self.cpu = 0.0

    def __call__(self, theta: np.ndarray, i: int) -> tuple[float, np.ndarray]:
        """Return f_i and its gradient, and add the time taken to `seconds` and `cpu`."""
        begin, cpu = time.perf_counter(), time.process_time()
        part = slice(i, i + len(theta))
        away = theta - self.center[part]
        gradient = self.scale[part] * away
        value = 0.5 * float(away @ gradient)
        self.seconds += time.perf_counter() - begin
        self.cpu += time.process_time() - cpu
        return value, gradient


def measure(size: int, number: int, dtype: str, steps: int, profile: bool) -> dict[str, Any]:
    """Return one row of the table: milliseconds and MiB by name.

    Args:
        size: number of parameters.
        number: number of subfunctions.
        dtype: float type of theta.
        steps: number of steps timed.
        profile: also print a profile to stderr.
    """
    from dpm.optimizers import SFO

    f = Quadratics(size, number, dtype)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sfo = SFO(f, np.zeros(size, dtype), range(number), rng=np.random.default_rng(0))
    while sfo.active < number or sfo.sum.evaluations < 4 * number:
        sfo.step()
    profiler = cProfile.Profile() if profile else None
    seconds, cpu = [], time.process_time() - f.cpu
    for _ in range(steps):
        begin, inside = time.perf_counter(), f.seconds
        if profiler:
            profiler.enable()
        sfo.step()
        if profiler:
            profiler.disable()
        seconds.append(time.perf_counter() - begin - (f.seconds - inside))
    cpu = time.process_time() - f.cpu - cpu
    if profiler:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(15)
    ms, third = 1e3 * np.array(seconds), steps // 3
    return {
        "parameters": size,
        "N": number,
        "dtype": dtype,
        "CPU ms": round(1e3 * cpu / steps, 3),
        "mean ms": round(float(ms.mean()), 3),
        "median ms": round(float(np.median(ms)), 3),
        "slowest ms": round(float(ms.max()), 3),
        "growth": round(float(ms[-third:].mean() / ms[:third].mean()), 3),
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "of it before SFO": before // 1024,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run each case in a new process with the given number of BLAS threads, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=CASES, help="SIZE:N or SIZE:N:float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        size, number, *dtype = options.cases[0].split(":")
        result = measure(int(size), int(number), (dtype or ["float64"])[0], options.steps, options.profile)
        print(json.dumps(result))
        return
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(options.threads))
    flags = ["--here", "--steps", str(options.steps)] + ["--profile"] * options.profile
    results = []
    for case in options.cases:
        command = [sys.executable, __file__, case, *flags]
        text = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        results.append(json.loads(text.splitlines()[-1]) | {"threads": options.threads})
    print("| " + " | ".join(results[0]) + " |\n|" + "---|" * len(results[0]))
    for result in results:
        print("| " + " | ".join(map(str, result.values())) + " |")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
