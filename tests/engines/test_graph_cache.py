"""Graph cache: the same bits without building the graph, and never the graph of another model or program."""

import os
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from dpm.engines import graph_cache
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY

pytest.importorskip("jax")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dpm" / "graphs"


def results(dtype="float32", forbidden=False, **arguments):
    """Cost, gradient and costs by example of a model; forbidden: its graph must not be built."""
    engine = Engine("jax", dtype)
    with engine:
        model = DiffusionModel(**TINY | arguments, trajectory_length=5)
    compiled = CompiledModel(model, engine)
    if forbidden:
        model.reverse = lambda *inputs: pytest.fail("the graph was built again")
    theta = compiled.start(np.random.default_rng(1))
    rng = np.random.default_rng(2)
    X, N, U = (engine.asarray(rng.random((3, *model.example_shape))) for _ in range(3))
    t, weights = engine.asarray([2, 3, 5]), engine.asarray([1, 2, 1])
    cost, gradient = compiled.objective(3)(theta, X, t, N, U, weights)
    assert cost.dtype == gradient.dtype == dtype
    return np.array([cost, *gradient, *compiled.costs(3)(theta, X, t, N, U)])


@pytest.mark.thorough
def test_the_second_run_builds_no_graph_and_has_the_same_bits(folder):
    first = results()
    assert len(list(folder.iterdir())) == 2
    np.testing.assert_array_equal(results(forbidden=True), first)


@pytest.mark.thorough
def test_a_cached_graph_computes_what_a_new_one_does(monkeypatch):
    cached = results("float64")

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(graph_cache, "version", absent)
    np.testing.assert_allclose(results("float64"), cached, rtol=1e-12, atol=1e-14)


@pytest.mark.thorough
def test_another_model_has_another_graph(folder):
    results()
    before = {path.name for path in folder.iterdir()}
    results(n_hidden_conv=3)
    assert len({path.name for path in folder.iterdir()} - before) == 2


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_file_counts_as_absent(folder, damage):
    graph_cache.store("name", b"a graph")
    assert graph_cache.load("name") == b"a graph"
    content = (folder / "name").read_bytes()
    (folder / "name").write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)
    assert graph_cache.load("name") is None


def test_the_graph_of_a_users_class_is_not_cached(folder):
    """It may override anything, whatever arguments it inherits."""

    class Mine(DiffusionModel):
        pass

    with Engine("jax", "float32"):
        ours, mine = (kind(**TINY, trajectory_length=5) for kind in (DiffusionModel, Mine))
    assert graph_cache.model_facts(ours)[-1] == mine.arguments
    assert graph_cache.model_facts(mine) is None


def test_a_changed_program_has_other_keys_and_stores_nothing(monkeypatch, tmp_path):
    """A graph of older code is never used; files that changed since they were imported are not the code that runs."""
    assert graph_cache.make_key("a model") == graph_cache.make_key("a model") != graph_cache.make_key("another")
    assert graph_cache.is_available()
    (tmp_path / "__init__.py").write_text("changed = 1")
    monkeypatch.setattr(graph_cache, "PACKAGE", tmp_path)
    assert not graph_cache.is_available()
    before = graph_cache.make_key("a model")
    monkeypatch.setattr(graph_cache, "CODE", graph_cache._hash_code())
    assert graph_cache.is_available()
    assert graph_cache.make_key("a model") != before


def test_a_folder_that_cannot_be_created_is_no_error(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    graph_cache.store("name", b"a graph")
    assert graph_cache.load("name") is None


def test_those_unused_for_longest_are_removed(folder, monkeypatch):
    monkeypatch.setattr(graph_cache, "MAX_GRAPHS", 2)
    for name in "abc":
        graph_cache.store(name, name.encode())
    assert graph_cache.load("a") is None
    for second, name in enumerate("bc"):
        os.utime(folder / name, (second, second))
    assert graph_cache.load("b") == b"b"  # it was used after c
    graph_cache.store("d", b"d")
    assert (graph_cache.load("c"), graph_cache.load("b")) == (None, b"b")
