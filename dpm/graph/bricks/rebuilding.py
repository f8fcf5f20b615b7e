"""Build a model again in another float type."""

from typing import Any

from dpm.graph.bricks.base import Brick


def rebuild(brick: Brick) -> Any:
    """Return a brick like this one, constructed again with the same arguments under the present pytensor.config.floatX.

    The bricks among its arguments are constructed again too, each once. Values of shared variables are not copied.

    Args:
        brick: any brick, such as a model, whose constructor depends on its arguments only.
    """
    copies: dict[int, Brick] = {}

    def again(value: Any) -> Any:
        if isinstance(value, Brick):
            if id(value) not in copies:
                arguments, keywords = value.construction
                copies[id(value)] = type(value)(*map(again, arguments), **{k: again(v) for k, v in keywords.items()})
            return copies[id(value)]
        if type(value) in (list, tuple) and any(isinstance(item, Brick) for item in value):
            return type(value)(map(again, value))
        return value

    return again(brick)
