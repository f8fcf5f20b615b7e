"""Compare the speed of this checkout with that of another one, for example of an earlier commit.

python -m benchmarks.versions CHECKOUT [--engine jax] [--rounds 7] [--model-args n_scales=3]

CHECKOUT is a folder with a clone of the repository and its .venv (`make .venv/test` there). Both checkouts work
in alternation, round by round, so that other load on the machine affects both alike. Printed are the medians, and the
median of the rounds' ratios with their quartiles.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.bench import ENGINES, describe_machine, time_command
from benchmarks.worker import ROOT, Worker
from dpm.base.progress import Progress

STEPS = 20  # of a round


class Checkout(NamedTuple):
    """Folder with a clone, and what it computes."""

    root: Path
    engine: str
    model_args: str

    @property
    def python(self) -> str:
        """Interpreter of the checkout."""
        return str(self.root / ".venv/bin/python")

    def worker(self) -> Worker:
        """Start a worker that computes training steps."""
        command = [self.python, "-m", "benchmarks.peer_dpm", self.engine, f"--model-args={self.model_args}"]
        return Worker(self.root.name, command, root=self.root)


def time_help(checkout: Checkout) -> float:
    """Time `train.py --help`."""
    return time_command([checkout.python, "train.py", "--help"], root=checkout.root)


def time_start(checkout: Checkout) -> float:
    """Time `train.py` from its start to the line before the first step, when the step has been compiled."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        flags = ["--backend", checkout.engine, "--batch-size", "128", "--output-dir", folder]
        if checkout.model_args:
            flags += ["--model-args", checkout.model_args]
        return time_command([checkout.python, "train.py", *flags], until="folder", root=checkout.root)


def time_first_step(checkout: Checkout) -> float:
    """Time the first training step of a process, which compiles it or loads it from the cache."""
    with checkout.worker() as worker:
        seconds: float = worker.ask("first", 128)
        return seconds


#: name: function of a checkout that starts a process
STARTS: dict[str, Callable[[Checkout], float]] = {
    "train.py --help, s": time_help,
    "from the command to the first step, s": time_start,
    "first training step of a process, warm caches, s": time_first_step,
}


def measure(checkouts: Sequence[Checkout], rounds: int) -> dict[str, np.ndarray]:
    """Return {name: seconds, (rounds, checkouts)}; a first round, which does not count, fills the caches."""
    step = f"training step, batch 128, mean of {STEPS}, s"
    numbers: dict[str, list[list[float]]] = {name: [] for name in (*STARTS, step)}
    with ExitStack() as stack:
        workers = [stack.enter_context(checkout.worker()) for checkout in checkouts]
        for round_ in Progress(range(-1, rounds), unit="round", desc="benchmark"):
            # The order is reversed in every second round, since the first of two can leave the processor hotter.
            order = [0, 1] if round_ % 2 else [1, 0]
            for name, values in numbers.items():
                function = STARTS.get(name)
                found = {i: function(checkouts[i]) if function else workers[i].ask("step", 128, STEPS) for i in order}
                if round_ >= 0:
                    values.append([found[0], found[1]])
    return {name: np.array(values) for name, values in numbers.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="the other checkout, with its .venv")
    parser.add_argument("--engine", choices=ENGINES, default="jax")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model-args", default="", help="as for train.py")
    options = parser.parse_args()
    roots = ROOT, options.checkout.resolve()
    for root in roots:
        if not (root / ".venv/bin/python").is_file():
            parser.error(f"{root}: it has no .venv/bin/python; run `make .venv/test` there")
    checkouts = [Checkout(root, options.engine, options.model_args) for root in roots]
    numbers = measure(checkouts, options.rounds)
    print(f"{time.strftime('%Y-%m-%d')}, {describe_machine()}, {options.engine}, {options.rounds} rounds")
    print("| | this | other | this / other: median (quartiles) |\n|---|---|---|---|")
    for name, seconds in numbers.items():
        low, middle, high = np.quantile(seconds[:, 0] / seconds[:, 1], [0.25, 0.5, 0.75])
        this, other = np.median(seconds, axis=0)
        print(f"| {name} | {this:.3g} | {other:.3g} | {middle:.3f} ({low:.3f}, {high:.3f}) |")


if __name__ == "__main__":
    main()
