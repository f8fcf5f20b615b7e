"""Random numbers are functions of a seed and a position."""

import numpy as np
import pytest
from scipy import stats

from dpm.base import noise


def test_draws_depend_only_on_seed_purpose_and_position():
    first = noise.generator(3, noise.TRAINING, 7).random(4)
    np.testing.assert_array_equal(first, noise.generator(3, noise.TRAINING, 7).random(4))
    for other in [(4, noise.TRAINING, 7), (3, noise.TRAINING, 8), (3, noise.EVALUATION, 7)]:
        assert not np.array_equal(first, noise.generator(*other).random(4))


@pytest.mark.parametrize("times", [noise.single_time, noise.stratified_times])
def test_times_are_integers_and_uniform_over_2_to_T(times):
    """Chi-square over many seeds for example 0."""
    T = 6
    draws = np.array([times(np.random.default_rng(s), 4, T)[0] for s in range(3000)])
    assert set(draws) == set(range(2, T + 1))
    counts = np.bincount(draws.astype(int))[2:]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_stratified_times_cover_every_part():
    """n = k (T - 1) examples get each time exactly k times."""
    t = noise.stratified_times(np.random.default_rng(0), 27, 10)
    np.testing.assert_array_equal(np.bincount(t.astype(int))[2:], 3)


def test_single_time_is_one_for_all():
    assert len(set(noise.single_time(np.random.default_rng(1), 50, 1000))) == 1


def test_minibatch_noise_has_the_right_distributions():
    t, N, U = noise.minibatch_noise(np.random.default_rng(0), (50, 1, 8, 8), 100, "normal")
    assert t.shape == (50,)
    assert stats.kstest(N.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(U.ravel(), "uniform").pvalue > 1e-3


def test_example_noise_does_not_depend_on_the_batch():
    whole = noise.example_noise(0, noise.EVALUATION, [0, 1, 2, 3], (1, 2, 2), "normal")
    part = noise.example_noise(0, noise.EVALUATION, [2, 3], (1, 2, 2), "normal")
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[2:], b)
    again = noise.example_noise(0, noise.EVALUATION, [2, 3], (1, 2, 2), "normal", draw=1)
    assert not np.array_equal(part[0], again[0])


def test_sample_noise_advances_and_does_not_depend_on_the_number():
    many, few = noise.ExampleNoise(5, 0, 4), noise.ExampleNoise(5, 2, 1)
    for _ in range(3):
        draw, single = many((4, 1, 2, 2)), few((1, 1, 2, 2))
        np.testing.assert_array_equal(draw[2:3], single)
    assert not np.array_equal(draw, many((4, 1, 2, 2)))


@pytest.mark.parametrize("kind", noise.DRAWS)
def test_prefetched_draws_are_those_of_single_draws(monkeypatch, kind):
    """A seed gives the same samples, however many steps are drawn at once."""
    draws = []
    for count in (1, 30, 4_000_000):
        monkeypatch.setattr(noise, "N_PREFETCHED", count)
        source = noise.ExampleNoise(5, 0, 2, kind)
        draws.append([source((2, 3)) for _ in range(12)])
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])
    with pytest.raises(ValueError, match="that of the draws before"):
        source((2, 4))


def test_crops_are_pieces_of_their_images_at_uniform_places():
    X = np.arange(6 * 8, dtype=float).reshape(1, 1, 6, 8).repeat(3000, 0)
    crops = noise.draw_crops(np.random.default_rng(0), X, 4)
    assert crops.shape == (3000, 1, 4, 4)
    rows, columns = np.divmod(crops[:, 0, 0, 0].astype(int), 8)
    for crop, i, j in zip(crops[:50], rows, columns, strict=False):
        np.testing.assert_array_equal(crop[0], X[0, 0, i : i + 4, j : j + 4])
    for places, n in ((rows, 3), (columns, 5)):
        counts = np.bincount(places, minlength=n)
        assert len(counts) == n
        assert abs(counts - 3000 / n).max() < 4 * (3000 / n) ** 0.5


def test_key_of_a_device_depends_on_seed_and_purpose():
    keys = {tuple(noise.device_key(*pair)) for pair in ((0, 1), (0, 2), (1, 1), (2**70, 1))}
    assert len(keys) == 4
    assert noise.device_key(0, 1).dtype == np.uint32
