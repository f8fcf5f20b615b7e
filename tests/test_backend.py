"""Engines: names, float types, and that nothing of their insides reaches a user."""

import warnings

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor import config

import dpm.backend
from dpm.backend import Engine
from dpm.errors import InputError


@pytest.mark.parametrize(("name", "dtype"), [("theano", "float32"), ("auto", "float16")])
def test_unknown_names_are_refused_with_what_is_accepted(name, dtype):
    with pytest.raises(InputError, match="accepted"):
        Engine(name, dtype)


def test_auto_without_jax_is_numba(monkeypatch):
    monkeypatch.setattr(dpm.backend.importlib.util, "find_spec", lambda name: None)
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
