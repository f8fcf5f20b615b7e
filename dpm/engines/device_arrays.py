"""What calls of a device loop need on the host: their arrays on the device, how many rows, and where to cut."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.loops import CompiledLoop, Keys

MEMORY_SHARE = 0.25  # of the device's memory, for the rows of a batch
NUMBERS_PER_ELEMENT, LEAST_NUMBERS = 1000, 20_000  # that a step computes of an example and may hold at the same time
MOST_ROWS = 10_000  # more fill no accelerator better
SECONDS_PER_CALL = 0.5  # so that a bar moves at least once a second
LARGEST_GROWTH = 8  # of a call's steps: a first call is slower than the next ones


class LoopArrays:
    """Arrays of a device loop, from one call to the next.

    Args:
        engine: moves them.
        carried, constants, sequences: values of the inputs of dpm.engines.loops.Step, numpy arrays of the engine's type
            or arrays on the device.
        keys: what the drawn numbers depend on, numpy arrays.
    """

    def __init__(
        self, engine: Engine, carried: Sequence[Any], constants: Sequence[Any], sequences: Sequence[Any], keys: Keys
    ) -> None:
        self.engine = engine
        self.carried, self.constants, self.sequences = (
            [engine.to_device(array) for array in arrays] for arrays in (carried, constants, sequences)
        )
        self.keys = Keys(*(engine.to_device(array) for array in keys))

    def run(self, loop: CompiledLoop, begin: int, end: int) -> list[Any]:
        """Run the steps begin to end - 1, and return the outputs, on the device."""
        bounds = [self.engine.to_device(np.array(number, np.int32)) for number in (begin, end)]
        self.carried, outputs = loop(self.carried, self.constants, self.sequences, self.keys, *bounds)
        return outputs

    def fetch(self, number: int = 0) -> np.ndarray:
        """Return a copy of a carried value as a numpy array; the next call overwrites the device array."""
        return np.array(self.engine.to_host(self.carried[number]))


def make_keys(words: np.ndarray, positions: Sequence[int], examples: Sequence[int]) -> Keys:
    """Return keys of steps at these positions for rows that are these examples, all of them real ones."""
    counts = np.full(len(positions), len(examples), np.int32)
    return Keys(words, np.asarray(positions, np.int32), np.asarray(examples, np.int32), counts)


def choose_rows(compiled: CompiledModel, n: int, on_host: int) -> int:
    """Return how many of n examples a loop without gradients computes at once: equal batches that memory has room for.

    An example is taken to need NUMBERS_PER_ELEMENT numbers for each of its elements. XLA plans 27 to 40 for the
    released networks of digits and CIFAR-10 on a CPU; convolutions on a GPU may need working memory besides.

    Args:
        compiled: model and engine.
        n: number of examples, 1 or more.
        on_host: the largest number where noise comes from the host, or the memory is the host's.
    """
    memory = compiled.engine.memory if compiled.engine.noise == "device" else None
    most = on_host
    if memory is not None:
        numbers = max(LEAST_NUMBERS, NUMBERS_PER_ELEMENT * int(np.prod(compiled.model.example_shape)))
        size = numbers * np.dtype(compiled.engine.dtype).itemsize
        most = int(np.clip(MEMORY_SHARE * memory // size, 1, MOST_ROWS))
    return min(n, most) if memory is None else math.ceil(n / math.ceil(n / most))


def cut_by_time(n: int) -> Iterator[tuple[int, int]]:
    """Yield the first step of a call and the one after its last, so that a call takes about SECONDS_PER_CALL.

    The time between two yields is the duration of a call. Calls grow by a factor of LARGEST_GROWTH at most.
    """
    begin, steps = 0, 1
    while begin < n:
        end, started = min(n, begin + steps), time.monotonic()
        yield begin, end
        seconds = max(time.monotonic() - started, 1e-9)
        fitting = int(SECONDS_PER_CALL * (end - begin) / seconds)
        begin, steps = end, max(1, min(fitting, LARGEST_GROWTH * steps))
