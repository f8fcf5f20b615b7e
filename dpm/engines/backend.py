"""Backend: what an Engine asks of a compiler. JAX and Numba have theirs in their own folders."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from pytensor.compile.mode import Mode

from dpm.engines.loops import CompiledLoop, Step
from dpm.engines.peers import Peers
from dpm.graph import Tensor


class Backend:
    """Compiler of the C engine, and the interface of the others."""

    #: PyTensor's mode: a name or a Mode.
    mode: str | Mode = "CVM"
    #: A graph can be written to a file, by `serialize` and `deserialize`.
    serializes = False
    #: It compiles loops that stay on the device, by `loop`.
    loops = False
    #: Processes and devices that compute the loops.
    peers = Peers()

    @property
    def device(self) -> str:
        """Kind of device that computes, "cpu" or an accelerator's name."""
        return "cpu"

    @property
    def memory(self) -> int | None:
        """Bytes of device memory that a program can use, or None if the device shares the memory of the host."""
        return None

    def traceable(self, function: Any) -> Callable[..., Any]:
        """Return what `finish` and `loop` take of a function made by pytensor.function in this backend's mode."""
        run: Callable[..., Any] = function
        return run

    def finish(self, function: Any, inputs: Sequence[Tensor], hot: bool, n_threads: int) -> Callable[..., Any]:
        """Return what computes inside a function of PyTensor, compiled, without PyTensor's work for each call.

        Args:
            function: from `traceable` or `deserialize`.
            inputs: its inputs.
            hot: called thousands of times, so that a long compilation is worth it.
            n_threads: number of threads that will call it at the same time.
        """
        run: Callable[..., Any] = function
        return run

    def serialize(self, function: Any, inputs: Sequence[Tensor]) -> bytes:
        """Return the graph of a function of PyTensor as bytes, for inputs of these types."""
        raise NotImplementedError

    def deserialize(self, graph: bytes) -> Callable[..., Any]:
        """Return what `traceable` returns, from what `serialize` returned."""
        raise NotImplementedError

    def loop(self, function: Any, step: Step, capacity: int, n_threads: int) -> CompiledLoop:
        """Compile a loop over a step; see Engine.loop."""
        raise NotImplementedError

    def float_type(self, dtype: str) -> AbstractContextManager[Any]:
        """Return the context of everything that is traced, compiled or called in a float type."""
        return nullcontext()

    def precision(self, name: str) -> AbstractContextManager[Any]:
        """Return the context, while tracing, in which products have a precision, one of PRECISIONS."""
        return nullcontext()

    def divided(self) -> AbstractContextManager[Any]:
        """Return the context of tracing loops, whose rows may be divided among devices."""
        return nullcontext()

    def to_device(self, array: np.ndarray) -> Any:
        """Return an array where the device computes."""
        return array

    def place(self, array: np.ndarray, axis: int | None = None) -> Any:
        """Return an array where loops compute; with an axis, it has the rows of this process along it."""
        return self.to_device(array)

    def to_host(self, arrays: Any) -> Any:
        """Return arrays of the device, in any nest of lists, as numpy arrays."""
        return arrays
