"""What describes a loop, without a compiler."""

import pytensor.tensor as pt

from dpm.engines.loops import Draw, Step


def test_inputs_of_a_step_come_in_the_order_of_the_loop():
    x, c, s, N = (pt.vector(name) for name in "xcsN")
    step = Step([x], [c], [s], [Draw(N, "normal")], lambda: ([x], [], []), 1, frozenset())
    assert step.inputs == [x, c, s, N]
    assert step.drawn[0].parameter == 0
