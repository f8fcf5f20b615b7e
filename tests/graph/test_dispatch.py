"""PyTensor compiles the convolution and the models in its own modes, whatever part of dpm a user imported."""

import importlib.util
import subprocess
import sys

import pytest

PROGRAM = """
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt

IMPORT
from dpm.graph.same_conv import same_conv

x, weights = pt.tensor("x", shape=(2, 5, 4, 3)), pt.tensor("weights", shape=(2, 3, 3, 3))
outputs = [y := same_conv(x, weights), *pytensor.grad((y**2).sum(), [x, weights])]
assert not {"jax", "numba"} & sys.modules.keys(), "an engine was imported before it was needed"
rng = np.random.default_rng(0)
arrays = rng.standard_normal(x.type.shape), rng.standard_normal(weights.type.shape)
expected = pytensor.function([x, weights], outputs, mode="FAST_COMPILE")(*arrays)
values = pytensor.function([x, weights], outputs, mode=MODE)(*arrays)
assert "dpm.engines.ENGINE.convolution" in sys.modules
if "ENGINE" == "numba":
    import os

    assert int(sys.modules["numba"].config.OPT) == int(os.environ.get("NUMBA_OPT", 2))
for a, b in zip(values, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
"""
CASES = [
    ("JAX", "jax", "import dpm.model"),
    ("NUMBA", "numba", "import dpm.model"),
    (None, "numba", "import dpm; dpm.bricks"),
    ("JAX", "jax", ""),
]


@pytest.mark.parametrize(("mode", "engine", "imports"), CASES)
def test_a_function_of_pytensor_computes_the_convolution(mode, engine, imports):
    """In the default mode too, which is Numba's; by dpm's own implementation, and not by numpy called from Numba."""
    if not importlib.util.find_spec(engine):
        pytest.skip(f"no {engine} here")
    program = PROGRAM.replace("MODE)", f"{mode!r})").replace("ENGINE", engine).replace("IMPORT", imports)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


AFTER_FLOAT32 = """
import numpy as np
import pytensor
import pytensor.tensor as pt

import dpm.graph.same_conv
from dpm.engines.engine import Engine

x = pt.tensor("x", dtype="float32", shape=(2,))
Engine("jax", "float32").function([x], [2 * x])(np.ones(2, "float32"))
x = pt.tensor("x", dtype="float64", shape=(2,))
(y,) = pytensor.function([x], [x / 3], mode="JAX")(np.ones(2))
assert y.dtype == np.float64, y.dtype
np.testing.assert_array_equal(y, np.full(2, 1 / 3))
"""


def test_double_precision_after_an_engine_of_single_precision():
    """JAX has one switch for both; a function of PyTensor in float64 must not compute in float32."""
    if not importlib.util.find_spec("jax"):
        pytest.skip("no jax here")
    done = subprocess.run([sys.executable, "-W", "error", "-c", AFTER_FLOAT32], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
