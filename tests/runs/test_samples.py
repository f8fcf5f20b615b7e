"""Samples of a run from Python equal those of the command; progress is shown on request only."""

import numpy as np

from dpm.runs.loading import open_run
from dpm.runs.samples import DEFAULT_N, draw_samples, repeat_images, sample


def test_samples_are_numbered_and_in_data_units(trained):
    run = open_run(trained)
    five, seven = sample(run, n=5), sample(run, n=7)
    np.testing.assert_allclose(seven[:5], five, atol=1e-6)
    assert five.dtype == np.float64
    assert sample(run).shape == (DEFAULT_N, 1, 8, 8)
    assert not np.array_equal(sample(run, n=5, seed=1), five)


def test_states_are_kept_at_every_nth_time(trained):
    run = open_run(trained)
    result = draw_samples(run, 3, 0, every=4)
    assert result.times == [10, 6, 2, 0]
    assert result.states.shape == (4, 3, 1, 8, 8)
    np.testing.assert_array_equal(result.states[-1], result.X)
    assert draw_samples(run, 3, 0).states.shape == (0, 3, 1, 8, 8)


def test_images_are_used_cyclically():
    images = np.arange(3.0)
    np.testing.assert_array_equal(repeat_images(images, 2, 5), [2, 0, 1, 2, 0])
