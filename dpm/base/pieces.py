"""Pieces: independent parts of a computation, computed in this process or by the workers of a cluster.

A computation is written once, as a generator function of what its pieces share and of the pieces. Where it runs changes
no bit: the pieces are the same, or parts that the compiled functions separate anyway.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

#: (*shared, pieces, report) -> the result of each piece, in order; report is called with numbers that add up to the
#: work done
Compute = Callable[..., Iterator[Any]]
Report = Callable[[int], object]


class Mapper(Protocol):
    """Place where pieces are computed.

    Attributes:
        is_remote: True if other processes compute them.
    """

    is_remote: bool

    def map(
        self, compute: Compute, shared: Sequence[Any], pieces: Iterable[Any], report: Report | None = None
    ) -> Iterator[Any]:
        """Yield the result of each piece, in their order.

        Args:
            compute: a generator function that a module holds.
            shared: its first arguments, the same for all pieces.
            pieces: the pieces; more than one may be passed to a call.
            report: called with the work done, in the unit that `compute` reports.
        """
        ...

    def cut(self, n: int, size: int) -> list[slice]:
        """Return the ranges of n examples that are single pieces; `size` are computed at once."""
        ...


class Here:
    """Compute pieces in this process. The threads of the engine share a piece, so n examples are one."""

    is_remote = False

    def map(
        self, compute: Compute, shared: Sequence[Any], pieces: Iterable[Any], report: Report | None = None
    ) -> Iterator[Any]:
        """Yield the results, as Mapper.map does."""
        return compute(*shared, pieces, report or ignore)

    def cut(self, n: int, size: int) -> list[slice]:
        """Return a single range."""
        return [slice(0, n)]


def ignore(work: int) -> None:
    """Take a report, and do nothing."""


HERE = Here()
