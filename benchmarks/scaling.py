"""How much faster more processes are, and what they cost when there is one.

    python -m benchmarks.scaling cluster [--workers 2] [--rounds 3]
    python -m benchmarks.scaling training [--processes 2] [--batch 512] [--rounds 3]
    python -m benchmarks.scaling plan --step SECONDS [--batch 512] [--bytes N] [--bandwidth N] [--latency SECONDS]

`cluster`: evaluation and sampling by workers of one thread (`--cluster local:N`), next to one worker and one process.
Takes 16 minutes. Each process is pinned to one core, because it draws noise in a second thread and would otherwise
use more than one; `--unbound` disables pinning. The three configurations alternate, so that a busy machine slows down
all of them. Prints the shortest and the median time of each, and the CPU time, which other programs affect less. Only
the first call compiles; the time to start workers is printed separately.

`training`: a step of one process with several threads, next to one of as many processes of one thread
(`train.py --processes N`), and the sum of a gradient over the processes.

`plan`: the formula of docs/scaling.md for 8 to 1,024 devices.
"""

import os

os.environ.setdefault("NPROC", "1")  # so that XLA occupies one core of this process too, as in a worker

import argparse
import json
import statistics
import subprocess
import sys
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
from tests.helpers.processes import free_port

EXAMPLES, TIMES, SAMPLES, LENGTH = 2000, 30, 4000, 40  # some 25 and 60 s of one core
WORKS = ["K", "samples"]


def make_run() -> tuple[Run, np.ndarray]:
    """Return the released model of digits on one thread and examples, both random: the times depend on neither."""
    engine = Engine(threads=1)
    with engine:
        model = dpm.DiffusionModel(spatial_width=28, n_colors=1, trajectory_length=LENGTH)
    compiled, rng = CompiledModel(model, engine), np.random.default_rng(0)
    theta = compiled.start(rng)
    X = rng.standard_normal((EXAMPLES, *model.example_shape)).astype(theta.dtype)
    return Run(compiled, theta, Scaling(1.0, 0.0), quantized=False), X


def measure_cluster(names: list[str], n_workers: int, rounds: int, bound_to_cores: bool) -> None:
    """Print the seconds of evaluation and sampling without a cluster, with one worker, and with several."""
    run, X = make_run()
    works = {
        "K": (f"{EXAMPLES:,} digits at {TIMES} times", lambda: bound.terms(run.compiled, run.theta, X, 0, TIMES).kl),
        "samples": (f"{SAMPLES:,}, T = {LENGTH}", lambda: dpm.sample(run, SAMPLES, quiet=True)),
    }
    with ExitStack() as stack:
        places = {"no cluster": HERE}
        for n in (1, n_workers):
            start = time.perf_counter()
            places[f"local:{n}"] = stack.enter_context(open_cluster(f"local:{n}"))
            print(f"local:{n}: started in {time.perf_counter() - start:.1f} s")
            if bound_to_cores:
                for core, pid in enumerate(places[f"local:{n}"].client.run(os.getpid).values()):
                    bind(pid, [core])
        for name in names:
            size, work = works[name]
            seconds, cpu = time_in_turns(run, places, work, rounds, bound_to_cores)
            print(f"{name}, {size}; load {os.getloadavg()[0]:.1f}")
            for place, (first, *others) in seconds.items():
                least, median = min(others), statistics.median(others)
                cores = f"{min(cpu[place][1:]):5.2f} s of all cores"
                print(
                    f"  {place:10}  first {first:5.2f} s, then at least {least:5.2f} s, median {median:5.2f} s; {cores}"
                )
            for ratio, pair in {
                "speed-up": ("local:1", f"local:{n_workers}"),
                "overhead": ("local:1", "no cluster"),
            }.items():
                ratios = [a / b for a, b in zip(*(seconds[place][1:] for place in pair), strict=True)]
                least = min(seconds[pair[0]][1:]) / min(seconds[pair[1]][1:])
                print(f"  {ratio}: {least:.2f} of the least, {statistics.median(ratios):.2f} in the median round")


