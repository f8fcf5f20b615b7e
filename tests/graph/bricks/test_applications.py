"""Bricks mark what they compute: the calls of `apply` inside each other, with their inputs."""

import pytensor
import pytensor.tensor as pt

from dpm.graph.bricks import MLP, Activation, Identity, Linear
from dpm.graph.bricks.applications import applications
from dpm.regression import LeakyRelu


def names(application):
    return [brick.name for brick in application.bricks]


def test_the_output_of_a_brick_knows_the_bricks_around_it():
    mlp = MLP("mlp", [LeakyRelu("first"), LeakyRelu("second")], [2, 3, 4])
    x = pt.matrix("x")
    inner, outer = applications(mlp.apply(x))
    assert names(inner) == ["mlp", "second"]
    assert names(outer) == ["mlp"]
    assert outer.inputs == (x,)
    (hidden,) = inner.inputs
    assert [names(call) for call in applications(hidden)] == [["mlp", "linear_1"]]


def test_a_brick_that_returns_its_input_marks_nothing():
    x = pt.matrix("x")
    assert Identity().apply(x) is x
    assert applications(x) == []


def test_variables_in_a_tuple_are_inputs_too():
    class Scaled(Activation):
        def apply(self, x, rates):
            return x * rates[0] + rates[1]

    x, *rates = pt.matrices("x", "a", "b")
    (call,) = applications(Scaled().apply(x, rates=tuple(rates)))
    assert call.inputs == (x, *rates)


def test_a_brick_that_fails_leaves_no_trace_on_the_next_one():
    class Failing(Activation):
        def apply(self, x):
            raise ValueError

    x = pt.matrix("x")
    try:
        Failing().apply(x)
    except ValueError:
        (call,) = applications(Linear("next", 2, 2).apply(x))
        assert names(call) == ["next"]


def test_marks_change_no_value_and_keep_the_documentation():
    linear = Linear("linear", 2, 2)
    x = pt.matrix("x")
    marked, plain = linear.apply(x), type(linear).apply.__wrapped__(linear, x)
    assert pytensor.graph.basic.equal_computations([marked], [plain])
    assert linear.apply.__doc__ == "Return x W + b, (..., output_dim), of x, (..., input_dim)."
