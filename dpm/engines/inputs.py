"""Inputs of the compiled functions and loops of a model: names, shapes and, in a loop, what each is for."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Input(NamedTuple):
    """Input of a compiled function: its name in the graph, and its shape, which is fixed."""

    name: str
    shape: tuple[int, ...]


class StepInputs(NamedTuple):
    """Inputs of one step of a loop by their kind (dpm.engines.loops.Step), besides the parameters.

    Attributes:
        carried: inputs that the step replaces.
        constants: inputs that are the same at every step.
        sequences: inputs with another value at each step, with the shape of one step.
        drawn: inputs that are drawn on the device, (rows, ...), with the kind of their numbers.
    """

    carried: tuple[Input, ...]
    constants: tuple[Input, ...]
    sequences: tuple[Input, ...]
    drawn: tuple[tuple[Input, str], ...]

    @property
    def rows(self) -> int:
        """Number of examples of a step."""
        return self.drawn[0][0].shape[0]

    def is_by_row(self, given: Input) -> bool:
        """Return True for an input whose first axis are the examples of a step."""
        return given.shape[:1] == (self.rows,)

    @property
    def by_row(self) -> frozenset[str]:
        """Names of the carried, constant and sequence inputs whose first axis are the examples of a step."""
        groups = self.carried, self.constants, self.sequences
        return frozenset(given.name for group in groups for given in group if self.is_by_row(given))

    @property
    def in_order(self) -> list[Input]:
        """All inputs, in the order in which the graph takes them."""
        return [*self.carried, *self.constants, *self.sequences, *(given for given, _ in self.drawn)]

    def split(self, values: Sequence[T]) -> list[list[T]]:
        """Return values of all inputs, in their order, as four lists."""
        left = list(values)
        return [[left.pop(0) for _ in group] for group in self]
