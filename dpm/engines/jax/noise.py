"""Random numbers on the device: functions of (seed, purpose, step, example) by the counter-based generator Threefry.

They depend neither on the number of steps in a call nor on the other examples, so a loop can be cut anywhere. They are
not the numbers of numpy that dpm.base.noise draws.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from dpm.engines.loops import Draw

GENERATOR = "threefry2x32"  # named, since an environment variable can change JAX's default

ROWS, SHARED = 0, 1  # folded into the key of a step before those of single rows, or of all together


class StepKeys(NamedTuple):
    """Keys of one step.

    Attributes:
        shared: key of the step.
        rows: key of each row, (rows,).
        valid: True for a row that is a real example, (rows,).
        group: number of each row's group, (rows,).
    """

    shared: jax.Array
    rows: jax.Array
    valid: jax.Array
    group: jax.Array


def step_keys(words: jax.Array, position: jax.Array, examples: jax.Array, count: jax.Array, group: int) -> StepKeys:
    """Return the keys of a step; the arguments are those of dpm.engines.loops.Keys at this step."""
    key = random.fold_in(random.wrap_key_data(words, impl=GENERATOR), position)
    rows = jax.vmap(random.fold_in, (None, 0))(random.fold_in(key, ROWS), examples)
    return StepKeys(random.fold_in(key, SHARED), rows, examples % group < count, examples // group)


def draw_all(keys: StepKeys, draws: Sequence[Draw]) -> list[jax.Array]:
    """Return the numbers for each drawn input of a step."""
    return [draw_input(keys, number, draw) for number, draw in enumerate(draws)]


def draw_input(keys: StepKeys, number: int, draw: Draw) -> jax.Array:
    """Return the numbers for the drawn input with this number."""
    kind = draw.variable.type
    numbers = keys._replace(
        shared=random.fold_in(keys.shared, number), rows=jax.vmap(random.fold_in, (0, None))(keys.rows, number)
    )
    return DRAWS[draw.kind](numbers, kind.shape[1:], kind.dtype, draw.parameter)


def _normal(keys: StepKeys, shape: tuple[int, ...], dtype: str, parameter: float) -> jax.Array:
    return jax.vmap(lambda key: random.normal(key, shape, dtype))(keys.rows)


def _uniform(keys: StepKeys, shape: tuple[int, ...], dtype: str, parameter: float) -> jax.Array:
    return jax.vmap(lambda key: random.uniform(key, shape, dtype))(keys.rows)


def _positions(keys: StepKeys, shape: tuple[int, ...], dtype: str, parameter: float) -> jax.Array:
    """Return a number of [0, 1) for each row, one in each of equal strata, which come in random order."""
    order = jax.vmap(lambda key: random.bits(key))(jax.vmap(random.fold_in, (0, None))(keys.rows, 1))
    # Rows that are no examples come last, so that the strata of the others are equal parts of [0, 1).
    rank = jnp.argsort(jnp.lexsort((order, ~keys.valid)))
    return (rank.astype(dtype) + _uniform(keys, shape, dtype, 0.0)) / jnp.maximum(keys.valid.sum(), 1).astype(dtype)


def _times(keys: StepKeys, shape: tuple[int, ...], dtype: str, trajectory_length: float) -> jax.Array:
    positions = _positions(keys, shape, dtype, 0.0)
    # A float32 below 1 times T - 1 may be rounded to T - 1; and rows that are no examples have positions above 1.
    return jnp.minimum(2 + jnp.floor(positions * (trajectory_length - 1)), trajectory_length).astype(dtype)


def _single_time(keys: StepKeys, shape: tuple[int, ...], dtype: str, trajectory_length: float) -> jax.Array:
    each = jax.vmap(random.fold_in, (None, 0))(keys.shared, keys.group)
    index = jax.vmap(lambda key: random.randint(key, (), 2, int(trajectory_length) + 1, np.int32))(each)
    return index.astype(dtype)


def _corners(keys: StepKeys, shape: tuple[int, ...], dtype: str, places: float) -> jax.Array:
    return jax.vmap(lambda key: random.randint(key, shape, 0, int(places), np.int32))(keys.rows)


def _mask(keys: StepKeys, shape: tuple[int, ...], dtype: str, rate: float) -> jax.Array:
    kept = _uniform(keys, shape, dtype, 0.0) >= rate
    return lax.select(kept, jnp.full_like(kept, 1 / (1 - rate), dtype), jnp.zeros_like(kept, dtype))


#: Draws of each kind: functions of keys, the shape of a row, the type and the parameter.
DRAWS: dict[str, Callable[[StepKeys, tuple[int, ...], str, float], jax.Array]] = {
    "normal": _normal,
    "uniform": _uniform,
    "positions": _positions,
    "times": _times,
    "single_time": _single_time,
    "corners": _corners,
    "mask": _mask,
}
