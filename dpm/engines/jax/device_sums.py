"""JAX implementation of dpm.engines.device_sums, registered with PyTensor when imported."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from pytensor.link.jax.dispatch import jax_funcify

from dpm.engines.device_sums import SumOverDevices
from dpm.engines.jax.mesh import DEVICES, ROWS


@jax_funcify.register(SumOverDevices)
def jax_funcify_sum_over_devices(op: SumOverDevices, node: Any = None, **kwargs: Any) -> Callable[..., jax.Array]:
    """Return the sum over the mesh in whose context the graph is traced."""
    return lambda x: lax.psum(x, ROWS) if DEVICES.get() > 1 else x
