"""Graphs whose batch size is known only at the call, for JAX: `Diffusion.inputs()` without a number of examples.

JAX fixes all shapes when it traces a function, so the batch size is a number then. But PyTensor 3.0.7 computes the
shape of some reshapes from it by operations that JAX traces, and XLA accepts no traced shape. Both functions below
replace those of PyTensor. They change nothing in graphs that PyTensor can compile itself.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from pytensor.graph.basic import Apply
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.raise_op import Assert, CheckAndRaise
from pytensor.tensor.shape import Reshape

BROADCAST = "Could not broadcast dimensions"  # beginning of the message of PyTensor's checks of inferred shapes

_reshape, _check = jax_funcify.dispatch(Reshape), jax_funcify.dispatch(CheckAndRaise)


@jax_funcify.register(Reshape)
def jax_funcify_reshape(op: Reshape, node: Apply[Any], **kwargs: Any) -> Callable[..., jax.Array]:
    """Return a reshape in which the only size that is not known before the call follows from the others."""
    shape = node.outputs[0].type.shape
    if shape.count(None) > 1:
        function: Callable[..., jax.Array] = _reshape(op, node=node, **kwargs)
        return function
    sizes = tuple(-1 if size is None else size for size in shape)
    return lambda x, shape: jnp.reshape(x, sizes)


@jax_funcify.register(Assert)
def jax_funcify_assert(op: Assert, node: Apply[Any], **kwargs: Any) -> Callable[..., Any]:
    """Return the identity for a check that shapes broadcast, which JAX repeats; PyTensor's warns that it is skipped."""
    if op.msg.startswith(BROADCAST):
        return lambda x, *conditions: x
    function: Callable[..., Any] = _check(op, node=node, **kwargs)
    return function
