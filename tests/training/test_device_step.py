"""The inputs of a step on the device (dpm/training/device_step.py); its numbers are tested by test_device_loop.py."""

from types import SimpleNamespace

import numpy as np
import pytest
from pytensor.graph.traversal import ancestors

from dpm.optimizers import Adam, RMSProp
from dpm.training.device_step import Plan, build_step
from dpm.training.recipe import Average
from dpm.training.times import TimeWeights
from tests.helpers import device_loops

pytest.importorskip("jax")

BATCH, T = 12, device_loops.T


def plan(noise="device", n_t=1, rule=Adam, data=((61, 1, 8, 8), "uint8"), dropout_rate=0.0, dtype="float64", **changes):
    """Return the plan of a step of the tiny model."""
    compiled = device_loops.compiled(noise, dtype, n_t)
    theta = np.zeros(compiled.layout.size)
    weights = TimeWeights(T, "importance", "K")
    made = Plan(
        compiled, rule(len(theta)), weights, Average(0.9, theta), BATCH, data, data is not None, dropout_rate, False
    )
    return made._replace(**changes)


def test_what_a_step_carries_is_the_state_of_the_run():
    _, names = build_step(plan())
    sizes = ["times/squares", "times/counts", "times/not_finite"]
    assert names.carried == ["theta", "mean", "mean_square", "steps", *sizes, "average", "average/steps"]
    _, names = build_step(plan(rule=RMSProp, time_weights=None, average=None))
    assert names.carried == ["theta", "mean_square"]


def test_noise_is_drawn_or_given():
    drawn, names = build_step(plan())
    assert [draw.kind for draw in drawn.drawn] == ["positions", "normal", "uniform"]
    assert names.sequences == ["index", "rate", "count", "exponent"]
    given, names = build_step(plan(noise="host"))
    assert given.drawn == []
    assert names.sequences == ["index", "rate", "count", "exponent", "positions", "N", "U"]


def test_times_of_the_release_are_single():
    step, _ = build_step(plan(time_weights=None, single_time=True))
    assert (step.drawn[0].kind, step.drawn[0].parameter) == ("single_time", T)
    step, _ = build_step(plan(time_weights=None))
    assert (step.drawn[0].kind, step.drawn[0].parameter) == ("times", T)


def test_crops_have_as_many_places_as_fit():
    """An image of 11 x 13 has 4 x 6 places of a square of 8."""
    step, _ = build_step(plan(data=((61, 1, 11, 13), "uint8")))
    corners = [draw for draw in step.drawn if draw.kind == "corners"]
    assert [draw.parameter for draw in corners] == [4, 6]


def test_masks_of_dropout_have_their_rate():
    step, _ = build_step(plan(dropout_rate=0.25))
    masks = [draw for draw in step.drawn if draw.kind == "mask"]
    assert masks
    assert {draw.parameter for draw in masks} == {0.25}


def test_minibatches_are_sent_where_the_data_are_on_the_host():
    step, names = build_step(plan(data=None))
    assert names.constants == ["number"]
    assert names.sequences[0] == "X"
    assert step.sequences[0].type.shape == (BATCH, 1, 8, 8)


def test_rows_of_devices_have_the_numbers_of_one_device(monkeypatch):
    """Of 12 examples at two times each, the second of three devices has the examples 4 to 7, twice."""
    made = plan(n_t=2)
    assert made.numbers.tolist() == list(range(24))
    monkeypatch.setattr(made.compiled.engine, "peers", SimpleNamespace(n_devices=3))
    assert (made.examples, made.rows) == (4, 8)
    assert made.numbers.reshape(3, 8)[1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]


def test_microbatches_divide_the_rows(monkeypatch):
    """At most five rows each: four of twelve; with dropout all at once."""
    made = plan()
    monkeypatch.setattr(made.compiled, "microbatch_size", lambda n: 5)
    assert made.n_microbatches == 3
    assert made._replace(dropout_rate=0.5).n_microbatches == 1


def test_graph_is_identified_unless_it_has_dropout():
    assert plan(dropout_rate=0.5).facts() is None
    facts = {str(p.facts()) for p in (plan(), plan(rule=RMSProp), plan(time_weights=None), plan(average=None))}
    assert len(facts) == 4


@pytest.mark.parametrize("rule", [Adam, RMSProp])
@pytest.mark.parametrize("data", [((61, 1, 8, 8), "uint8"), ((61, 1, 11, 13), "uint8")], ids=["whole", "cropped"])
def test_nothing_is_float64_in_a_float32_step(rule, data):
    step, _ = build_step(plan(dtype="float32", rule=rule, data=data))
    new, outputs, givens = step.build()
    graphs = ancestors([*new, *outputs, *(value for _, value in givens)])
    assert not [v for v in graphs if getattr(v.type, "dtype", "") == "float64"]
