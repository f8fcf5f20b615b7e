"""All devices of all processes as one mesh of JAX, among which XLA divides the rows of a loop."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dpm.engines.peers import Peers

ROWS = "rows"

#: Number of devices that divide the rows of a graph, in the context in which it is traced.
DEVICES: ContextVar[int] = ContextVar("devices", default=1)


class MeshPeers(Peers):
    """The processes of jax.distributed, or one process with several devices."""

    def __init__(self) -> None:
        self.mesh = Mesh(np.array(jax.devices()), (ROWS,))
        self.index, self.count, self.n_devices = jax.process_index(), jax.process_count(), jax.device_count()

    def sharding(self, axis: int | None = None) -> NamedSharding:
        """Return the sharding of an array whose rows are along an axis, or that is whole on every device."""
        spec = PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, ROWS)
        return NamedSharding(self.mesh, spec)

    def own_rows(self, rows: int) -> slice:
        places = [i for i, device in enumerate(self.mesh.devices) if device.process_index == self.index]
        each = rows // self.n_devices
        return slice(places[0] * each, (places[-1] + 1) * each)

    def gather(self, values: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            found = multihost_utils.process_allgather(np.asarray(values, np.float64))
        return np.asarray(found).reshape(self.count, -1)

    def divide(self, function: Callable[..., Any], by_row: Sequence[bool]) -> Callable[..., Any]:
        """Return a function that each device computes for its own rows; the results are the same on all of them.

        Args:
            function: sums over devices itself (dpm.engines.device_sums).
            by_row: for each argument, True if its first axis are rows.
        """
        specs = tuple(PartitionSpec(ROWS) if rows else PartitionSpec() for rows in by_row)
        divided: Callable[..., Any] = jax.shard_map(
            function, mesh=self.mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
        )
        return divided

    def place(self, array: np.ndarray, axis: int | None = None) -> jax.Array:
        """Return an array on all devices; with an axis, `array` has the rows of this process along it."""
        shape = list(array.shape)
        if axis is not None:
            shape[axis] = shape[axis] * self.n_devices // len(self.mesh.local_devices)
        placed: jax.Array = jax.make_array_from_process_local_data(self.sharding(axis), array, tuple(shape))
        return placed

    def fetch(self, arrays: Any) -> Any:
        """Return arrays, in any nest of lists, as numpy arrays; all processes call it with the same ones."""
        return jax.tree.map(_fetch, arrays)


def _fetch(array: jax.Array) -> np.ndarray:
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(jax.device_get(array))
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))
