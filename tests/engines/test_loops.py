"""The inputs of a step of a loop (dpm/engines/loops.py); tests/engines/jax/test_loops.py runs it."""

import pytensor.tensor as pt

from dpm.engines.loops import Draw, Step


def test_inputs_come_in_the_order_in_which_the_loop_passes_them():
    a, b, c, d = (pt.scalar(name) for name in "abcd")
    step = Step([a], [b], [c], [Draw(d, "normal")], lambda: ([], [], []), 1)
    assert step.inputs == [a, b, c, d]
