"""Builders: functions that make graphs, and what identifies them in this process and in others.

A builder takes symbolic inputs and returns outputs: a method of the model, or a function that functools.partial has
bound to the model and other arguments.
"""

import json
import sys
from collections.abc import Callable, Hashable, Sequence
from functools import partial

from pytensor.tensor import TensorVariable

from dpm.graph import Tensor
from dpm.graph.diffusion import Diffusion

#: (*symbolic inputs) -> one symbolic output, or a sequence of them
Builder = Callable[..., Tensor | Sequence[Tensor]]


def build_outputs(build: Builder, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs of a graph as a list, also where the builder returns a single one."""
    outputs = build(*inputs)
    return [outputs] if isinstance(outputs, TensorVariable) else list(outputs)


def identity(build: Builder) -> Hashable:
    """Return a key that two builders share only if they make the same graph of the same inputs.

    Methods of one object are equal, and so are partials of one function with equal arguments. Two lambdas never are.
    """
    if isinstance(build, partial):
        return build.func, build.args, tuple(sorted(build.keywords.items()))
    return build


def facts(build: Builder, model: Diffusion) -> list[object] | None:
    """Return what identifies a builder in every process, as JSON can hold it, or None where nothing does.

    A method of the model, or a function of this package, is identified by its full name, which must lead to it, and by
    the arguments besides the model that a partial has bound to it.
    """
    function: object = build
    arguments: list[object] = []
    if isinstance(build, partial):
        function = build.func
        named = [*enumerate(build.args), *sorted(build.keywords.items())]
        arguments = [(name, value) for name, value in named if value is not model]
    if getattr(function, "__self__", model) is not model:
        return None
    function = getattr(function, "__func__", function)
    module, path = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not module.startswith("dpm.") or _find(module, path) is not function:
        return None
    try:
        json.dumps(arguments)
    except TypeError:
        return None
    return [module, path, arguments]


def _find(module: str, path: str) -> object:
    """Return what a dotted name of a module refers to, or None."""
    found: object = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found
