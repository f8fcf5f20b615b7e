"""The graphs of times and weights (dpm/training/device_times.py) against those of numpy (dpm/training/times.py)."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from dpm.training import device_times
from dpm.training.times import TimeWeights

T, N = 300, 64
CHOICES = [("importance", "K"), ("stratified", "balanced"), ("importance", "balanced-then-K")]


def seen(bins, times="importance", objective="K"):
    """Return TimeWeights that have seen terms in these bins of t only."""
    chosen = TimeWeights(T, times, objective)
    t = chosen.sizes.times[np.isin(chosen.sizes.bins, bins)]
    chosen.sizes.update(t, 5.0 * t**-1.5)
    return chosen


def compute(outputs, weights, **values):
    """Return the values of graphs that take the sizes of the terms as inputs."""
    sizes = {name: pt.as_tensor(np.asarray(array, dtype=float)) for name, array in weights.state().items()}
    return pytensor.function([], outputs(sizes), mode="FAST_COMPILE")()


@pytest.mark.parametrize("bins", [range(40), [0, 1, 7, 20], [5], []], ids=["all", "some", "one", "none"])
def test_root_mean_squares_are_those_of_term_sizes(bins):
    """Interpolated between the bins that have terms, constant outside, and 1 before any term."""
    weights = seen(list(bins))
    rms = compute(lambda sizes: device_times.root_mean_squares(weights, sizes), weights)
    np.testing.assert_allclose(rms, weights.sizes.rms(), rtol=1e-12)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("times", "objective"), CHOICES)
def test_times_and_weights_are_those_of_time_weights(times, objective, progress):
    weights = seen([0, 3, 9, 30], times, objective)
    positions = (np.arange(N) + np.random.default_rng(0).random(N)) / N
    exponent = weights.exponent(progress)
    graphs = compute(
        lambda sizes: [*device_times.weigh_times(weights, sizes, pt.as_tensor(positions), pt.as_tensor(exponent))],
        weights,
    )
    for ours, expected in zip(graphs, weights.place(positions, progress), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_sizes_after_a_minibatch_are_those_of_term_sizes():
    """Terms that are not finite are counted and left out; so are the copies that fill up the minibatch."""
    weights = seen([0, 3, 9, 30])
    rng = np.random.default_rng(0)
    t, terms = rng.integers(2, T + 1, N), rng.standard_normal(N)
    terms[[3, 5]] = np.nan, np.inf
    valid = np.arange(N) < 50
    graphs = [pt.as_tensor(a) for a in (t.astype(float), terms, valid.astype(float))]
    sums = device_times.sum_terms(weights, *graphs)
    ours = compute(lambda sizes: [*device_times.update_sizes(sizes, *sums).values()], weights)
    weights.sizes.update(t[valid], terms[valid])
    assert weights.sizes.not_finite == 2
    for value, expected in zip(ours, weights.state().values(), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12)
