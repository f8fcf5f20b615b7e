"""Loops of JAX around a step: the same bits however they are cut, and what their arrays hold."""

import numpy as np
import pytensor.tensor as pt
import pytest

pytest.importorskip("jax")

import jax

from dpm.base import noise
from dpm.engines.device_arrays import LoopArrays, make_keys
from dpm.engines.engine import Engine
from dpm.engines.inputs import Input, StepInputs
from dpm.engines.loops import Draw, Step
from tests.helpers.device_noise import draw

STEPS, ROWS = 10, 3
WORDS = noise.device_key(0, noise.TRAINING)
SEQUENCE = np.linspace(0, 1, STEPS)


@pytest.fixture(scope="module", params=["float32", "float64"])
def engine(request):
    return Engine("jax", request.param, noise="device")


def make_step(engine):
    """x' = 0.5 x + s + N, and outputs of the state before."""
    with engine:
        x, c, s, N = (
            pt.tensor(name, dtype=engine.dtype, shape=shape)
            for name, shape in (("x", (ROWS,)), ("c", ()), ("s", ()), ("N", (ROWS,)))
        )

    def build():
        return [c * x + s + N], [x.sum(), N], []

    return Step([x], [c], [s], [Draw(N, "normal")], build, ROWS, frozenset("x"))


@pytest.fixture(scope="module")
def loop(engine):
    return engine.loop(make_step(engine), STEPS)


def make_arrays(engine, x, first):
    """The arrays of the loop from x on, whose first step has this position."""
    inputs = StepInputs((Input("x", (ROWS,)),), (), (Input("s", ()),), ((Input("N", (ROWS,)), "normal"),))
    x, c, s = (np.asarray(value, engine.dtype) for value in (x, 0.5, SEQUENCE))
    return LoopArrays(engine, inputs, c, [x], [], [s], make_keys(WORDS, range(first, first + STEPS), range(ROWS)))


def run(engine, loop, cuts):
    """The last state and the outputs, (STEPS, ...), of calls that end at these steps."""
    a = make_arrays(engine, np.zeros(ROWS), 5)
    outputs = []
    for begin, end in zip([0, *cuts], cuts, strict=False):
        out = engine.to_host(a.run(loop, begin, end))
        for values in out:
            assert values.dtype == engine.dtype
            assert not values[:begin].any()
            assert not values[end:].any()
        outputs.append(out)
    return a.fetch(), [sum(parts) for parts in zip(*outputs, strict=True)]


def test_a_loop_computes_its_steps(engine, loop):
    state, (sums, drawn) = run(engine, loop, [STEPS])
    x = np.zeros(ROWS)
    for i in range(STEPS):
        assert sums[i] == pytest.approx(x.sum(), rel=1e-5, abs=1e-6)
        (N,) = draw(WORDS, 5 + i, range(ROWS), [("normal", ())], dtype=engine.dtype)
        np.testing.assert_array_equal(drawn[i], N)
        x = 0.5 * x + SEQUENCE[i] + N
    np.testing.assert_allclose(state, x, rtol=1e-5)


@pytest.mark.parametrize("cuts", [[1, STEPS], [3, 4, 9, STEPS], list(range(1, STEPS + 1)), [0, STEPS]])
def test_any_cut_into_calls_has_the_same_bits(engine, loop, cuts):
    whole, cut = run(engine, loop, [STEPS]), run(engine, loop, cuts)
    np.testing.assert_array_equal(cut[0], whole[0])
    for a, b in zip(cut[1], whole[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_call_without_steps_changes_nothing(engine, loop):
    state, outputs = run(engine, loop, [0])
    assert not state.any()
    assert not any(values.any() for values in outputs)


def test_carried_arrays_are_used_up_and_others_are_not(engine, loop):
    a = make_arrays(engine, np.ones(ROWS), 0)
    (before,), constants = a.carried, a.constants
    a.run(loop, 0, 1)
    assert before.is_deleted()
    assert not any(array.is_deleted() for array in (*constants, *a.sequences, *a.keys, *a.carried))
    a.run(loop, 1, 2)


def test_calls_move_nothing_by_themselves(engine, loop):
    with jax.transfer_guard("disallow"):
        run(engine, loop, [4, STEPS])


def test_a_cached_graph_has_the_same_bits(engine, loop, tmp_path, monkeypatch):
    """The first engine writes the graph of the step, the second one reads it and builds nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    step, plain = make_step(engine), run(engine, loop, [STEPS])
    found = [run(engine, engine.loop(step, STEPS, ["a test"]), [STEPS])]
    assert len(list(tmp_path.rglob("graphs/*"))) == 1
    found.append(run(engine, engine.loop(step._replace(build=None), STEPS, ["a test"]), [STEPS]))
    for state, outputs in found:
        np.testing.assert_allclose(state, plain[0], rtol=1e-6)
        np.testing.assert_array_equal(state, found[0][0])
        np.testing.assert_array_equal(outputs[1], plain[1][1])
