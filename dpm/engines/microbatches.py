"""Microbatches: compute a minibatch a few examples at a time, and put the parts together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dpm.engines.engine import Engine

WEIGHTS = 4  # index of the weights among the arrays of an objective: X, t, N, U, weights, more

Arrays = Sequence[np.ndarray]
#: (theta, *arrays by example) -> arrays by example
Function = Callable[..., list[np.ndarray]]
#: (theta, X, t, N, U, weights, *more arrays by example) -> cost, flat gradient
Objective = Callable[..., tuple[np.floating, np.ndarray]]
#: the same -> cost, flat gradient, arrays by example
ObjectiveWithTerms = Callable[..., tuple[Any, ...]]


def pad_rows(array: np.ndarray, rows: int) -> np.ndarray:
    """Return an array by example, (n, ...), with its last row repeated up to this number of rows."""
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)]) if len(array) < rows else array


def split_microbatches(arrays: Arrays, size: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield (count, parts): the arrays by example, `size` examples at a time, of which `count` are real.

    A compiled function has a fixed batch size, so the last parts are filled up with copies of the last example.
    """
    n = len(arrays[0])
    for start in range(0, n, size):
        count = min(size, n - start)
        yield count, [pad_rows(a[start : start + size], size) for a in arrays]


def map_microbatches(
    engine: Engine, function: Function, theta: np.ndarray, arrays: Arrays, size: int
) -> list[np.ndarray]:
    """Return the outputs of a compiled function for any number of examples.

    Args:
        engine: computes several microbatches at the same time.
        function: (theta, *arrays) -> list of arrays by example, compiled for `size` examples.
        theta: flat parameters.
        arrays: inputs by example, each (n, ...).
        size: number of examples in a microbatch.

    Returns:
        The outputs, each (n, ...).
    """
    theta_on_device = engine.to_device(theta)

    def compute(microbatch: tuple[int, list[np.ndarray]]) -> list[np.ndarray]:
        count, parts = microbatch
        return [a[:count] for a in function(theta_on_device, *parts)]

    results = engine.map(compute, split_microbatches(arrays, size))
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def average(sums: ObjectiveWithTerms) -> Objective:
    """Return the objective of any number of examples, from the weighted sums over them.

    Args:
        sums: (theta, X, t, N, U, weights, *more arrays by example) -> cost, gradient, as of `sum_microbatches`.

    Returns:
        A function of the same arguments that returns the weighted means. Its weights need not sum to 1.
    """

    def objective(theta: np.ndarray, *arrays: np.ndarray) -> tuple[np.floating, np.ndarray]:
        weights = arrays[WEIGHTS]
        total = float(weights.sum())
        if total <= 0:
            raise ValueError(f"weights: got a sum of {total}; expected at least one weight above 0")
        scaled = weights / weights.dtype.type(total)
        cost, gradient = sums(theta, *arrays[:WEIGHTS], scaled, *arrays[WEIGHTS + 1 :])
        return cost, gradient

    return objective


def sum_microbatches(engine: Engine, function: Function, size: int) -> ObjectiveWithTerms:
    """Return the sums over any number of examples, from those over `size` examples (gradient accumulation).

    Args:
        engine: computes several microbatches at the same time.
        function: (theta, X, t, N, U, weights, *more arrays by example) -> [cost, gradient, *arrays by example], of
            which cost and gradient are sums over the examples with these weights, compiled for `size` examples.
        size: number of examples in a microbatch.

    Returns:
        A function of the same arguments and results for any number of examples.
    """

    def compute_sums(theta: np.ndarray, *arrays: np.ndarray) -> tuple[Any, ...]:
        theta_on_device = engine.to_device(theta)

        def compute(microbatch: tuple[int, list[np.ndarray]]) -> list[np.ndarray]:
            return sum_microbatch(function, theta_on_device, *microbatch)

        return add_up(theta, engine.map(compute, split_microbatches(arrays, size)))

    return compute_sums


def sum_microbatch(function: Function, theta: Any, count: int, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Return the sums over a microbatch of `count` real examples, as those of `sum_microbatches`."""
    parts[WEIGHTS][count:] = 0  # the arrays of a partial microbatch are copies
    cost, gradient, *by_example = function(theta, *parts)
    return [cost, gradient, *(a[:count] for a in by_example)]


def add_up(theta: np.ndarray, results: Iterator[list[np.ndarray]]) -> tuple[Any, ...]:
    """Return the sums over all examples from those over microbatches.

    The gradients are added in the order of the microbatches, so the bits do not depend on who computed them.
    """
    cost, gradient, *by_example = next(results)
    gathered = [by_example]
    cost_sum, writable = float(cost), False  # the first gradient is the engine's array, a sum of two is ours
    for cost, part, *by_example in results:
        cost_sum += float(cost)
        gradient = np.add(gradient, part, out=gradient if writable else None)
        writable = True
        gathered.append(by_example)
    return theta.dtype.type(cost_sum), gradient, *(np.concatenate(a) for a in zip(*gathered, strict=True))
