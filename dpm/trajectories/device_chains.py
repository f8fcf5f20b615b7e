"""Reverse chains that stay on the device: a call covers the steps between two states that the host wants."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeGuard

import numpy as np

from dpm.base.noise import SAMPLING, ExampleNoise, device_key
from dpm.engines.builders import Builder
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import LoopArrays, make_keys
from dpm.engines.inputs import Input, StepInputs
from dpm.engines.microbatches import pad_rows

STEPS_PER_CALL = 50  # at most where the host wants states, so that a progress bar moves

Notify = Callable[[int, np.ndarray], object]


class Chain(NamedTuple):
    """A reverse chain from x_T on, as graphs and their values.

    Both builders take (X, *more, *constants, *sequences, N) and return the new X, and the new value of each of `more`.
    At the start these have no meaning. All inputs are by example. For a t that all examples share as one number, XLA
    (jaxlib 0.7.2 to 0.10.1) sums the rates of some examples on a CPU wrongly.

    Attributes:
        start: builder of x_T, or the array at which the chain starts.
        step: builder of a step.
        numbers: numbers under which the states are reported: T for x_T, then one for each step, the last one 0.
        constants: arrays by example by their names, (n, ...).
        sequences: numbers at the start and at each step by their names, (len(numbers),).
        more: names of what a step returns besides X, one number for each example.
    """

    start: Builder | np.ndarray
    step: Builder
    numbers: Sequence[int]
    constants: Mapping[str, np.ndarray]
    sequences: Mapping[str, np.ndarray]
    more: tuple[str, ...] = ()


class Run:
    """A chain that is compiled, with its arrays on the device.

    The noise that makes x_t of an example depends on the seed, t and the example's number only.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        chain: graphs and values.
        noise: its seed and the numbers of its examples; its own draws are not used.
        rows: number of examples that the loop is compiled for, noise.n or more; rounded up for several devices.
    """

    def __init__(
        self, compiled: CompiledModel, theta: np.ndarray, chain: Chain, noise: ExampleNoise, rows: int
    ) -> None:
        self.engine, self.n = compiled.engine, noise.n
        self.rows = rows = compiled.engine.peers.round_up(rows)
        shape, capacity = (rows, *compiled.model.example_shape), len(chain.numbers)
        inputs = StepInputs(
            (Input("X", shape), *(Input(name, (rows,)) for name in chain.more)),
            tuple(Input(name, (rows, *array.shape[1:])) for name, array in chain.constants.items()),
            tuple(Input(name, (rows,)) for name in chain.sequences),
            ((Input("N", shape), noise.kind),),
        )
        asarray, T = self.engine.asarray, chain.numbers[0]
        start = None if callable(chain.start) else pad_rows(asarray(chain.start), rows)
        self.arrays = LoopArrays(
            self.engine,
            inputs,
            theta,
            [asarray(np.zeros(place.shape)) if start is None else start for place in inputs.carried],
            [pad_rows(asarray(array), rows) for array in chain.constants.values()],
            [np.repeat(asarray(values)[:, None], rows, axis=1) for values in chain.sequences.values()],
            make_keys(
                device_key(noise.seed, SAMPLING), range(T, T - capacity, -1), range(noise.first, noise.first + rows)
            ),
        )
        self._start = compiled.loop(chain.start, inputs, capacity) if callable(chain.start) else None
        self._step = compiled.loop(chain.step, inputs, capacity)

    def advance(self, begin: int, end: int) -> None:
        """Compute the states begin to end - 1, of which number 0 is x_T."""
        if begin == 0:
            if self._start:
                self.arrays.run(self._start, 0, 1)
            begin = 1
        if begin < end:
            self.arrays.run(self._step, begin, end)

    def fetch(self, number: int = 0) -> np.ndarray:
        """Return the state, or with a number above 0 one of `Chain.more`, (n, ...)."""
        return self.arrays.fetch(number)[: self.n]

    def replace(self, X: np.ndarray) -> None:
        """Put other examples, (n, ...), in the place of the state."""
        self.arrays.replace(0, pad_rows(X, self.rows))


def is_on_device(noise: object, compiled: CompiledModel) -> TypeGuard[ExampleNoise]:
    """Return True where a chain with this noise stays on the device: the engine draws there what ExampleNoise names."""
    return compiled.engine.noise == "device" and isinstance(noise, ExampleNoise)


def run_chain(
    compiled: CompiledModel,
    theta: np.ndarray,
    chain: Chain,
    noise: ExampleNoise,
    callback: Notify | None = None,
    times: Collection[int] | None = None,
    rows: int | None = None,
) -> np.ndarray:
    """Return the last state of a chain, (n, ...).

    Args:
        compiled, theta, chain, noise: as in Run.
        callback: called as callback(number, X).
        times: numbers for which it is called at least; None for all.
        rows: as in Run; noise.n if None.
    """
    run, begin = Run(compiled, theta, chain, noise, rows or noise.n), 0
    notify, X = callback or (lambda t, X: None), np.empty(0)
    for last in _cuts(chain.numbers, times if callback else ()):
        run.advance(begin, last + 1)
        X, begin = run.fetch(), last + 1
        notify(chain.numbers[last], X)
    return X


def _cuts(numbers: Sequence[int], times: Collection[int] | None) -> list[int]:
    """Return the indices of the states to fetch, the last one included."""
    final = len(numbers) - 1
    if times is None:
        return list(range(len(numbers)))
    wanted = {i for i, number in enumerate(numbers) if number in times}
    return sorted(wanted | {final} | (set(range(0, final, STEPS_PER_CALL)) if times else set()))
