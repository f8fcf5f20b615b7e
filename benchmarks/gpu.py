"""Compare and time the program on an accelerator, with everything on the device; print a table, write JSON.

python -m benchmarks.gpu [--rounds 3] [--torch-python PATH] [--quick] [--json FILE]

Where JAX has no accelerator its CPU backend computes, and a line says so. First the device's cost and gradient are
compared with the host path in float64 on the CPU, and torch with this program. Then the programs, each in a process of
its own, run in alternation (benchmarks/worker.py). --quick runs everything once at small sizes.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.bench import Column, check_torch, describe_machine, empty_caches, export_case, measure, summarize
from dpm.base.progress import Progress

DEVICE = (sys.executable, "-m", "benchmarks.peer_device")
OWN = "dpm"
LARGEST_DIFFERENCE = 1e-3  # of the cost and the gradient in float32 from those in float64, as a share
CIFAR10 = "training step, cifar10's network"


class Sizes(NamedTuple):
    """What is measured.

    Attributes:
        batches: batch sizes of the default model.
        cifar10: batch size of cifar10's network; None for no measurement of it.
        epochs: epochs of training in one measurement.
        examples: number of training examples.
        digits: number of digits whose K is computed over every t.
        samples: number of samples.
    """

    batches: tuple[int, ...]
    cifar10: int | None
    epochs: int
    examples: int
    digits: int
    samples: int


FULL = Sizes((128, 512), 200, 5, 4000, 1000, 10_000)
QUICK = Sizes((32,), None, 1, 64, 2, 2)


def own_column(*more: str) -> Column:
    """Return the column of this program with everything on the device; more: options of the worker."""
    precision = [text.partition("=")[2] for text in more if text.startswith("--precision")]
    return Column(" ".join([OWN, *precision]), (*DEVICE, *more))


def reference_column(*more: str) -> Column:
    """Return the column of the host path in double precision, whose worker needs JAX_PLATFORMS=cpu."""
    return Column("host, float64", (*DEVICE, "--noise=host", "--dtype=float64", *more))


def torch_columns(python: str | None, case: Path, quick: bool) -> list[Column]:
    """Return torch, eager and compiled, on an exported case and on the device it finds; none without an interpreter."""
    command = (str(python), "-m", "benchmarks.peer_torch", str(case), "--device=auto")
    columns = [Column("torch, eager", command), Column("torch, compiled", (*command, "--compile"))]
    return [] if python is None else columns[: 1 if quick else 2]


def measures_of(sizes: Sizes) -> dict[str, tuple[tuple[object, ...], int]]:
    """Return the questions to the workers of the default model, by the names of their answers."""
    more = sizes.epochs, sizes.examples
    steps = {f"training step, batch {n}, s": (("device_step", n, *more), 1) for n in sizes.batches}
    return {
        **steps,
        f"K of {sizes.digits:,} digits at every t, s": (("K_all", sizes.digits), 1),
        f"{sizes.samples:,} samples of 1,000 steps, s": (("samples", sizes.samples), 1),
    }


def compare_host(folder: Path, *more: str) -> dict[str, float]:
    """Return how far cost and gradient of the device are from the host's in float64, as shares.

    Raises:
        SystemExit: they do not compute the same function.
    """
    path = folder / "outputs.npz"
    with own_column(*more).worker() as worker:
        worker.ask("outputs", path)
    with reference_column(*more).worker({"JAX_PLATFORMS": "cpu"}) as worker:
        found: dict[str, float] = worker.ask("compare", path)
    print(f"device and host, float64: the cost differs by {found['cost']:.0e}, the gradient by {found['gradient']:.0e}")
    if not max(found.values()) < LARGEST_DIFFERENCE:
        raise SystemExit("the device does not compute what the host computes")
    return found


def compare_precisions(folder: Path, digits: int) -> dict[str, dict[str, float]]:
    """Return how far gradient and K with rounded factors are from those in float32, by precision."""
    outputs, K = {}, {}
    for name in ("float32", "tf32", "bf16"):
        path = folder / f"{name}.npz"
        with own_column(f"--precision={name}").worker() as worker:
            worker.ask("outputs", path)
            K[name] = worker.ask("K_value", digits)
        with np.load(path, allow_pickle=False) as file:
            outputs[name] = file["gradient"]
    whole = outputs["float32"]
    return {
        name: {
            "gradient": float(np.linalg.norm(outputs[name] - whole) / np.linalg.norm(whole)),
            "K": abs(K[name] / K["float32"] - 1),
        }
        for name in ("tf32", "bf16")
    }


def time_cold_start(column: Column, size: int) -> float:
    """Time from starting a process to its first training step of this batch size, with empty caches."""
    with empty_caches() as environment:
        begin = time.perf_counter()
        with column.worker(environment) as worker:
            worker.ask("first", size)
            return time.perf_counter() - begin


def format_table(summary: Mapping[str, Mapping[str, Mapping[str, float]]], names: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a Markdown table: medians (least, largest), and this program's ratio to each torch."""
    yield f"| | {' | '.join(names)} |"
    yield "|" + "---|" * (len(names) + 1)
    for name, row in summary.items():
        cells = []
        for column in names:
            if column not in row:
                cells.append("-")
                continue
            text = "{median:.3g} ({least:.3g}, {largest:.3g})".format(**row[column])
            if column != OWN and OWN in row:
                text += f", dpm takes {row[OWN]['median'] / row[column]['median']:.2f} of it"
            cells.append(text)
        yield f"| {name} | {' | '.join(cells)} |"


