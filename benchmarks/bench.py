"""Compare time and memory of this program with an eager torch port of it; print a table, write JSON.

python -m benchmarks.bench [--engines jax,numba,c] [--rounds 7] [--torch-python PATH] [--quick] [--growth] [--json FILE]

Default model on 28 x 28 digits, float32. Every engine, and torch with 1 and 2 threads and both memory formats, is a
separate process; they work in alternation, round by round, while the others wait, so that other load on the machine
affects all of them. First torch's results are compared with this program's. "torch" in the table is its fastest one.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.worker import ROOT, Worker
from dpm.base.progress import Progress

#: {name: {column: [value a round]}}
Numbers = dict[str, dict[str, list[float]]]
#: {name: {column: {"median": ..., ...}}}
Summary = dict[str, dict[str, dict[str, Any]]]
Measures = Mapping[str, tuple[tuple[object, ...], int]]

ENGINES = ("jax", "numba", "c")
DPM = (sys.executable, "-m", "dpm")
STARTS = 3  # rounds of measures that start a new process
#: name: (words of the question, factor of its answer)
MEASURES: Measures = {
    "training step, batch 128, s": (("step", 128, 20), 1),
    "training step, batch 512, s": (("step", 512, 5), 1),
    "epoch of 4,000 digits, batch 128, s": (("epoch", 128), 1),
    "K of 1,000 digits, s": (("K", 128), 1),
    "reverse step, 49 images, s": (("reverse", 50), 1),
    "sampling, 49 images, 10 times 100 steps, s": (("sampling", 100), 10),
}
CHOOSES = "training step, batch 512, s"  # decides which torch variant is measured further
#: axis: (values, batch); an axis is "batch" or an argument of DiffusionModel
GROWTH: dict[str, tuple[tuple[int, ...], int | None]] = {
    "batch": ((32, 128, 512, 2048), None),
    "trajectory_length": ((100, 1000, 10_000), 128),
    "n_scales": ((1, 2, 3), 128),
    "spatial_width": ((28, 64, 128), 32),
    "n_hidden_conv": ((10, 20, 40, 80), 128),
    "n_hidden_dense_lower": ((250, 500, 1000, 2000), 128),
}


class Column(NamedTuple):
    """Program to measure: its name and the command of its worker."""

    name: str
    command: tuple[str, ...]

    def worker(self, environment: Mapping[str, str] | None = None) -> Worker:
        """Start a worker."""
        return Worker(self.name, self.command, environment)

    @property
    def is_torch(self) -> bool:
        """True for the torch port."""
        return self.name.startswith("torch")


Starts = Mapping[str, Callable[[Column], float | None]]


def own_column(engine: str, model_args: str = "", *more: str) -> Column:
    """Return the column of this program with an engine; model_args: as for `dpm train`."""
    command = (sys.executable, "-m", "benchmarks.peer_dpm", engine, f"--model-args={model_args}", *more)
    return Column(engine, command)


def torch_columns(python: str | None, case: Path) -> list[Column]:
    """Return the torch variants on an exported case, none without an interpreter."""
    return [
        Column(
            f"torch, {threads} thread{'s' * (threads > 1)}{', channels last' * bool(last)}",
            (python, "-m", "benchmarks.peer_torch", str(case), f"--threads={threads}", *last),
        )
        for threads in (1, 2)
        for last in ((), ("--channels-last",))
        if python
    ]


def export_case(engine: str, case: Path, model_args: str = "", answers: Path | None = None) -> int:
    """Write a case for torch, and the answers to check it by, in float64; return the number of parameters."""
    with own_column(engine, model_args, "--dtype=float64").worker() as worker:
        size: int = worker.ask("export", case)
        if answers:
            worker.ask("answers", answers)
    return size


def check_torch(columns: Sequence[Column], answers: Path) -> None:
    """Print the differences between torch and this program; raise SystemExit where they are not the same function."""
    for column in columns:
        with column.worker() as worker:
            found = worker.ask("check", answers)
        print(
            f"{column.name}: mu, sigma, cost and gradient differ by {found['float64']:.0e} of the largest element, "
            f"mu, sigma and cost in float32 by {found['float32']:.0e}"
        )
        if not found["agrees"]:
            raise SystemExit(f"{column.name} does not compute what this program computes")


def measure(columns: Sequence[Column], measures: Measures, rounds: int, bar: Any) -> Numbers:
    """Measure all columns in alternation, one value a round, after a round that does not count."""
    numbers: Numbers = {name: {column.name: [] for column in columns} for name in measures}
    with ExitStack() as stack:
        workers = [stack.enter_context(column.worker()) for column in columns]
        for round_ in range(-1, rounds):
            for name, (words, factor) in measures.items():
                for worker in workers:
                    bar.set_description(f"{name}: {worker.name}")
                    value = worker.ask(*words) * factor
                    bar.update()
                    if round_ >= 0:
                        numbers[name][worker.name].append(value)
    return numbers


def time_command(command: Sequence[str], until: str | None = None, root: Path = ROOT) -> float:
    """Return the seconds from starting a command to its end, or to a line that begins with `until`, and kill it then.

    It runs in the checkout `root`.

    Raises:
        RuntimeError: the command fails, or ends without that line.
    """
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if until and line.startswith(until):
                seconds = time.perf_counter() - begin
                process.kill()
                return seconds
        process.wait()
    if until or process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return time.perf_counter() - begin


def time_to_first_step(column: Column) -> float:
    """Time from starting a process to the first gradient: `dpm train` to its summary, torch's worker to an answer."""
    if column.is_torch:
        begin = time.perf_counter()
        with column.worker() as worker:
            worker.ask("first", 128)
            return time.perf_counter() - begin
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        command = [*DPM, "train", "--backend", column.name, "--batch-size", "128", "--output-dir", folder]
        return time_command(command, until="folder")