def time_in_turns(
    run: Run, places: dict, work, rounds: int, bound_to_cores: bool
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the seconds of each place, by a clock and of all cores: of the first call, which compiles, and of rounds.

    All bits are equal.
    """
    seconds: dict[str, list[float]] = {name: [] for name in places}
    cpu: dict[str, list[float]] = {name: [] for name in places}
    results, cores = [], sorted(os.sched_getaffinity(0))
    for _ in range(rounds + 1):
        for name, mapper in places.items():
            run.compiled.mapper = mapper
            bind(os.getpid(), cores[:1] if bound_to_cores and mapper is HERE else cores)
            start, used = time.perf_counter(), cpu_seconds()
            results.append(work())
            seconds[name].append(time.perf_counter() - start)
            cpu[name].append(cpu_seconds() - used)
    assert all(np.array_equal(result, results[0]) for result in results)
    return seconds, cpu


def bind(pid: int, cores: list[int]) -> None:
    """Bind all threads of a process, and those that they will start, to some cores."""
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, cores)


def cpu_seconds() -> float:
    """Return the seconds that all cores have worked for this process and those below it."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure_training(n_processes: int, batch: int, rounds: int) -> None:
    """Print the seconds of a training step of one process with several threads, and of processes of one thread."""
    found: dict[str, list[dict[str, list[float]]]] = {}
    for _ in range(rounds):
        for name, n, threads in (
            (f"1 process, {n_processes} threads", 1, n_processes),
            (f"{n_processes} processes, 1 thread", n_processes, 1),
        ):
            found.setdefault(name, []).append(run_steps(n, threads, batch))
    print(f"training step of {batch} digits; load {os.getloadavg()[0]:.1f}")
    for name, answers in found.items():
        for what in ("step", "sum"):
            if times := [answer[what] for answer in answers if answer[what]]:
                least, median = min(a for a, _ in times), statistics.median(b for _, b in times)
                label = {"step": "a step", "sum": "sum of a gradient"}[what]
                print(f"  {name:24}  {label:18} at least {1e3 * least:6.1f} ms, median {1e3 * median:6.1f} ms")
    one, several = ([answer["step"] for answer in answers] for answers in found.values())
    least, median = (
        f([a[i] for a in several]) / f([a[i] for a in one]) for i, f in enumerate((min, statistics.median))
    )
    print(f"  ratio: {least:.2f} of the least, {median:.2f} of the median")


def run_steps(n: int, threads: int, batch: int) -> dict[str, list[float]]:
    """Return what process 0 of n processes of benchmarks.training_steps answers."""
    command = [sys.executable, "-m", "benchmarks.training_steps", str(batch), str(threads)]
    environment = os.environ | {"NPROC": str(threads)}  # the cores that XLA uses
    address = [f"127.0.0.1:{free_port()}", str(n)] if n > 1 else []
    commands = [[*command, *address, *([str(i)] if address else [])] for i in range(n)]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "env": environment}
    started = [subprocess.Popen(words, **quiet) for words in commands]
    printed, *_ = [process.communicate()[0] for process in started]
    answer: dict[str, list[float]] = json.loads(printed.splitlines()[-1])
    return answer


def print_plan(seconds: float, batch: int, size: float, bandwidth: float, latency: float) -> None:
    """Print the time of a training step on 8 to 1,024 devices by the formula of docs/scaling.md.

    Args:
        seconds: of a step of `batch` examples on one device.
        batch: examples of a minibatch.
        size: bytes of the gradient.
        bandwidth: of the connection of a device, bytes per second.
        latency: of a message, seconds.
    """
    print("| devices | examples each | compute, ms | all-reduce, ms | speed-up | bound by |\n|---|---|---|---|---|---|")
    for n in (1, 8, 16, 32, 64, 128, 256, 512, 1024):
        compute = seconds / n
        reduce = 2 * (n - 1) / n * size / bandwidth + 2 * (n - 1) * latency
        bound = "network" if reduce > compute else "compute"
        speed = seconds / (compute + reduce)
        print(f"| {n:,} | {batch / n:g} | {1e3 * compute:.2f} | {1e3 * reduce:.2f} | {speed:.1f} | {bound} |")


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    cluster = commands.add_parser("cluster", help="pieces on Dask")
    cluster.add_argument("--work", nargs="+", choices=WORKS, default=WORKS, help="default: both")
    cluster.add_argument("--workers", type=int, default=2)
    cluster.add_argument("--rounds", type=int, default=3)
    cluster.add_argument("--unbound", action="store_true", help="let each worker use any core")
    training = commands.add_parser("training", help="one training run on several processes")
    training.add_argument("--processes", type=int, default=2)
    training.add_argument("--batch", type=int, default=512)
    training.add_argument("--rounds", type=int, default=3)
    plan = commands.add_parser("plan", help="the time of a step on more devices, by a formula")
    plan.add_argument("--step", type=float, required=True, help="seconds of a step on one device")
    plan.add_argument("--batch", type=int, default=512, help="examples of a minibatch")
    plan.add_argument("--bytes", type=float, default=7.05e6, help="of the gradient; default: the released network")
    plan.add_argument("--bandwidth", type=float, default=50e9, help="of a device's connection, bytes per second")
    plan.add_argument("--latency", type=float, default=10e-6, help="of a message, seconds")
    options = parser.parse_args()
    if options.command == "cluster":
        measure_cluster(options.work, options.workers, options.rounds, not options.unbound)
    elif options.command == "training":
        measure_training(options.processes, options.batch, options.rounds)
    else:
        print_plan(options.step, options.batch, options.bytes, options.bandwidth, options.latency)


if __name__ == "__main__":
    main()
