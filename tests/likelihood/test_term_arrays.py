"""Means over examples of like times, which the error of the draws leaves out."""

import numpy as np

from dpm.likelihood.term_arrays import LOCAL, subtract_local_mean


def test_a_smooth_function_of_the_times_vanishes_and_noise_keeps_its_variance():
    rng = np.random.default_rng(0)
    times = rng.integers(2, 1000, (2000, 3))
    left = subtract_local_mean(times, times.astype(float))
    assert np.abs(left).max() < 0.05 * times.std()
    noise = rng.standard_normal((2000, 3))
    assert abs(subtract_local_mean(times, noise).var() - 1) < 5 * np.sqrt(2 / 6000)


def test_the_groups_are_of_examples_in_the_order_of_their_times():
    times = np.arange(2 * LOCAL)[::-1, None]
    values = (times >= LOCAL).astype(float)
    np.testing.assert_array_equal(subtract_local_mean(times, values), 0)
