"""Recipes from which a worker builds a compiled model that computes the same bits as the sender's."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from dpm.base import blas
from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine, Item, Result
from dpm.graph.bricks.rebuilding import BrickRecipe, build_brick, write_brick


class Recipe(NamedTuple):
    """A CompiledModel without its functions.

    Attributes:
        brick: the model.
        arguments: the model's attribute of this name, by which its graphs are cached.
        engine: name of the engine, never "auto".
        dtype, precision, noise: as of Engine.
        threads: number of threads that the sizes of microbatches are for. It determines bits.
        on_cpu: True where a CPU computes.
    """

    brick: BrickRecipe
    arguments: Any
    engine: str
    dtype: str
    precision: str
    noise: str
    threads: int
    on_cpu: bool


class OneCoreEngine(Engine):
    """Engine with the microbatches and compile options of one with more threads, and a single thread that computes.

    Args:
        threads: number of threads of the other engine.
        **more: further arguments of Engine.
    """

    def __init__(self, *, threads: int, **more: Any) -> None:
        super().__init__(threads=threads, **more)
        blas.controller().limit(limits=1, user_api="blas")

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield function(item) of each item, in their order."""
        yield from map(function, items)

    prefetch = map


def write_recipe(compiled: CompiledModel) -> Recipe:
    """Return the recipe of a compiled model whose layout is that of training."""
    engine, model = compiled.engine, compiled.model
    return Recipe(
        write_brick(model),
        model.arguments,
        engine.name,
        engine.dtype,
        engine.precision,
        engine.noise,
        engine.threads,
        engine.on_cpu,
    )


def build_model(recipe: Recipe) -> CompiledModel:
    """Return the compiled model of a recipe, for a single core.

    Raises:
        InputError: this process computes on another kind of device.
    """
    options = {name: getattr(recipe, name) for name in ("dtype", "precision", "noise", "threads")}
    engine = OneCoreEngine(name=recipe.engine, **options)
    if engine.on_cpu != recipe.on_cpu:
        kinds = {True: "a CPU", False: "an accelerator"}
        raise InputError(f"computes on {kinds[engine.on_cpu]}; expected {kinds[recipe.on_cpu]}, as here")
    with engine:
        model = build_brick(recipe.brick)
    model.arguments = recipe.arguments
    return CompiledModel(model, engine)
