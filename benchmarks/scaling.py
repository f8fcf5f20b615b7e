"""How much faster more processes are, and what they cost when there is one.

    python -m benchmarks.scaling cluster [--workers 2] [--rounds 5]

`cluster`: evaluation and sampling by workers of one thread (`--cluster local:N`), next to one worker and to one process
on one core. Takes 3 minutes. The three take turns, so that a busy machine slows all of them down. Printed are the
shortest and the median time of each, and the seconds of all cores, which other programs change less. Compiling is in
the first call only; starting workers is printed apart.
"""

import os

os.environ.setdefault("NPROC", "1")  # so that XLA occupies one core of this process too, as in a worker

import argparse
import statistics
import time
from contextlib import ExitStack

import numpy as np
import psutil

import dpm
from dpm.base.pieces import HERE
from dpm.cluster.pool import open_cluster
from dpm.datasets import Scaling
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.likelihood import bound
from dpm.runs.loading import Run

EXAMPLES, TIMES, SAMPLES, LENGTH = 600, 10, 200, 40  # some 3 s of one core each


def make_run() -> tuple[Run, np.ndarray]:
    """Return the released model of digits on one thread and examples, both random: the times depend on neither."""
    engine = Engine(threads=1)
    with engine:
        model = dpm.DiffusionModel(spatial_width=28, n_colors=1, trajectory_length=LENGTH)
    compiled, rng = CompiledModel(model, engine), np.random.default_rng(0)
    theta = compiled.start(rng)
    X = rng.standard_normal((EXAMPLES, *model.example_shape)).astype(theta.dtype)
    return Run(compiled, theta, Scaling(1.0, 0.0), quantized=False), X


def measure_cluster(n_workers: int, rounds: int) -> None:
    """Print the seconds of evaluation and sampling without a cluster, with one worker, and with several."""
    run, X = make_run()
    works = {
        f"K of {EXAMPLES:,} digits at {TIMES} times": lambda: bound.terms(run.compiled, run.theta, X, 0, TIMES).kl,
        f"{SAMPLES:,} samples, T = {LENGTH}": lambda: dpm.sample(run, SAMPLES, quiet=True),
    }
    with ExitStack() as stack:
        places = {"no cluster": HERE}
        for n in (1, n_workers):
            start = time.perf_counter()
            places[f"local:{n}"] = stack.enter_context(open_cluster(f"local:{n}"))
            print(f"local:{n}: started in {time.perf_counter() - start:.1f} s")
        for title, work in works.items():
            seconds, cpu = time_in_turns(run, places, work, rounds)
            print(f"{title}; load {os.getloadavg()[0]:.1f}")
            for name, (first, *others) in seconds.items():
                least, median = min(others), statistics.median(others)
                cores = f"{min(cpu[name][1:]):5.2f} s of all cores"
                print(
                    f"  {name:10}  first {first:5.2f} s, then at least {least:5.2f} s, median {median:5.2f} s; {cores}"
                )
            for name, pair in {
                "speed-up": ("local:1", f"local:{n_workers}"),
                "overhead": ("local:1", "no cluster"),
            }.items():
                ratios = [a / b for a, b in zip(*(seconds[place][1:] for place in pair), strict=True)]
                least = min(seconds[pair[0]][1:]) / min(seconds[pair[1]][1:])
                print(f"  {name}: {least:.2f} of the least, {statistics.median(ratios):.2f} in the median round")


def time_in_turns(run: Run, places: dict, work, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the seconds of each place, by a clock and of all cores: of the first call, which compiles, and of rounds.

    All bits are equal.
    """
    seconds: dict[str, list[float]] = {name: [] for name in places}
    cpu: dict[str, list[float]] = {name: [] for name in places}
    results = []
    for _ in range(rounds + 1):
        for name, mapper in places.items():
            run.compiled.mapper = mapper
            start, used = time.perf_counter(), cpu_seconds()
            results.append(work())
            seconds[name].append(time.perf_counter() - start)
            cpu[name].append(cpu_seconds() - used)
    assert all(np.array_equal(result, results[0]) for result in results)
    return seconds, cpu


def cpu_seconds() -> float:
    """Return the seconds that all cores have worked for this process and those below it."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    cluster = commands.add_parser("cluster", help="pieces on Dask")
    cluster.add_argument("--workers", type=int, default=2)
    cluster.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    measure_cluster(options.workers, options.rounds)


if __name__ == "__main__":
    main()
