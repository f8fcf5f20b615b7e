"""The log, the progress line and plots every n epochs."""

from types import SimpleNamespace

import numpy as np
import pytest

from dpm.experiments.variants import CORRECTED
from dpm.likelihood.bound import default_times
from dpm.training.loop import Loop
from dpm.training.monitoring import FEW_TIMES, EveryN, HeldOutBound, Printing
from tests.helpers.graphs import compiled_vectors


class Plot:
    def __init__(self):
        self.steps = []

    def do(self, loop):
        self.steps.append(loop.state.step)


def loop_at(epoch, stopped=False):
    state = SimpleNamespace(step=10 * epoch)
    return SimpleNamespace(epoch=epoch, stopped=stopped, unsaved=set(), state=state, quiet=True)


def test_plot_is_made_every_n_epochs_and_once_at_the_end():
    plot = Plot()
    every = EveryN(plot, 2)
    every.before_training(loop_at(0))
    for epoch in (1, 2, 3, 4):
        every.after_epoch(loop_at(epoch))
    every.after_training(loop_at(4))
    assert plot.steps == [20, 40]
    every.after_training(loop_at(5))
    assert plot.steps == [20, 40, 50]


def test_plot_before_training_only_on_request_and_not_after_a_stop():
    plot = Plot()
    EveryN(plot, 2, before_training=True).before_training(loop_at(0))
    assert plot.steps == [0]
    EveryN(plot, 2).after_training(loop_at(1, stopped=True))
    assert plot.steps == [0]


@pytest.mark.parametrize(("hours", "text"), [(None, "/7"), (1.0, ", 45 min left,")])
def test_progress_line_estimates_the_remaining_time(hours, text):
    loop = SimpleNamespace(hours=hours, epochs=7, state=SimpleNamespace(seconds=900))
    assert Printing(quiet=True)._left(loop) == text


@pytest.mark.parametrize(
    ("given", "few"),
    [
        ({"step": 10}, True),
        ({"step": 20}, False),
        ({"step": 10, "seconds": 3600.0}, False),
        ({"step": 13, "seconds": 3600.0}, False),
        ({"step": 70}, False),
        ({"step": 10, "stopped": True}, True),
    ],
    ids=["between", "second epoch", "hours end an epoch", "hours end within one", "last epoch", "only stopped"],
)
def test_run_is_evaluated_at_all_times_where_it_ends(given, few, monkeypatch):
    """Every second epoch, after the last of seven, and where the hour is over; a stopped run goes on later."""
    monkeypatch.setattr(Loop, "epoch_length", 10)
    loop = Loop(compiled_vectors(3), np.zeros((20, 2)), CORRECTED, 2, 7, 0)
    loop.hours, loop.stopped = 1.0, given.get("stopped", False)
    loop.state.step, loop.state.seconds = given["step"], given.get("seconds", 1.0)
    expected = FEW_TIMES if few else default_times(loop.compiled.model)
    assert HeldOutBound(loop.features, every=2).times_per_example(loop) == expected
    assert default_times(loop.compiled.model) > FEW_TIMES
