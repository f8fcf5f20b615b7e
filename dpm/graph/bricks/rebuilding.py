"""Bricks as their classes and constructor arguments, from which they are built again."""

from typing import Any, NamedTuple

from dpm.graph.bricks.base import Brick


class BrickRecipe(NamedTuple):
    """A brick as its class and the arguments of its constructor, in which bricks are recipes too.

    Attributes:
        kind: the class.
        arguments, keywords: of the constructor.
    """

    kind: type[Brick]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def rebuild(brick: Brick) -> Any:
    """Return a brick like this one, constructed again with the same arguments under the present pytensor.config.floatX.

    The bricks among its arguments are constructed again too, each once. Values of shared variables are not copied.

    Args:
        brick: any brick, such as a model, whose constructor depends on its arguments only.
    """
    return build_brick(write_brick(brick))


def write_brick(value: Any) -> Any:
    """Return a brick, or a value with bricks in it, with a recipe in place of each; the same one for the same brick."""
    known: dict[int, BrickRecipe] = {}

    def write(value: Any) -> Any:
        if isinstance(value, Brick):
            if id(value) not in known:
                arguments, keywords = value.construction
                written = tuple(map(write, arguments)), {name: write(item) for name, item in keywords.items()}
                known[id(value)] = BrickRecipe(type(value), *written)
            return known[id(value)]
        if type(value) in (list, tuple):
            return type(value)(map(write, value))
        return value

    return write(value)


def build_brick(value: Any) -> Any:
    """Return the brick, or the value with bricks in it, that `write_brick` has written."""
    known: dict[int, Brick] = {}

    def build(value: Any) -> Any:
        if isinstance(value, BrickRecipe):
            if id(value) not in known:
                keywords = {name: build(item) for name, item in value.keywords.items()}
                known[id(value)] = value.kind(*map(build, value.arguments), **keywords)
            return known[id(value)]
        if type(value) in (list, tuple):
            return type(value)(map(build, value))
        return value

    return build(value)
