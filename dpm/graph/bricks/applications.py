"""Marks on the variables that bricks compute, from which a drawing of a graph knows which brick computed what.

A mark changes nothing that is computed. Each variable of PyTensor has a `tag` for such notes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple, Protocol

from pytensor.graph.basic import Variable

from dpm.graph import Tensor


class Named(Protocol):
    """What is needed of a brick."""

    name: str


_running: ContextVar[tuple[Named, ...]] = ContextVar("running", default=())


class Application(NamedTuple):
    """One call of a brick's `apply`.

    Attributes:
        bricks: the bricks whose `apply` runs, from the outermost to the one that is called.
        inputs: the variables that it was given.
    """

    bricks: tuple[Named, ...]
    inputs: tuple[Variable[Any, Any], ...]


def applications(variable: Variable[Any, Any]) -> list[Application]:
    """Return the calls of `apply` that returned a variable, the innermost first."""
    found: list[Application] = getattr(variable.tag, "applications", [])
    return found


def mark_output(apply: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a brick's method `apply` such that it marks the variable that it computes."""

    @wraps(apply)
    def marked(brick: Named, *arguments: Any, **keywords: Any) -> Tensor:
        with _inside(brick) as bricks:
            output = apply(brick, *arguments, **keywords)
        inputs = tuple(_variables((*arguments, *keywords.values())))
        if isinstance(output, Variable) and not any(output is x for x in inputs):
            output.tag.applications = [*applications(output), Application(bricks, inputs)]
        return output

    return marked


def _variables(arguments: Iterable[Any]) -> Iterator[Variable[Any, Any]]:
    """Yield the variables among arguments, also those in tuples and lists."""
    for argument in arguments:
        if isinstance(argument, Variable):
            yield argument
        elif isinstance(argument, tuple | list):
            yield from _variables(argument)


@contextmanager
def _inside(brick: Named) -> Iterator[tuple[Named, ...]]:
    """Within this block the brick is the innermost one; yield all from the outermost."""
    bricks = (*_running.get(), brick)
    token = _running.set(bricks)
    try:
        yield bricks
    finally:
        _running.reset(token)