def ask_new(column: Column, *questions: Sequence[object], environment: Mapping[str, str] | None = None) -> float:
    """Return a new worker's answer to the last of some questions."""
    with column.worker(environment) as worker:
        return [worker.ask(*words) for words in questions][-1]


def help_time(column: Column) -> float | None:
    """Time `dpm train --help`, which imports no engine; None for torch."""
    return None if column.is_torch else time_command([*DPM, "train", "--help"])


def import_time(column: Column) -> float:
    """Time a Python that only imports the package."""
    package = "torch" if column.is_torch else "dpm"
    return time_command([column.command[0], "-c", f"import {package}"])


@contextmanager
def empty_caches() -> Iterator[dict[str, str]]:
    """Return the environment of a process in which all caches of compiled functions are empty."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        flags = [*filter(None, [os.environ.get("PYTENSOR_FLAGS")]), f"base_compiledir={folder}/pytensor"]
        yield {
            "XDG_CACHE_HOME": folder,
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
            "NUMBA_CACHE_DIR": f"{folder}/numba",
            "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch",
            "PYTENSOR_FLAGS": ",".join(flags),
        }


def cold_compile(column: Column) -> float | None:
    """Time the first training step with empty caches; None for torch, which has none."""
    if column.is_torch:
        return None
    with empty_caches() as environment:
        return ask_new(column, ("first", 128), environment=environment)


#: name: function of a column that starts new processes
FRESH: Starts = {
    "import, s": import_time,
    "dpm train --help, s": help_time,
    "first training step of a process, warm caches, s": lambda column: ask_new(column, ("first", 128)),
    "from the command to the first step, s": time_to_first_step,
    "peak memory, training at 128, MiB": lambda column: ask_new(column, ("step", 128, 5), ("memory",)),
    "peak memory, training at 512, MiB": lambda column: ask_new(column, ("step", 512, 3), ("memory",)),
    "peak memory, sampling, MiB": lambda column: ask_new(column, ("sampling", 100), ("memory",)),
}
COLD: Starts = {"first training step of a process, cold caches, s": cold_compile}


def measure_starts(columns: Sequence[Column], starts: Starts, rounds: int, bar: Any) -> Numbers:
    """Measure functions that start processes, as `measure` does."""
    numbers: Numbers = {name: {} for name in starts}
    for _ in range(rounds):
        for name, function in starts.items():
            for column in columns:
                bar.set_description(f"{name}: {column.name}")
                value = function(column)
                bar.update()
                if value is not None:
                    numbers[name].setdefault(column.name, []).append(value)
    return numbers


def measure_growth(
    engines: Sequence[str], python: str | None, variant: str | None, folder: str, rounds: int, bar: Any
) -> Numbers:
    """Measure training steps along each axis of GROWTH; variant: the name of torch's column, or None."""
    numbers: Numbers = {}
    for axis, (values, batch) in GROWTH.items():
        for value in values:
            args = "" if axis == "batch" else f"{axis}={value}"
            columns = [own_column(engine, args) for engine in engines]
            if variant:
                case = Path(folder) / "growth.npz"
                export_case(engines[0], case, args)
                columns += [c for c in torch_columns(python, case) if c.name == variant]
            measures: Measures = {growth_name(axis, value): (("step", batch or value), 1)}
            numbers |= measure(columns, measures, rounds, bar)
    return numbers


def growth_name(axis: str, value: int) -> str:
    """Return the name of a training step along an axis."""
    return f"training step, {axis} {value}, s"


