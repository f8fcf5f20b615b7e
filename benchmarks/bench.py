"""Times and memory of this program beside an eager torch port of it: a table on stdout, the same numbers as JSON.

python -m benchmarks.bench [--engines jax,numba,c] [--rounds 7] [--torch-python PATH] [--quick] [--growth] [--json FILE]

Default model on 28 x 28 digits, float32. Every engine, and torch with 1 and 2 threads and both memory formats, is a
process of its own; they are asked in turns, round by round, while the others wait, so that what else the machine does
falls on all. First torch's results are compared with this program's. "torch" in the table is its fastest variant.
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
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.worker import ROOT, Worker

ENGINES = ("jax", "numba", "c")
STARTS = 3  # rounds of what starts a process each time
#: name: (words of the question, what its answer is multiplied by).
MEASURES = {
    "training step, batch 128, s": (("step", 128, 20), 1),
    "training step, batch 512, s": (("step", 512, 5), 1),
    "epoch of 4,000 digits, batch 128, s": (("epoch", 128), 1),
    "K of 1,000 digits, s": (("K", 128), 1),
    "reverse step, 49 pictures, s": (("reverse", 50), 1),
    "sampling, 49 pictures, 10 times 100 steps, s": (("sampling", 100), 10),
}
CHOOSES = "training step, batch 512, s"  # the torch variant that is also started and grown
#: axis: (values, batch); an axis but "batch" is an argument of DiffusionModel.
GROWTH = {
    "batch": ((32, 128, 512, 2048), None),
    "trajectory_length": ((100, 1000, 10_000), 128),
    "n_scales": ((1, 2, 3), 128),
    "spatial_width": ((28, 64, 128), 32),
    "n_hidden_conv": ((10, 20, 40, 80), 128),
    "n_hidden_dense_lower": ((250, 500, 1000, 2000), 128),
}


class Column(NamedTuple):
    """A program that is measured: its name and the command of its worker."""

    name: str
    command: tuple

    def worker(self, environment=None):
        """A new worker."""
        return Worker(self.name, self.command, environment)

    @property
    def is_torch(self):
        return self.name.startswith("torch")


def own_column(engine, model_args="", *more):
    """This program with an engine; model_args: as train.py's flag."""
    command = (sys.executable, "-m", "benchmarks.peer_dpm", engine, f"--model-args={model_args}", *more)
    return Column(engine, command)


def torch_columns(python, case):
    """The variants of torch on an exported case, none without an interpreter."""
    return [
        Column(
            f"torch, {threads} thread{'s' * (threads > 1)}{', channels last' * bool(last)}",
            (python, "-m", "benchmarks.peer_torch", str(case), f"--threads={threads}", *last),
        )
        for threads in (1, 2)
        for last in ((), ("--channels-last",))
        if python
    ]


def exported(engine, case, model_args="", answers=None):
    """Write a case for torch, and the answers to check it by, in float64; the number of parameters."""
    with own_column(engine, model_args, "--dtype=float64").worker() as worker:
        size = worker.ask("export", case)
        if answers:
            worker.ask("answers", answers)
    return size


def checked(columns, answers):
    """Print how far torch is from this program. Raises SystemExit where it is not the same function."""
    for column in columns:
        with column.worker() as worker:
            found = worker.ask("check", answers)
        print(
            f"{column.name}: mu, sigma, cost and gradient differ by {found['float64']:.0e} of the largest element, "
            f"mu, sigma and cost in float32 by {found['float32']:.0e}"
        )
        if not found["agrees"]:
            raise SystemExit(f"{column.name} does not compute what this program computes")


def measured(columns, measures, rounds, bar):
    """{name: {column: [a value a round]}}, all columns in turns; before the rounds each is asked once for nothing."""
    numbers: dict = {name: {column.name: [] for column in columns} for name in measures}
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


def seconds_of(command, until=None):
    """Seconds from starting a command to its end, or to a line that begins with `until`, at which it is killed."""
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
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


def time_to_first_step(column):
    """Seconds from nothing to the first gradient: of train.py to its summary, or of torch's worker to an answer."""
    if column.is_torch:
        begin = time.perf_counter()
        with column.worker() as worker:
            worker.ask("first", 128)
            return time.perf_counter() - begin
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        command = [sys.executable, "train.py", "--backend", column.name, "--batch-size", "128", "--output-dir", folder]
        return seconds_of(command, until="folder")


def answer_of(column, *questions, environment=None):
    """A fresh worker's answer to the last of some questions."""
    with column.worker(environment) as worker:
        return [worker.ask(*words) for words in questions][-1]


def help_time(column):
    """Seconds of train.py --help, which no engine takes part in; None for torch."""
    return None if column.is_torch else seconds_of([sys.executable, "train.py", "--help"])


def import_time(column):
    """Seconds of a Python that imports the package and no more."""
    package = "torch" if column.is_torch else "dpm"
    return seconds_of([column.command[0], "-c", f"import {package}"])


def cold_compile(column):
    """Seconds of the first training step with empty caches; None for torch, which has none."""
    if column.is_torch:
        return None
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        flags = [*filter(None, [os.environ.get("PYTENSOR_FLAGS")]), f"base_compiledir={folder}/pytensor"]
        environment = {
            "XDG_CACHE_HOME": folder,
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
            "NUMBA_CACHE_DIR": f"{folder}/numba",
            "PYTENSOR_FLAGS": ",".join(flags),
        }
        return answer_of(column, ("first", 128), environment=environment)


