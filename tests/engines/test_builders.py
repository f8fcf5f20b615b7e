"""Builders: one graph has one identity, and no other graph has it."""

from functools import partial

from dpm import sampler
from dpm.engines import builders
from dpm.engines.engine import Engine
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY


def a_builder(model, X, n=1):
    """A function from outside the package."""
    return X * n


def test_only_what_a_name_identifies_is_cached(monkeypatch):
    """Methods of the model and functions of the package, with arguments that JSON can hold; nothing else."""
    with Engine("auto", "float32"):
        model, other = (DiffusionModel(**TINY, trajectory_length=5) for _ in range(2))
    facts = builders.facts
    assert facts(model.cost, model) == ["dpm.graph.diffusion", "Diffusion.cost", []]
    assert facts(model.reverse, model) == ["dpm.model", "DiffusionModel.reverse", []]
    loop = partial(sampler._reverse_loop, model, [1, "a"])
    assert facts(loop, model) == ["dpm.sampler", "_reverse_loop", [(1, [1, "a"])]]
    for build in (
        other.cost,
        a_builder,
        lambda X: X,
        partial(sampler._reverse_loop, model, a_builder),
        partial(sampler._reverse_loop, other),
        partial(lambda model, X: X, model),
    ):
        assert facts(build, model) is None
    replaced = sampler._reverse_loop
    monkeypatch.setattr(sampler, "_reverse_loop", a_builder)
    assert facts(replaced, model) is None


def test_equal_methods_and_equal_partials_are_one_builder():
    with Engine("auto", "float32"):
        model, other = (DiffusionModel(**TINY, trajectory_length=5) for _ in range(2))
    equal = [
        (model.cost, model.cost),
        (partial(a_builder, model, n=2), partial(a_builder, model, n=2)),
        (a_builder, a_builder),
    ]
    different = [
        (model.cost, other.cost),
        (model.cost, model.cost_single_t),
        (partial(a_builder, model, n=2), partial(a_builder, model, n=3)),
        (partial(a_builder, model), partial(a_builder, other)),
        (lambda X: X, lambda X: X),
    ]
    assert all(builders.identity(a) == builders.identity(b) for a, b in equal)
    assert all(builders.identity(a) != builders.identity(b) for a, b in different)
