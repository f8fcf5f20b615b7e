"""Engines: names, float types, and that nothing of their insides reaches a user."""

import ast
import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor import config
from threadpoolctl import ThreadpoolController

import dpm.engines.engine
from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.engines.numba.compiling import NumbaBackend


@pytest.mark.parametrize(("name", "dtype"), [("theano", "float32"), ("auto", "float16")])
def test_unknown_names_are_refused_with_what_is_accepted(name, dtype):
    with pytest.raises(InputError, match="accepted"):
        Engine(name, dtype)


def test_auto_without_jax_is_numba(monkeypatch):
    monkeypatch.setattr(dpm.engines.engine.importlib.util, "find_spec", lambda name: None)
    assert Engine("auto").name == "numba"
    with pytest.raises(InputError, match="not installed"):
        Engine("jax")


def test_c_without_a_compiler_is_refused():
    with config.change_flags(cxx=""), pytest.raises(InputError, match=r"g\+\+"):
        Engine("c")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants_and_results_have_the_engines_type(dtype):
    """Both types in one process, after each other: no value is widened or rounded."""
    engine = Engine("auto", dtype)
    with engine:
        x = pt.tensor("x", dtype=dtype, shape=(3,))
        function = engine.function([x], [0.1 * x + 1, x.sum()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, total = function(np.arange(3, dtype=dtype))
    assert y.dtype == total.dtype == dtype
    np.testing.assert_array_equal(y, np.asarray(0.1, dtype) * np.arange(3, dtype=dtype) + 1)


def test_the_float_type_is_put_back():
    before = config.floatX
    with Engine("auto", "float32"):
        assert config.floatX == "float32"
    assert config.floatX == before


def test_jax_keeps_what_it_compiled():
    """The compilation cache is a folder of the user, unless JAX was told another."""
    jax = pytest.importorskip("jax")
    Engine("jax")
    assert jax.config.jax_compilation_cache_dir


# ------------------------------------------------------------------ threads


def test_a_graph_is_compiled_for_its_shapes_and_no_others():
    """Another shape or float type would have JAX and Numba compile anew, unnoticed."""
    engine = Engine("auto", "float32")
    with engine:
        x = pt.tensor("x", dtype="float32", shape=(3,))
        function = engine.function([x], [2 * x])
    for wrong in (np.zeros(4, "float32"), np.zeros(3, "float64"), np.zeros((3, 1), "float32")):
        with pytest.raises((TypeError, ValueError)):
            function(wrong)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("way", ["map", "prefetch"])
def test_results_come_in_the_order_of_their_items(threads, way):
    many = getattr(Engine("auto", threads=threads), way)
    assert list(many(lambda i: (time.sleep(0.01 * (5 - i)), i)[1], range(5))) == list(range(5))
    assert list(many(lambda i: i, [])) == []


def test_as_many_items_as_threads_are_computed_at_the_same_time():
    engine, together = Engine("auto", threads=3), threading.Barrier(3, timeout=20)
    assert sorted(engine.map(lambda i: together.wait(), range(3))) == [0, 1, 2]


@pytest.mark.parametrize(("threads", "later"), [(2, [1, 2, 3, 3]), (1, [0, 1, 2, 3])])
def test_the_next_item_is_computed_while_the_caller_has_one(threads, later):
    """With a single thread none is, so that --threads 1 keeps to one core."""
    begun, seen = [], []
    for i in Engine("auto", threads=threads).prefetch(lambda i: begun.append(i) or i, range(4)):
        time.sleep(0.2)
        seen.append((i, begun[-1]))
    assert seen == list(zip(range(4), later, strict=True))


@pytest.mark.parametrize("way", ["map", "prefetch"])
def test_an_error_in_a_thread_is_that_of_the_caller(way):
    with pytest.raises(ZeroDivisionError):
        list(getattr(Engine("auto", threads=2), way)(lambda i: 1 // (1 - i), range(3)))


@pytest.mark.parametrize(
    ("n", "pixels", "threads", "turns"),
    [
        (128, 784, 1, 4),  # 32 digits at a time
        (128, 784, 2, 4),
        (128, 784, 3, 6),  # as many for each thread
        (49, 784, 2, 2),  # 38,416 pixels are two turns anyway
        (32, 784, 2, 2),  # one turn, but enough work for two threads
        (15, 784, 2, 1),  # fewer than eight digits a thread
        (4000, 1, 2, 1),  # points of the plane
        (1, 10**6, 2, 1),  # one picture cannot be divided
        (128, 784, 32, 16),  # eight digits a thread, where there are more threads than that
    ],
)
def test_turns_fit_the_cache_and_the_threads(n, pixels, threads, turns):
    assert Engine("auto", threads=threads).count_microbatches(n, pixels) == turns


def test_a_model_of_many_parameters_takes_fewer_turns():
    """Each turn reads and writes as many numbers as there are parameters; the default model is at the limit."""
    turns = Engine("auto", threads=2).count_microbatches
    assert turns(512, 28 * 28, 1_762_928) == turns(512, 28 * 28) == 16
    assert turns(512, 28 * 28, 5 * 1_762_928) == 4
    assert turns(512, 28 * 28, 10**9) == 2  # one for each thread


def test_an_accelerator_has_no_threads(monkeypatch):
    """It computes all of a minibatch at once, so that a number would be accepted and ignored."""
    pytest.importorskip("jax")
    monkeypatch.setattr(Engine, "on_cpu", False)
    assert Engine("jax", threads=1).threads == Engine("jax").threads == 1
    with pytest.raises(InputError, match=r"--threads: 2 is not accepted.*give --threads 1"):
        Engine("jax", threads=2)


@pytest.mark.parametrize("name", ["numba", "c"])
def test_threads_of_engines_that_compute_with_blas_are_those_of_blas(name, monkeypatch):
    blas = ThreadpoolController().select(user_api="blas")
    before = [library["num_threads"] for library in blas.info()]
    if name == "c" and not config.cxx:
        pytest.skip("no g++ here")
    try:
        Engine(name, threads=1)
        assert [library["num_threads"] for library in blas.info()] == [1] * len(before)
    finally:
        blas.limit(limits=max(before, default=1))


def test_threads_are_those_of_the_library_that_numba_multiplies_by():
    """scipy's, which is loaded late: a limit set before that would pass it by."""
    code = """
from dpm.engines.engine import Engine
Engine("numba", threads=1)
import scipy.linalg.cython_blas
from threadpoolctl import threadpool_info
print([library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    threads = ast.literal_eval(run.stdout)
    assert threads
    assert set(threads) == {1}


# -------------------------------------------------------------------- Numba


def test_numba_compiles_a_graph_once_and_a_later_function_finds_it():
    """PyTensor's own function would be a second one around it, which takes as long again to compile."""
    engine, found = Engine("numba", "float64"), []
    for _ in range(2):
        with engine:
            x = pt.tensor("x", dtype="float64", shape=(3,))
            run = NumbaBackend().finish(engine._compile_graph([x], [pt.exp(x).sum() + 2.5], None), [x], False, 1)
        np.testing.assert_allclose(run(np.zeros(3)), [5.5])
        assert "jitable_func" not in run.py_func.__globals__
        found.append((run.stats.cache_hits.total(), run.stats.cache_misses.total()))
    assert found[0] in [(0, 1), (1, 0)]  # an earlier run of the tests may have kept it
    assert found[1] == (1, 0)


def test_a_graph_that_numba_cannot_keep_is_computed_all_the_same():
    with config.change_flags(numba__cache=False):
        engine = Engine("numba", "float64")
        with engine:
            x = pt.tensor("x", dtype="float64", shape=(2,))
            function = engine.function([x], 3 * x)
    np.testing.assert_array_equal(function(np.ones(2)), [3, 3])


@pytest.mark.parametrize(("environment", "level"), [({}, 2), ({"NUMBA_OPT": "1"}, 1)])
def test_the_level_of_numba_is_the_users_where_there_is_one(environment, level):
    """Of the passes, which read it at each function, and of the code generator, which is made once."""
    code = """
import numba, numba.core.codegen as codegen
made, first = codegen.CPUCodegen._init, []
codegen.CPUCodegen._init = lambda self, module: first.append(int(numba.config.OPT)) or made(self, module)
import dpm.engines.engine
dpm.engines.engine.Engine("numba")
import dpm.engines.numba.convolution  # as the first compilation does
print([int(numba.config.OPT), *first])
"""
    rest = {name: value for name, value in os.environ.items() if name != "NUMBA_OPT"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=rest | environment
    )
    assert ast.literal_eval(run.stdout) == [level, level]
