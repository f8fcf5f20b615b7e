"""Engines: names, float types, threads, and no warning about their internals."""

import ast
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


@pytest.mark.parametrize(("name", "dtype"), [("theano", "float32"), ("auto", "float16")])
def test_an_unknown_name_is_an_error_that_lists_the_accepted_names(name, dtype):
    with pytest.raises(InputError, match="accepted"):
        Engine(name, dtype)


def test_auto_without_jax_is_numba(monkeypatch):
    monkeypatch.setattr(dpm.engines.engine.importlib.util, "find_spec", lambda name: None)
    assert Engine("auto").name == "numba"
    with pytest.raises(InputError, match="not installed"):
        Engine("jax")


def test_c_without_a_compiler_is_an_error():
    with config.change_flags(cxx=""), pytest.raises(InputError, match=r"g\+\+"):
        Engine("c")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants_and_results_have_the_engines_type(dtype):
    """Both types in one process: no value is widened or rounded."""
    engine = Engine("auto", dtype)
    with engine:
        x = pt.tensor("x", dtype=dtype, shape=(3,))
        function = engine.function([x], [0.1 * x + 1, x.sum()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, total = function(np.arange(3, dtype=dtype))
    assert y.dtype == total.dtype == dtype
    np.testing.assert_array_equal(y, np.asarray(0.1, dtype) * np.arange(3, dtype=dtype) + 1)


def test_the_float_type_is_restored():
    before = config.floatX
    with Engine("auto", "float32"):
        assert config.floatX == "float32"
    assert config.floatX == before


# ------------------------------------------------------------------ threads


def test_a_graph_is_compiled_for_its_shapes_and_no_others():
    """Another shape or float type would have JAX and Numba compile again, silently."""
    engine = Engine("auto", "float32")
    with engine:
        x = pt.tensor("x", dtype="float32", shape=(3,))
        function = engine.function([x], [2 * x])
    for wrong in (np.zeros(4, "float32"), np.zeros(3, "float64"), np.zeros((3, 1), "float32")):
        with pytest.raises((TypeError, ValueError)):
            function(wrong)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("method", ["map", "prefetch"])
def test_results_come_in_the_order_of_their_items(threads, method):
    many = getattr(Engine("auto", threads=threads), method)
    assert list(many(lambda i: (time.sleep(0.01 * (5 - i)), i)[1], range(5))) == list(range(5))
    assert list(many(lambda i: i, [])) == []


def test_the_items_of_all_threads_are_computed_at_the_same_time():
    engine, together = Engine("auto", threads=3), threading.Barrier(3, timeout=20)
    assert sorted(engine.map(lambda i: together.wait(), range(3))) == [0, 1, 2]


@pytest.mark.parametrize(("threads", "later"), [(2, [1, 2, 3, 3]), (1, [0, 1, 2, 3])])
def test_the_next_item_is_computed_while_the_caller_has_one(threads, later):
    """Not with a single thread, so that --threads 1 uses one core."""
    begun, seen = [], []
    for i in Engine("auto", threads=threads).prefetch(lambda i: begun.append(i) or i, range(4)):
        time.sleep(0.2)
        seen.append((i, begun[-1]))
    assert seen == list(zip(range(4), later, strict=True))


@pytest.mark.parametrize("method", ["map", "prefetch"])
def test_an_error_in_a_thread_is_raised_in_the_caller(method):
    with pytest.raises(ZeroDivisionError):
        list(getattr(Engine("auto", threads=2), method)(lambda i: 1 // (1 - i), range(3)))


@pytest.mark.parametrize(
    ("n", "pixels", "threads", "microbatches"),
    [
        (128, 784, 1, 4),  # 32 digits at a time
        (128, 784, 2, 4),
        (128, 784, 3, 6),  # the same number for each thread
        (49, 784, 2, 2),  # 38,416 pixels are two microbatches anyway
        (32, 784, 2, 2),  # one microbatch, but enough work for two threads
        (15, 784, 2, 1),  # fewer than eight digits per thread
        (4000, 1, 2, 1),  # points of the plane
        (1, 10**6, 2, 1),  # one image cannot be divided
        (128, 784, 32, 16),  # eight digits per thread, and some threads without work
    ],
)
def test_microbatches_fit_the_cache_and_the_threads(n, pixels, threads, microbatches):
    assert Engine("auto", threads=threads).count_microbatches(n, pixels) == microbatches


def test_a_model_of_many_parameters_has_fewer_microbatches():
    """Each microbatch reads all parameters and writes a gradient as long; the default model is at the limit."""
    count = Engine("auto", threads=2).count_microbatches
    assert count(512, 28 * 28, 1_762_928) == count(512, 28 * 28) == 16
    assert count(512, 28 * 28, 5 * 1_762_928) == 4
    assert count(512, 28 * 28, 10**9) == 2  # one for each thread


def test_several_threads_on_an_accelerator_are_an_error(monkeypatch):
    """It computes a minibatch at once, so the number would have no effect."""
    pytest.importorskip("jax")
    monkeypatch.setattr(Engine, "on_cpu", False)
    assert Engine("jax", threads=1).threads == Engine("jax").threads == 1
    with pytest.raises(InputError, match=r"--threads: 2 is not accepted.*give --threads 1"):
        Engine("jax", threads=2)


@pytest.mark.parametrize("name", ["jax", "numba", "c"])
def test_threads_limit_blas(name):
    """With JAX too, whose factorizations of matrices call scipy's BLAS."""
    if name == "jax":
        pytest.importorskip("jax")
    blas = ThreadpoolController().select(user_api="blas")
    before = [library["num_threads"] for library in blas.info()]
    if name == "c" and not config.cxx:
        pytest.skip("no g++ here")
    try:
        Engine(name, threads=1)
        assert [library["num_threads"] for library in blas.info()] == [1] * len(before)
    finally:
        blas.limit(limits=max(before, default=1))


def test_threads_limit_the_blas_that_numba_uses():
    """It is scipy's, which is loaded late: a limit set before would not reach it."""
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


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"noise": "nowhere"}, ["--noise", "'nowhere'", "host, device"]),
        ({"precision": "fp8"}, ["--precision", "'fp8'", "float32, tf32, bf16"]),
        ({"precision": "bf16"}, ["--precision bf16", "CPU"]),
        ({"precision": "bf16", "dtype": "float64"}, ["--precision bf16", "--dtype float32"]),
        ({"name": "numba", "noise": "device"}, ["--backend numba", "JAX"]),
    ],
)
def test_choices_of_an_accelerator_are_refused_without_one(choices, words):
    with pytest.raises(InputError) as refusal:
        Engine(**{"name": "auto"} | choices)
    assert all(word in str(refusal.value) for word in words)


def test_noise_comes_from_the_host_on_a_cpu_and_from_an_accelerator_where_there_is_one(monkeypatch):
    assert Engine("auto").noise == "host"
    pytest.importorskip("jax")
    monkeypatch.setattr(Engine, "on_cpu", False)
    assert Engine("jax").noise == "device"
    assert Engine("jax", noise="host").noise == "host"
