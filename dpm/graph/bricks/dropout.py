"""Dropout on the inputs of all bricks with weights, the masks being inputs of the graph like all other noise."""

from contextlib import contextmanager
from contextvars import ContextVar

import pytensor.tensor as pt

_masks: ContextVar[list | None] = ContextVar("masks", default=None)


@contextmanager
def dropout_masks():
    """Within this block each brick input is multiplied by a new symbolic mask; yields the list of the masks."""
    masks: list = []
    token = _masks.set(masks)
    try:
        yield masks
    finally:
        _masks.reset(token)


def brick_input(x):
    """x, the input of a brick with weights, under the mask of the block of dropout_masks, if there is one."""
    masks = _masks.get()
    if masks is None:
        return x
    mask = pt.tensor(f"mask_{len(masks)}", dtype=x.dtype, shape=x.type.shape)
    masks.append(mask)
    return x * mask


def draw_masks(rng, shapes, rate):
    """Masks that keep an element with probability 1 - rate and divide it by that: a list of float64 arrays."""
    return [(rng.random(shape) >= rate) / (1 - rate) for shape in shapes]
