"""The position of a run."""

import math

import numpy as np

from dpm.training.state import TrainingState


def test_cost_of_an_epoch_is_the_mean_over_its_examples():
    """As numpy's average of the minibatches, weighted by their sizes; NaN before the first."""
    assert math.isnan(TrainingState().epoch_cost)
    costs, sizes = np.array([3.0, 1.0, -2.0]), np.array([5, 5, 2])
    state = TrainingState(cost_sum=float(costs @ sizes), weight_sum=float(sizes.sum()))
    assert state.epoch_cost == np.average(costs, weights=sizes)


def test_two_runs_share_no_rows():
    TrainingState().rows.append({"epoch": 1})
    assert TrainingState().rows == []
