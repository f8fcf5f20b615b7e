"""Weighted particles."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.trajectories.particles import Particles, draw_systematic


def test_systematic_resampling_is_within_one_of_each_expected_count():
    rng = np.random.default_rng(0)
    weights = rng.random(50)
    weights /= weights.sum()
    counts = np.bincount(draw_systematic(weights, rng.random()), minlength=50)
    assert np.all(np.abs(counts - 50 * weights) < 1)


@pytest.mark.parametrize(("value", "words"), [(np.nan, "not a finite number"), (-np.inf, "0 at every particle")])
def test_weights_that_are_nan_or_all_0_are_refused(value, words):
    particles = Particles(4, np.random.default_rng(0))
    with pytest.raises(InputError, match=words):
        particles.update(np.zeros((4, 2)), np.full(4, value))
