"""The loop of JAX around a compiled step of PyTensor (dpm/engines/loops.py)."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding

from dpm.engines.jax.mesh import MeshPeers
from dpm.engines.jax.noise import draw_all, step_keys
from dpm.engines.loops import Keys, Step
from dpm.graph import Tensor


def compile_loop(
    function: Callable[..., Any], step: Step, capacity: int, options: dict[str, Any], peers: MeshPeers | None
) -> Callable[..., Any]:
    """Compile a loop over a step.

    The number of steps is an argument, so XLA compiles the same body for one step as for many, and the bits of a step
    do not depend on how many run in a call.

    Args:
        function: traceable function of all inputs of the step, that returns the new carried values and the outputs.
        step: its inputs.
        capacity: largest number of steps of a call.
        options: compile options of XLA.
        peers: shard the rows over their devices, if not None. With Step.divided each device runs the step on its shard;
            otherwise XLA partitions the computation (GSPMD, Xu et al. 2021).
    """
    n_carried, group = len(step.carried), step.group
    devices = 1
    if peers and step.divided:
        drawn_of = {draw.variable for draw in step.drawn}
        function = peers.divide(function, [v.name in step.by_row or v in drawn_of for v in step.inputs])
        devices = peers.n_devices
    types = {v: _type_of(v, devices if v.name in step.by_row else 1) for v in step.inputs}
    types |= {draw.variable: _type_of(draw.variable, devices) for draw in step.drawn}
    outputs = jax.eval_shape(function, *types.values())[n_carried:]

    def run(carried: Any, constants: Any, sequences: Any, keys: Keys, begin: Any, end: Any) -> Any:
        def body(state: Any) -> Any:
            i, carried, recorded = state
            by_step = (*sequences, keys.positions, keys.counts)
            *values, position, count = (lax.dynamic_index_in_dim(a, i, keepdims=False) for a in by_step)
            of_step = step_keys(keys.key, position, keys.examples, count, group)
            drawn = draw_all(of_step, step.drawn)
            if peers:
                drawn = [lax.with_sharding_constraint(numbers, peers.sharding(0)) for numbers in drawn]
            results = function(*carried, *constants, *values, *drawn)
            new, out = list(results[:n_carried]), results[n_carried:]
            recorded = [lax.dynamic_update_index_in_dim(a, v, i, 0) for a, v in zip(recorded, out, strict=True)]
            return i + 1, new, recorded

        recorded = [jnp.zeros((capacity, *out.shape), out.dtype) for out in outputs]
        _, carried, recorded = lax.while_loop(lambda state: state[0] < end, body, (begin, carried, recorded))
        return carried, recorded

    rows = types[step.drawn[0].variable].shape[0] if step.drawn else 0
    keys = Keys(_type((2,), "uint32"), *(_type((n,), "int32") for n in (capacity, rows, capacity)))
    arguments = (
        [types[v] for v in step.carried],
        [types[v] for v in step.constants],
        [_type((capacity, *types[v].shape), types[v].dtype) for v in step.sequences],
        keys,
        _type((), "int32"),
        _type((), "int32"),
    )
    placed: dict[str, Any] = {}
    if peers:
        carried = _shardings(peers, step, step.carried)
        constants, sequences = (_shardings(peers, step, *group) for group in ((step.constants,), (step.sequences, 1)))
        whole = peers.sharding()
        keys_placed = Keys(whole, whole, peers.sharding(0) if rows else whole, whole)
        placed["in_shardings"] = (carried, constants, sequences, keys_placed, whole, whole)
        placed["out_shardings"] = (carried, None)
    compiled: Callable[..., Any] = jax.jit(run, donate_argnums=0, **placed).lower(*arguments).compile(options)
    return compiled


def _shardings(peers: MeshPeers, step: Step, inputs: Sequence[Tensor], axis: int = 0) -> list[NamedSharding]:
    """Return the shardings of inputs, whose rows are along an axis."""
    return [peers.sharding(axis if v.name in step.by_row else None) for v in inputs]


def _type(shape: Sequence[int], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(tuple(shape), dtype)


def _type_of(variable: Tensor, devices: int) -> jax.ShapeDtypeStruct:
    """Return the type of a variable's values, with the rows of all devices where there are several."""
    shape = variable.type.shape
    return _type((shape[0] * devices, *shape[1:]) if devices > 1 else shape, variable.type.dtype)
