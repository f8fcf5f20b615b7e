"""Loops that stay on the device: a graph of one step, what it keeps from step to step, and what is drawn for it there.

A step is a graph of PyTensor. The loop around it, and the random numbers made inside, are those of JAX
(dpm/engines/jax/loops.py), so nothing crosses between host and device while the loop runs.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from dpm.graph import Tensor

Pairs = Sequence[tuple[Tensor, Tensor]]


class Draw(NamedTuple):
    """Input of a step that is drawn on the device.

    Attributes:
        variable: symbolic input, whose type has the shape (rows, ...) and the float type.
        kind: "normal" or "uniform" numbers; "positions" in [0, 1), spread evenly over the rows; "times" 2..T spread
            likewise; "single_time" for all rows; "corners", whole numbers from 0; "mask" of dropout.
        parameter: T of times, the number of places of corners, the rate of dropout.
    """

    variable: Tensor
    kind: str
    parameter: float = 0.0


class Step(NamedTuple):
    """One step of a loop, as inputs and a function that makes the graph.

    Attributes:
        carried: inputs that the step replaces.
        constants: inputs that are the same at every step.
        sequences: inputs with another value at each step.
        drawn: inputs that are drawn on the device.
        build: returns the new values of `carried`, the outputs to record of each step, and givens.
        group: number of rows of a minibatch, where the rows repeat a minibatch.
        by_row: names of the carried, constant and sequence inputs whose leading axis, at one step, indexes rows; it is
            sharded over the devices.
        divided: the graph is that of one device, with its rows, and sums over devices itself (device_sums.py).
            Otherwise it is that of all rows, and XLA divides it.
    """

    carried: Sequence[Tensor]
    constants: Sequence[Tensor]
    sequences: Sequence[Tensor]
    drawn: Sequence[Draw]
    build: Callable[[], tuple[Sequence[Tensor], Sequence[Tensor], Pairs]]
    group: int
    by_row: frozenset[str]
    divided: bool = False

    @property
    def inputs(self) -> list[Tensor]:
        """All inputs, in the order in which the loop passes them."""
        return [*self.carried, *self.constants, *self.sequences, *(draw.variable for draw in self.drawn)]


class Keys(NamedTuple):
    """What the numbers drawn on the device depend on, besides the input of the step that they are for.

    Attributes:
        key: two uint32 words of the seed and purpose, (2,), from `noise.device_key`.
        positions: number of each step in the run, int32 (capacity,).
        examples: number of each row, int32 (rows,).
        counts: number of rows of a group that are real examples, at each step, int32 (capacity,).
    """

    key: Any
    positions: Any
    examples: Any
    counts: Any


class CompiledLoop(Protocol):
    """Compiled loop. All arrays are on the device before and after; see Engine.place and Engine.to_host."""

    def __call__(
        self,
        carried: Sequence[Any],
        constants: Sequence[Any],
        sequences: Sequence[Any],
        keys: Keys,
        begin: int,
        end: int,
    ) -> tuple[list[Any], list[Any]]:
        """Run the steps `begin` to `end` - 1.

        Args:
            carried: values of Step.carried; these arrays must not be used afterwards, since their memory is reused.
            constants: values of Step.constants.
            sequences: values of Step.sequences, (capacity, ...) each.
            keys: see Keys.
            begin, end: steps of the sequences.

        Returns:
            The new values of `carried`, and the outputs (capacity, ...), of which the entries of other steps are 0.
        """
        ...
