"""Numba backend: a graph is compiled once, cached on disk, at the user's level."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor import config

from dpm.engines.engine import Engine
from dpm.engines.numba.compiling import NumbaBackend


def test_numba_compiles_a_graph_once_and_finds_it_in_the_cache_later():
    """PyTensor's own function would be a second one around it, which takes the same time again to compile."""
    engine, found = Engine("numba", "float64"), []
    for _ in range(2):
        with engine:
            x = pt.tensor("x", dtype="float64", shape=(3,))
            run = NumbaBackend().finish(engine._compile_graph([x], [pt.exp(x).sum() + 2.5], None), [x], False, 1)
        np.testing.assert_allclose(run(np.zeros(3)), [5.5])
        assert "jitable_func" not in run.py_func.__globals__
        found.append((run.stats.cache_hits.total(), run.stats.cache_misses.total()))
    assert found[0] in [(0, 1), (1, 0)]  # an earlier run of the tests may have cached it
    assert found[1] == (1, 0)


def test_a_graph_that_numba_cannot_cache_is_computed_too():
    with config.change_flags(numba__cache=False):
        engine = Engine("numba", "float64")
        with engine:
            x = pt.tensor("x", dtype="float64", shape=(2,))
            function = engine.function([x], 3 * x)
    np.testing.assert_array_equal(function(np.ones(2)), [3, 3])


@pytest.mark.parametrize(("environment", "level"), [({}, 2), ({"NUMBA_OPT": "1"}, 1)])
def test_the_users_level_of_numba_wins(environment, level):
    """Both for the passes, which read it for each function, and for the code generator, which is made once."""
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


def test_numbas_warning_about_products_does_not_reach_the_user(tmp_path):
    """PyTensor filters it when its Numba part is imported, which must not happen where warnings are caught."""
    code = """
import numpy as np, pytensor.tensor as pt
from dpm.engines.engine import Engine
engine = Engine("numba", "float64")
with engine:
    x = pt.tensor("x", dtype="float64", shape=(6, 4))
    function = engine.function([x], pt.dot(x, np.ones((5, 8)).T[::2]))
function(np.ones((6, 4)))
"""
    environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}  # so that Numba compiles
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stderr == ""
