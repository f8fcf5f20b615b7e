"""What calls of a device loop need on the host: their arrays on the device, how many rows, and where to cut."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.inputs import Input, StepInputs
from dpm.engines.loops import CompiledLoop, Keys
from dpm.engines.peers import Peers

MEMORY_SHARE = 0.25  # of the device's memory, for the rows of a batch
NUMBERS_PER_ELEMENT, LEAST_NUMBERS = 1000, 20_000  # that a step computes of an example and may hold at the same time
MOST_ROWS = 10_000  # more fill no accelerator better
SECONDS_PER_CALL = 0.5  # so that a bar moves at least once a second
LARGEST_GROWTH = 8  # of a call's steps: a first call is slower than the next ones


class LoopArrays:
    """Arrays of a device loop, from one call to the next.

    Args:
        engine: moves them.
        inputs: the inputs of the loop, of which `carried`, `constants` and `sequences` are the values.
        theta: flat parameters.
        carried, constants, sequences: numpy arrays of the engine's type, or arrays on the device.
        keys: what the drawn numbers depend on, numpy arrays.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: StepInputs,
        theta: Any,
        carried: Sequence[Any],
        constants: Sequence[Any],
        sequences: Sequence[Any],
        keys: Keys,
    ) -> None:
        self.engine, self.inputs = engine, inputs
        self.carried = self._place(inputs.carried, carried)
        self.constants = [place(engine, theta), *self._place(inputs.constants, constants)]
        self.sequences = self._place(inputs.sequences, sequences, axis=1)
        self.keys = place_keys(engine, keys)

    def _place(self, inputs: Sequence[Input], arrays: Sequence[Any], axis: int = 0) -> list[Any]:
        """Return arrays on the device, the rows along `axis` divided among several ones."""
        axes = (axis if self.inputs.is_by_row(given) else None for given in inputs)
        return [place(self.engine, array, axis) for array, axis in zip(arrays, axes, strict=True)]

    def replace(self, number: int, array: np.ndarray) -> None:
        """Put another value in the place of a carried one."""
        (self.carried[number],) = self._place(self.inputs.carried[number : number + 1], [array])

    def run(self, loop: CompiledLoop, begin: int, end: int) -> list[Any]:
        """Run the steps begin to end - 1, and return the outputs, on the device."""
        self.carried, outputs = loop(self.carried, self.constants, self.sequences, self.keys, begin, end)
        return outputs

    def fetch(self, number: int = 0) -> np.ndarray:
        """Return a copy of a carried value as a numpy array; the next call overwrites the device array."""
        return np.array(self.engine.to_host(self.carried[number]))


def place(engine: Engine, array: Any, axis: int | None = None) -> Any:
    """Return an array on the device.

    Args:
        engine: moves it.
        array: the whole array; one that is on the device already is returned as it is.
        axis: of the rows, which several devices divide; None where each of them needs the whole array.
    """
    if not isinstance(array, np.ndarray):
        return array
    if axis is not None:
        array = array[(slice(None),) * axis + (engine.peers.own_rows(array.shape[axis]),)]
    return engine.place(array, axis)


def place_keys(engine: Engine, keys: Keys) -> Keys:
    """Return keys on the device, each example's on the one that has its row."""
    return Keys(*(place(engine, array, axis) for array, axis in zip(keys, (None, None, 0, None), strict=True)))


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


def cut_by_time(n: int, peers: Peers) -> Iterator[tuple[int, int]]:
    """Yield the first step of a call and the one after its last, so that a call takes about SECONDS_PER_CALL.

    The time between two yields is the duration of a call, by the clock of the first process. Calls grow by a factor of
    LARGEST_GROWTH at most.
    """
    begin, steps = 0, 1
    while begin < n:
        end, started = min(n, begin + steps), time.monotonic()
        yield begin, end
        seconds = max(peers.gather(np.array([time.monotonic() - started]))[0, 0], 1e-9)
        fitting = int(SECONDS_PER_CALL * (end - begin) / seconds)
        begin, steps = end, max(1, min(fitting, LARGEST_GROWTH * steps))
