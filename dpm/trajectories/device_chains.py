"""Reverse chains that stay on the device: a call covers the steps between two states that the host wants."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeGuard

import numpy as np

from dpm.base.noise import SAMPLING, ExampleNoise, device_key
from dpm.engines.builders import Builder
from dpm.engines.compiled import CompiledModel
from dpm.engines.device_arrays import LoopArrays, make_keys, pad_rows
from dpm.engines.inputs import Input, StepInputs

STEPS_PER_CALL = 50  # at most where the host wants states, so that a progress bar moves

Notify = Callable[[int, np.ndarray], object]


class Chain(NamedTuple):
    """A reverse chain from x_T on, as graphs and their values.

    Both builders take (X, *constants, *sequences, N) and return the new X; at the start X has no meaning.

    Attributes:
        start: builder of x_T, or the array at which the chain starts.
        step: builder of a step.
        numbers: numbers under which the states are reported: T for x_T, then one for each step, the last one 0.
        constants: arrays by example by their names, (n, ...).
        sequences: numbers at the start and at each step by their names, (len(numbers),).
    """

    start: Builder | np.ndarray
    step: Builder
    numbers: Sequence[int]
    constants: Mapping[str, np.ndarray]
    sequences: Mapping[str, np.ndarray]


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

    The noise that makes x_t of an example depends on the seed, t and the example's number only.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        chain: graphs and values.
        noise: its seed and the numbers of its examples; its own draws are not used.
        callback: called as callback(number, X).
        times: numbers for which it is called at least; None for all.
        rows: number of examples that the loop is compiled for; those after the n-th are not returned.
    """
    engine, rows, capacity = compiled.engine, rows or noise.n, len(chain.numbers)
    shape = (rows, *compiled.model.example_shape)
    inputs = StepInputs(
        (Input("X", shape),),
        tuple(Input(name, (rows, *array.shape[1:])) for name, array in chain.constants.items()),
        tuple(Input(name, ()) for name in chain.sequences),
        ((Input("N", shape), noise.kind),),
    )
    words, T = device_key(noise.seed, SAMPLING), chain.numbers[0]
    given = isinstance(chain.start, np.ndarray)
    arrays = LoopArrays(
        engine,
        [pad_rows(engine.asarray(chain.start), rows) if given else np.zeros(shape, engine.dtype)],
        [theta, *(pad_rows(engine.asarray(array), rows) for array in chain.constants.values())],
        [engine.asarray(values) for values in chain.sequences.values()],
        make_keys(words, range(T, T - capacity, -1), range(noise.first, noise.first + rows)),
    )
    loop = compiled.loop(chain.step, inputs, capacity)
    if not isinstance(chain.start, np.ndarray):
        arrays.run(compiled.loop(chain.start, inputs, capacity), 0, 1)
    notify, X = callback or (lambda t, X: None), np.empty(0)
    begin = 1
    for last in _cuts(chain.numbers, times if callback else ()):
        if last:
            arrays.run(loop, begin, last + 1)
        X = arrays.fetch()[0][: noise.n]
        notify(chain.numbers[last], X)
        begin = last + 1
    return X


def _cuts(numbers: Sequence[int], times: Collection[int] | None) -> list[int]:
    """Return the indices of the states to fetch, the last one included."""
    final = len(numbers) - 1
    if times is None:
        return list(range(len(numbers)))
    wanted = {i for i, number in enumerate(numbers) if number in times}
    return sorted(wanted | {final} | (set(range(0, final, STEPS_PER_CALL)) if times else set()))