#: name: function of a column, each in new processes.
FRESH = {
    "import, s": import_time,
    "train.py --help, s": help_time,
    "first training step of a process, warm caches, s": lambda column: answer_of(column, ("first", 128)),
    "from nothing to the first step, s": time_to_first_step,
    "peak memory, training at 128, MiB": lambda column: answer_of(column, ("step", 128, 5), ("memory",)),
    "peak memory, training at 512, MiB": lambda column: answer_of(column, ("step", 512, 3), ("memory",)),
    "peak memory, sampling, MiB": lambda column: answer_of(column, ("sampling", 100), ("memory",)),
}
COLD = {"first training step of a process, cold caches, s": cold_compile}


def started(columns, fresh, rounds, bar):
    """As measured, of functions that start processes."""
    numbers: dict = {name: {} for name in fresh}
    for _ in range(rounds):
        for name, function in fresh.items():
            for column in columns:
                bar.set_description(f"{name}: {column.name}")
                value = function(column)
                bar.update()
                if value is not None:
                    numbers[name].setdefault(column.name, []).append(value)
    return numbers


def grown(engines, python, variant, folder, rounds, bar):
    """As measured: training steps along each axis of GROWTH. variant: the name of torch's column, or None."""
    numbers = {}
    for axis, (values, batch) in GROWTH.items():
        for value in values:
            args = "" if axis == "batch" else f"{axis}={value}"
            columns = [own_column(engine, args) for engine in engines]
            if variant:
                case = Path(folder) / "grown.npz"
                exported(engines[0], case, args)
                columns += [c for c in torch_columns(python, case) if c.name == variant]
            measures = {growth_name(axis, value): (("step", batch or value), 1)}
            numbers |= measured(columns, measures, rounds, bar)
    return numbers


def growth_name(axis, value):
    """The name of a training step along an axis."""
    return f"training step, {axis} {value}, s"


def exponents(summary):
    """{"exponent of AXIS": {column: e}}: least squares of log time against log value, time ~ value^e."""
    found: dict = {}
    for axis, (values, _) in GROWTH.items():
        rows = [summary[growth_name(axis, value)] for value in values]
        found[f"exponent of {axis}"] = {
            column: exponent(values, [row[column]["median"] for row in rows])
            for column in rows[0]
            if all(column in row for row in rows)
        }
    return found


def exponent(values, seconds):
    """The slope of log seconds over log values."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def summarized(numbers):
    """{name: {column: {"median", "least", "largest"}}}; an engine's "ratio" is its median over that of torch, and
    "torch" is the fastest of its variants, with its name as "variant"."""
    summary: dict = {}
    for name, columns in numbers.items():
        row = {
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


def table(summary, engines):
    """The lines of a Markdown table: medians (least, largest), and the ratio to torch."""
    has_torch = any("torch" in row for row in summary.values())
    yield f"| | {' | '.join(engines)} | {'torch' if has_torch else 'torch: not installed'} |"
    yield "|" + "---|" * (len(engines) + 2)
    for name, row in summary.items():
        yield f"| {name} | {' | '.join(cell(row.get(column)) for column in (*engines, 'torch'))} |"


def cell(value):
    """One figure as text, three digits of it."""
    if value is None:
        return "-"
    text = f"{value['median']:.3g} ({value['least']:.3g}, {value['largest']:.3g})"
    if "ratio" in value:
        text += f" = {value['ratio']:.2f} torch"
    return f"{text} {value['variant']}" if "variant" in value else text


def machine():
    """What the figures belong to."""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def engine_names(text):
    """The engines of a list with commas, for argparse."""
    names = text.split(",")
    wrong = [name for name in names if name not in ENGINES]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not an engine; accepted: {', '.join(ENGINES)}")
    return names


def arguments_of(arguments):
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = sys.executable if importlib.util.find_spec("torch") else None
    parser.add_argument("--engines", type=engine_names, default=["jax", "numba"], help="default: jax,numba")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-python", default=here, help="an interpreter that has torch (default: this, if it has)")
    parser.add_argument("--quick", action="store_true", help="two rounds, one start, half of torch's variants")
    parser.add_argument("--growth", action="store_true", help="also steps by batch, T, scales, side and hidden units")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    return parser.parse_args(arguments)


def run(options, folder, bar):
    """All numbers: {name: {column: values}}."""
    rounds, starts = (2, 1) if options.quick else (options.rounds, STARTS)
    case, answers = Path(folder) / "case.npz", Path(folder) / "answers.npz"
    own = [own_column(engine) for engine in options.engines]
    torch = torch_columns(options.torch_python, case)
    if options.quick:
        torch = [column for column in torch if "channels last" in column.name]
    if torch:
        size = exported(options.engines[0], case, answers=answers)
        bar.write(f"{machine()}; {size:,} parameters")
        checked(torch, answers)
    numbers = measured(own + torch, MEASURES, rounds, bar)
    variant = summarized({CHOOSES: numbers[CHOOSES]})[CHOOSES].get("torch", {}).get("variant")
    variant = variant and f"torch, {variant}"
    chosen = own + [column for column in torch if column.name == variant]
    numbers |= started(chosen, FRESH, starts, bar)
    if not options.quick:
        numbers |= started(own, COLD, 1, bar)
    if options.growth:
        numbers |= grown(options.engines, options.torch_python, variant, folder, min(rounds, STARTS), bar)
    return numbers


def main(arguments=None):
    """Measure, print, write."""
    options = arguments_of(arguments)
    with tempfile.TemporaryDirectory(prefix="bench") as folder, tqdm(unit="figure", disable=None) as bar:
        numbers = run(options, folder, bar)
    summary = summarized(numbers)
    fitted = exponents(summary) if options.growth else {}
    print(*table(summary, options.engines), sep="\n")
    for name, columns in fitted.items():
        print(f"{name}: " + ", ".join(f"{column} {value:.2f}" for column, value in columns.items()))
    if options.json:
        content = {"machine": machine(), "numbers": summary, "exponents": fitted, "values": numbers}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
