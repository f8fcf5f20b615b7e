"""Dropout on the inputs of all bricks with weights. The masks are inputs of the graph, like all other noise."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray

from dpm.graph import Tensor

_masks: ContextVar[list[Tensor] | None] = ContextVar("masks", default=None)


@contextmanager
def dropout_masks() -> Iterator[list[Tensor]]:
    """Within this block, multiply each brick input by a new symbolic mask; yield the list of these masks."""
    masks: list[Tensor] = []
    token = _masks.set(masks)
    try:
        yield masks
    finally:
        _masks.reset(token)


def brick_input(x: Tensor) -> Tensor:
    """Return x, the input of a brick with weights, times a mask within a block of dropout_masks."""
    masks = _masks.get()
    if masks is None:
        return x
    mask = pt.tensor(f"mask_{len(masks)}", dtype=x.dtype, shape=x.type.shape)
    masks.append(mask)
    return x * mask


def draw_masks(rng: np.random.Generator, shapes: Iterable[tuple[int, ...]], rate: float) -> list[NDArray[np.float64]]:
    """Draw float64 masks that keep an element with probability 1 - rate and divide it by that.

    Args:
        rng: numpy Generator.
        shapes: shape of each mask.
        rate: probability of dropping an element, in [0, 1).
    """
    return [(rng.random(shape) >= rate) / (1 - rate) for shape in shapes]
