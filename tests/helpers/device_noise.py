"""The numbers that JAX draws on the device, as numpy arrays, and models on an engine that draws them."""

import jax
import numpy as np
import pytensor.tensor as pt

from dpm.base import noise
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.jax.noise import draw_all, step_keys
from dpm.engines.loops import Draw


def on_device(compiled):
    """The same model on JAX with noise from the device, which is the CPU here."""
    return CompiledModel(compiled.model, Engine("jax", compiled.engine.dtype, noise="device"), compiled.layout)


def draw(words, position, examples, draws, count=None, group=None, dtype="float64"):
    """The numbers of one step.

    Args:
        words: key, from noise.device_key.
        position: of the step.
        examples: number of each row.
        draws: (kind, shape of a row) or (kind, shape, parameter) of each input.
        count, group: rows of a group that are examples, and rows of a group; all of them if None.
        dtype: float type.
    """
    n = len(examples)
    variables = [Draw(pt.tensor(dtype=dtype, shape=(n, *shape)), kind, *parameter) for kind, shape, *parameter in draws]
    group = group or n
    with jax.enable_x64(dtype == "float64"):
        keys = step_keys(
            *(jax.numpy.asarray(a) for a in (words, np.int32(position), np.asarray(examples, np.int32))),
            jax.numpy.int32(group if count is None else count),
            group,
        )
        return [np.asarray(a) for a in draw_all(keys, variables)]


def chain_noise(seed, first, start, kind="normal", dtype="float64"):
    """A noise function for generate_samples on the host: the device's numbers, from this time down."""
    words, state = noise.device_key(seed, noise.SAMPLING), {"t": start}

    def next_draw(shape):
        (numbers,) = draw(words, state["t"], range(first, first + shape[0]), [(kind, shape[1:])], dtype=dtype)
        state["t"] -= 1
        return numbers

    return next_draw