def run(options: argparse.Namespace, folder: Path, bar: Any) -> dict[str, Any]:
    """Compare and measure everything that the options ask for; return it as JSON can hold it."""
    sizes, rounds = (QUICK, 1) if options.quick else (FULL, options.rounds)
    own, case, answers = own_column(), folder / "case.npz", folder / "answers.npz"
    with own.worker() as worker:
        facts = worker.ask("facts")
    print(f"{describe_machine()}; {facts['device']}; {facts['size']:,} parameters")
    if facts["cpu"]:
        print("JAX has no accelerator here: these are figures of its CPU backend, which say nothing about one")
    found: dict[str, Any] = {"facts": facts, "host": compare_host(folder)}
    torch = torch_columns(options.torch_python, case, options.quick)
    if torch:
        export_case("jax", case, answers=answers)
        check_torch(torch, answers)
    else:
        print("torch: not installed; --torch-python PATH names an interpreter that has it")
    columns = [own, *torch]
    numbers = measure(columns, measures_of(sizes), rounds, bar)
    if sizes.cifar10:
        numbers |= measure_cifar10(options, folder, sizes, rounds, bar)
    starts = {column.name: [time_cold_start(column, sizes.batches[0])] for column in columns}
    numbers["from the start to the first step, cold caches, s"] = starts
    with own.worker() as worker:
        found["traffic"] = worker.ask("step_traffic", sizes.batches[0], sizes.examples)
    if not facts["cpu"]:
        found["precision"] = compare_precisions(folder, sizes.digits)
    return found | {"numbers": numbers, "columns": [column.name for column in columns]}


def measure_cifar10(
    options: argparse.Namespace, folder: Path, sizes: Sizes, rounds: int, bar: Any
) -> dict[str, dict[str, list[float]]]:
    """Measure a training step of cifar10's network."""
    from dpm.experiments.named import EXPERIMENTS

    arguments = EXPERIMENTS["cifar10"].model_args | {"spatial_width": 32, "n_colors": 3}
    case = folder / "cifar10.npz"
    torch = torch_columns(options.torch_python, case, options.quick)
    if torch:
        export_case("jax", case, ",".join(f"{name}={value!r}" for name, value in arguments.items()))
    name = f"{CIFAR10}, batch {sizes.cifar10}, s"
    question: tuple[object, ...] = ("device_step", sizes.cifar10, sizes.epochs, sizes.examples)
    return measure([own_column("--experiment=cifar10"), *torch], {name: (question, 1)}, rounds, bar)


def report(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the result."""
    yield from format_table(summarize(found["numbers"]), found["columns"])
    traffic = found["traffic"]
    yield (
        f"a training step sends {traffic['sent']:,.0f} bytes and fetches {traffic['fetched']:,.0f}; "
        f"functions compiled for it: {traffic['functions']}"
    )
    if "precision" not in found:
        yield "--precision tf32 and bf16: not measured, as a CPU multiplies whole float32 numbers"
    for name, change in found.get("precision", {}).items():
        yield f"--precision {name}: the gradient changes by {change['gradient']:.1e} of it, K by {change['K']:.1e}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = sys.executable if importlib.util.find_spec("torch") else None
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch-python", default=here, help="an interpreter that has torch (default: this, if it has)")
    parser.add_argument("--quick", action="store_true", help="one round at small sizes, some minutes on a CPU")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench") as folder, Progress(unit="figure", desc="benchmark") as bar:
        found = run(options, Path(folder), bar)
    print(*report(found), sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
