"""Sums over the devices that divide the rows of a loop, as a node of the graph: the all-reduce of data parallelism."""

from collections.abc import Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from dpm.graph import Tensor
from dpm.graph.dispatch import import_when_compiling

import_when_compiling("jax", "device_sums")


class SumOverDevices(Op):
    """Sum of a vector over all devices, each of which has its own; the vector itself where there is one device."""

    __props__ = ()

    def make_node(self, x: Any) -> Apply[Any]:  # type: ignore[override]
        """Return the node of the sum of x, which has the type of x."""
        x = pt.as_tensor(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        """Return the vector: numpy has one device."""
        output_storage[0][0] = inputs[0].copy()


def sum_over_devices(values: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums over all devices of scalars and vectors of one float type, by a single message."""
    vectors = [value.reshape((-1,)) for value in values]
    sizes = [int(value.type.shape[0]) if value.ndim else 1 for value in values]
    total: Any = SumOverDevices()(pt.concatenate(vectors))
    found, start = [], 0
    for value, size in zip(values, sizes, strict=True):
        part = total[start : start + size]
        found.append(part if value.ndim else part[0])
        start += size
    return found
