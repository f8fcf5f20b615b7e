"""The loop that solves for the readouts in its last epoch; its resumption is tested with complete runs of the toys."""

from itertools import pairwise

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.runs.settings import Settings
from dpm.training import bernoulli_readouts
from dpm.training.building import prepare_loop
from dpm.training.readout_loop import ReadoutLoop
from tests.helpers.bounds import K_all_terms

ARGUMENTS = {"form": "paper", "trajectory_length": 10, "hidden": 24, "layers": 1}


@pytest.fixture
def make_loop(monkeypatch):
    """Return a function that makes the loop of a small run: steps of 20,000 examples, two per epoch."""
    monkeypatch.setattr(bernoulli_readouts, "EXAMPLES", 1000)

    def make(**given):
        settings = {"experiment": "heartbeat", "small": True, "model_args": ARGUMENTS, "batch_size": 20_000} | given
        return prepare_loop(Settings.from_arguments(**settings, quiet=True))[0]

    return make


class Recorder:
    """Keeps the parameters after each step, by path, and the mean cost of the epoch up to it."""

    def __init__(self):
        self.values, self.costs = [], []

    def after_batch(self, loop):
        self.costs.append(loop.state.epoch_cost)
        self.values.append({k: v.copy() for k, v in loop.compiled.layout.split(loop.averaged_theta).items()})


@pytest.mark.thorough
@pytest.mark.parametrize("given", [{}, {"ema": 0.5, "times": "importance", "optimizer": "rmsprop"}])
def test_hidden_layers_are_trained_first_and_each_readout_is_solved_once_at_last(make_loop, given):
    loop = make_loop(epochs=3, **given)
    assert isinstance(loop, ReadoutLoop)
    assert loop.epoch_length == 2
    recorder = Recorder()
    loop.extensions = [recorder]
    loop.run()
    assert len(recorder.values) == 6
    changed = [{k for k in a if not np.array_equal(a[k], b[k])} for a, b in pairwise(recorder.values)]
    (W,) = (k for k in recorder.values[0] if k.endswith("rates.W"))
    (first,) = (k for k in recorder.values[0] if k.endswith("first.W"))
    assert all({first, W} <= step for step in changed[:3])
    assert all(first not in step and W in step for step in changed[3:])
    before, middle, after = (values[W] for values in recorder.values[3:])
    solved = [np.flatnonzero((a != b).any(axis=(1, 2))) + 1 for a, b in ((before, middle), (middle, after))]
    assert [list(times) for times in solved] == [[2, 3, 4, 5, 6], [7, 8, 9, 10]]
    # K of the last epoch's first step is of the smooth readouts that came before it.
    theta = loop.compiled.layout.flatten(recorder.values[3], "float32")
    expected = K_all_terms(loop.compiled, theta, loop.features, 0, 2000, 2000)
    assert -recorder.costs[4] == pytest.approx(expected.value, abs=0.1)


def test_hours_are_refused_since_the_last_epoch_solves_for_the_readouts(make_loop):
    with pytest.raises(InputError, match=r"--hours 0.5: contradicts readouts='solved' of bits.*give --epochs"):
        make_loop(hours=0.5)


@pytest.mark.thorough
def test_a_longer_run_continues_from_the_smooth_readouts(make_loop):
    """Hidden layers fit the smooth readouts, so more epochs begin with them and not with the solved ones."""
    done, longer = make_loop(epochs=2), make_loop(epochs=4)
    done.run()
    longer.state.step = done.state.step
    longer.load(done.averaged_theta, done.optimizer_state())
    np.testing.assert_array_equal(longer.theta, done.theta)
    longer.train_batch(longer.inputs(longer.features[:20_000], 4))
    smooth = bernoulli_readouts.expand(longer.compiled, longer.smooth, longer.theta)
    np.testing.assert_array_equal(longer.averaged_theta, smooth)
    assert not np.array_equal(longer.theta, done.theta)


def test_rules_without_minibatch_steps_are_refused(make_loop):
    with pytest.raises(InputError, match="--optimizer sfo contradicts --model-args readouts='solved'"):
        make_loop(optimizer="sfo", batch_size=None)


def test_a_form_has_its_own_defaults_of_training():
    paper, further = (
        Settings.from_arguments(experiment="heartbeat", model_args={"form": form}) for form in ("paper", "further")
    )
    assert (paper.lr, paper.epochs) != (further.lr, further.epochs) == (3e-3, 60)
    given = Settings.from_arguments(experiment="heartbeat", model_args={"form": "paper"}, lr=0.5, epochs=7)
    assert (given.lr, given.epochs) == (0.5, 7)
