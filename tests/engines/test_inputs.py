"""Inputs of loops by their kind."""

from dpm.engines.inputs import Input, StepInputs


def test_values_of_all_inputs_split_by_kind():
    X, c, t, N = (Input(name, shape) for name, shape in (("X", (3, 2)), ("c", ()), ("t", ()), ("N", (3, 2))))
    inputs = StepInputs((X,), (c,), (t,), ((N, "normal"),))
    assert inputs.in_order == [X, c, t, N]
    assert inputs.rows == 3
    assert inputs.split("abcd") == [["a"], ["b"], ["c"], ["d"]]
    assert StepInputs((), (X, c), (), ((N, "normal"),)).split("abc") == [[], ["a", "b"], [], ["c"]]