def fit_exponents(summary: Summary) -> dict[str, dict[str, float]]:
    """Fit time ~ value^e along each axis by least squares of logarithms; return {"exponent of AXIS": {column: e}}."""
    fitted: dict[str, dict[str, float]] = {}
    for axis, (values, _) in GROWTH.items():
        rows = [summary[growth_name(axis, value)] for value in values]
        fitted[f"exponent of {axis}"] = {
            column: fit_exponent(values, [row[column]["median"] for row in rows])
            for column in rows[0]
            if all(column in row for row in rows)
        }
    return fitted


def fit_exponent(values: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the slope of log seconds over log values."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def summarize(numbers: Numbers) -> Summary:
    """Return {name: {column: {"median", "least", "largest"}}}.

    The column "torch" is the fastest of its variants, with its name as "variant"; an engine's "ratio" is its median
    divided by torch's.
    """
    summary: Summary = {}
    for name, columns in numbers.items():
        row: dict[str, dict[str, Any]] = {
            column: {"median": float(np.median(values)), "least": min(values), "largest": max(values)}
            for column, values in columns.items()
        }
        variants = [column for column in row if column.startswith("torch")]
        if variants:
            best = min(variants, key=lambda column: row[column]["median"])
            for column in row.keys() - set(variants):
                row[column]["ratio"] = row[column]["median"] / row[best]["median"]
            row["torch"] = row[best] | {"variant": best.removeprefix("torch, ")}
        summary[name] = row
    return summary


def format_table(summary: Summary, engines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a Markdown table: medians (least, largest), and the ratio to torch."""
    has_torch = any("torch" in row for row in summary.values())
    yield f"| | {' | '.join(engines)} | {'torch' if has_torch else 'torch: not installed'} |"
    yield "|" + "---|" * (len(engines) + 2)
    for name, row in summary.items():
        yield f"| {name} | {' | '.join(format_cell(row.get(column)) for column in (*engines, 'torch'))} |"


def format_cell(value: Mapping[str, Any] | None) -> str:
    """Format one figure with three digits."""
    if value is None:
        return "-"
    text = f"{value['median']:.3g} ({value['least']:.3g}, {value['largest']:.3g})"
    if "ratio" in value:
        text += f" = {value['ratio']:.2f} torch"
    return f"{text} {value['variant']}" if "variant" in value else text


def describe_machine() -> str:
    """Return processor, number of cores and version of Python."""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def parse_engines(text: str) -> list[str]:
    """Parse a comma-separated list of engines, for argparse."""
    names = text.split(",")
    wrong = [name for name in names if name not in ENGINES]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not an engine; accepted: {', '.join(ENGINES)}")
    return names


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = sys.executable if importlib.util.find_spec("torch") else None
    parser.add_argument("--engines", type=parse_engines, default=["jax", "numba"], help="default: jax,numba")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-python", default=here, help="an interpreter that has torch (default: this, if it has)")
    parser.add_argument("--quick", action="store_true", help="two rounds, one start, half of the torch variants")
    parser.add_argument("--growth", action="store_true", help="also steps by batch, T, scales, width and hidden units")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, folder: str, bar: Any) -> Numbers:
    """Measure everything that the options ask for."""
    rounds, starts = (2, 1) if options.quick else (options.rounds, STARTS)
    case, answers = Path(folder) / "case.npz", Path(folder) / "answers.npz"
    own = [own_column(engine) for engine in options.engines]
    torch = torch_columns(options.torch_python, case)
    if options.quick:
        torch = [column for column in torch if "channels last" in column.name]
    if torch:
        size = export_case(options.engines[0], case, answers=answers)
        bar.write(f"{describe_machine()}; {size:,} parameters")
        check_torch(torch, answers)
    numbers = measure(own + torch, MEASURES, rounds, bar)
    variant = summarize({CHOOSES: numbers[CHOOSES]})[CHOOSES].get("torch", {}).get("variant")
    variant = variant and f"torch, {variant}"
    chosen = own + [column for column in torch if column.name == variant]
    numbers |= measure_starts(chosen, FRESH, starts, bar)
    if not options.quick:
        numbers |= measure_starts(own, COLD, 1, bar)
    if options.growth:
        numbers |= measure_growth(options.engines, options.torch_python, variant, folder, min(rounds, STARTS), bar)
    return numbers


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the file."""
    options = parse_arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="bench") as folder, Progress(unit="figure", desc="benchmark") as bar:
        numbers = run(options, folder, bar)
    summary = summarize(numbers)
    fitted = fit_exponents(summary) if options.growth else {}
    print(*format_table(summary, options.engines), sep="\n")
    for name, columns in fitted.items():
        print(f"{name}: " + ", ".join(f"{column} {value:.2f}" for column, value in columns.items()))
    if options.json:
        content = {"machine": describe_machine(), "numbers": summary, "exponents": fitted, "values": numbers}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
