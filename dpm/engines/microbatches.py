"""Microbatches: compute a minibatch a few examples at a time, and put the parts together."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dpm.engines.engine import Engine

WEIGHTS = 4  # index of the weights among the arrays of an objective: X, t, N, U, weights, more

Arrays = Sequence[np.ndarray]
#: (theta, *arrays by example) -> arrays by example
Function = Callable[..., list[np.ndarray]]
#: (theta, X, t, N, U, weights, *more arrays by example) -> cost, flat gradient
Objective = Callable[..., tuple[np.floating, np.ndarray]]


def split_microbatches(arrays: Arrays, size: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield (count, parts): the arrays by example, `size` examples at a time, of which `count` are real.

    A compiled function has a fixed batch size, so the last parts are filled up with copies of the last example.
    """
    n = len(arrays[0])
    for start in range(0, n, size):
        count = min(size, n - start)
        parts = [a[start : start + size] for a in arrays]
        if count < size:
            parts = [np.concatenate([p, np.repeat(p[-1:], size - count, axis=0)]) for p in parts]
        yield count, parts


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


def accumulate_microbatches(engine: Engine, function: Function, size: int) -> Objective:
    """Return the objective of any number of examples, from that of `size` examples, by gradient accumulation.

    Args:
        engine: computes several microbatches at the same time.
        function: (theta, X, t, N, U, weights, *more arrays by example) -> [cost, gradient], sums over the examples
            with these weights, compiled for `size` examples.
        size: number of examples in a microbatch.

    Returns:
        A function of the same arguments that returns the weighted means. Its weights need not sum to 1. The gradients
        are added in the order of the microbatches, so the bits do not depend on the threads.
    """

    def objective(theta: np.ndarray, *arrays: np.ndarray) -> tuple[np.floating, np.ndarray]:
        total = float(arrays[WEIGHTS].sum())
        if total <= 0:
            raise ValueError(f"weights: got a sum of {total}; expected at least one weight above 0")
        theta_on_device = engine.to_device(theta)

        def compute(microbatch: tuple[int, list[np.ndarray]]) -> list[np.ndarray]:
            count, parts = microbatch
            parts[WEIGHTS] = parts[WEIGHTS] / parts[WEIGHTS].dtype.type(total)
            parts[WEIGHTS][count:] = 0
            return function(theta_on_device, *parts)

        results = engine.map(compute, split_microbatches(arrays, size))
        cost, gradient = next(results)
        cost_sum, writable = float(cost), False  # the first gradient is the engine's array, a sum of two is ours
        for cost, part in results:
            cost_sum += float(cost)
            gradient = np.add(gradient, part, out=gradient if writable else None)
            writable = True
        return theta.dtype.type(cost_sum), gradient

    return objective
