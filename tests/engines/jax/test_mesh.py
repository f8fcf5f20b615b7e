"""The mesh of devices, here four of one CPU: where arrays are, and that loops compute what one device computes."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax")

from dpm.engines.engine import Engine
from dpm.engines.jax.mesh import MeshPeers
from tests.helpers.runs import ROOT

PROGRAM = """
import sys
import numpy as np, pytensor.tensor as pt
from dpm.base import noise
from dpm.engines.device_arrays import LoopArrays, make_keys
from dpm.engines.engine import Engine
from dpm.engines.inputs import Input, StepInputs
from dpm.engines.loops import Draw, Step

ROWS, STEPS = 8, 5

def compute(dtype, distributed):
    engine = Engine("jax", dtype, noise="device", distributed=distributed)
    shapes = {"x": (ROWS, 3), "c": (2,), "k": (ROWS,), "s": (), "v": (ROWS,), "N": (ROWS, 3)}
    with engine:
        x, c, k, s, v, N = (pt.tensor(name, dtype=dtype, shape=shape) for name, shape in shapes.items())
    new = 0.9 * x + N * c[0] + (k + v)[:, None] * s
    step = Step([x], [c, k], [s, v], [Draw(N, "normal")], lambda: ([new], [(new**2).sum(), new.sum(1)], []), ROWS,
        frozenset("xkv"))
    inputs = StepInputs(*(tuple(Input(n, shapes[n]) for n in names) for names in ("x", "k", "sv")),
        ((Input("N", shapes["N"]), "normal"),))
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(dtype)
    keys = make_keys(noise.device_key(3, 1), range(STEPS), range(ROWS))
    arrays = LoopArrays(engine, inputs, draw(2), [draw(ROWS, 3)], [draw(ROWS)], [draw(STEPS), draw(STEPS, ROWS)], keys)
    outputs = arrays.run(engine.loop(step, STEPS), 0, STEPS)
    if distributed:
        shards = [shard.data.shape for shard in arrays.carried[0].addressable_shards]
        assert shards == [(2, 3)] * 4, shards
    return [arrays.fetch(), *engine.to_host(outputs)]

for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
    for one, four in zip(compute(dtype, False), compute(dtype, True), strict=True):
        assert one.shape == four.shape and one.dtype == four.dtype == dtype
        np.testing.assert_allclose(four, one, rtol=tolerance, atol=tolerance)
print("equal")
"""


def test_a_loop_on_four_devices_computes_what_one_computes():
    """Rows of the carried array are divided, two on each device; sums over the rows go over all of them."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "equal\n", done.stderr


def test_a_mesh_of_one_device():
    peers = MeshPeers()
    assert (peers.index, peers.count) == (0, 1)
    assert peers.own_rows(6 * peers.n_devices) == slice(0, 6 * peers.n_devices)
    assert peers.gather(np.array([1 / 3, 2.0])).tolist() == [[1 / 3, 2.0]]  # in double precision
    array = np.arange(4 * peers.n_devices, dtype=np.float32)
    np.testing.assert_array_equal(peers.fetch(peers.place(array, 0)), array)
    np.testing.assert_array_equal(peers.fetch([peers.place(array)])[0], array)


def test_a_distributed_engine_draws_on_the_device():
    engine = Engine("jax", distributed=True)
    assert engine.noise == "device"
    assert isinstance(engine.peers, MeshPeers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "numba"}, "--backend numba: several processes or devices need JAX"),
        ({"name": "jax", "noise": "host"}, "--noise host: several processes or devices draw on the device"),
    ],
)
def test_engines_that_cannot_divide_loops_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Engine(distributed=True, **options)
