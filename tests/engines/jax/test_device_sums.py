"""The sum over devices in JAX, here two of one CPU, in a process of its own."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("jax")

from tests.helpers.runs import ROOT

PROGRAM = """
import numpy as np, pytensor.tensor as pt
from dpm.base import noise
from dpm.engines.device_arrays import make_keys, place, place_keys
from dpm.engines.device_sums import sum_over_devices
from dpm.engines.engine import Engine
from dpm.engines.loops import Draw, Step

engine = Engine("jax", "float64", noise="device", distributed=True)
with engine:
    total, x, N = (pt.tensor(name, dtype="float64", shape=shape) for name, shape in
        (("total", (2,)), ("x", (3, 2)), ("N", (3,))))
sums = sum_over_devices([x.sum(axis=0), (x * N[:, None]).sum()])
step = Step([total], [x], [], [Draw(N, "normal")], lambda: ([total + sums[0]], [sums[1]], []), 6, frozenset("x"), True)
loop = engine.loop(step, 2)
X, words = np.random.default_rng(0).standard_normal((6, 2)), noise.device_key(3, 1)
keys = place_keys(engine, make_keys(words, range(2), range(6)))
(found,), (outputs,) = engine.to_host(loop([place(engine, np.zeros(2))], [place(engine, X, 0)], [], keys, 0, 2))
np.testing.assert_allclose(found, 2 * X.sum(axis=0), rtol=1e-12)
from tests.helpers.device_noise import draw
for position in range(2):
    (drawn,) = draw(words, position, range(6), [("normal", ())])
    np.testing.assert_allclose(outputs[position], (X * drawn[:, None]).sum(), rtol=1e-12)
print("equal")
"""


def test_a_step_of_two_devices_sums_over_both():
    """A carried vector and an output of each step; drawn numbers are those of one device."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "equal\n", done.stderr
