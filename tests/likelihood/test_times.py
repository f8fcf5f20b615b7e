"""Strata of times that are dense where the terms of Eq. 14 are large: exact weights, sizes that follow the terms."""

from itertools import pairwise

import numpy as np
import pytest

from dpm.likelihood.times import UNIFORM_SHARE, TermSizes, bin_edges, draw_positions, find_indices, mix_uniform


@pytest.mark.parametrize(("T", "n_strata"), [(2, 1), (12, 5), (1000, 2000), (1000, 37)])
def test_expectation_over_all_strata_is_the_exact_sum_over_t(T, n_strata):
    """Eq. 14: each stratum of [0, 1) enumerated, as the intervals on which t is constant; f is any function of t."""
    f = np.random.default_rng(0).standard_normal(T - 1) * np.arange(2, T + 1) ** -1.5
    p = mix_uniform(np.arange(2, T + 1) ** -1.7)
    strata = np.arange(n_strata + 1) / n_strata
    ends = np.unique(np.concatenate([strata, np.clip(np.cumsum(p), 0, 1), [0, 1]]))
    index = find_indices(p, (ends[:-1] + ends[1:]) / 2)
    estimates = f[index] / p[index]
    # The mean over a stratum is that over its intervals; the estimate is the mean over the strata.
    lengths = np.diff(ends)
    means = [
        np.sum((lengths * estimates)[(ends[:-1] >= low) & (ends[:-1] < high)]) / (high - low)
        for low, high in pairwise(strata)
    ]
    assert np.mean(means) == pytest.approx(f.sum(), abs=1e-10 * np.abs(f).sum())


def test_each_stratum_has_one_position_and_each_example_one_in_each_part():
    n, k = 7, 4
    positions = draw_positions(np.random.default_rng(0), n, k)
    assert sorted(np.floor(positions.ravel() * n * k)) == list(range(n * k))
    np.testing.assert_array_equal(np.floor(positions * k), np.tile(np.arange(k), (n, 1)))


def test_a_position_is_uniform_in_its_part():
    positions = np.stack([draw_positions(np.random.default_rng(seed), 3, 2)[0] for seed in range(4000)])
    counts, _ = np.histogram(positions, bins=10, range=(0, 1))
    np.testing.assert_allclose(counts, 800, atol=4 * np.sqrt(800))


def test_probabilities_sum_to_1_with_a_uniform_share():
    p = mix_uniform([0.0, 1.0, 3.0])
    np.testing.assert_allclose(p, UNIFORM_SHARE / 3 + (1 - UNIFORM_SHARE) * np.array([0, 0.25, 0.75]))
    assert find_indices(p, [0.0, 1.0]).tolist() == [0, 2]


@pytest.mark.parametrize("T", [2, 3, 12, 1000, 4000])
def test_bins_cover_all_times_once(T):
    edges = bin_edges(T)
    assert (edges[0], edges[-1]) == (2, T + 1)
    assert (np.diff(edges) >= 1).all()
    np.testing.assert_array_equal(np.searchsorted(edges, np.arange(2, T + 1), side="right") - 1, TermSizes(T).bins)


def test_terms_that_are_not_finite_are_counted_and_change_nothing():
    sizes, clean = TermSizes(100), TermSizes(100)
    sizes.update([2, 50, 50, 99], [3.0, np.nan, np.inf, 1.0])
    clean.update([2, 99], [3.0, 1.0])
    assert sizes.not_finite == 2
    np.testing.assert_array_equal(sizes.rms(), clean.rms())
    assert np.isfinite(mix_uniform(sizes.rms())).all()


def test_sizes_follow_terms_that_change_and_forget_old_ones():
    sizes, rng = TermSizes(1000), np.random.default_rng(0)
    for scale in (100.0, 1.0):
        for _ in range(3000):
            t = rng.integers(2, 1001, 64)
            sizes.update(t, scale * t**-1.0)
    few = sizes.times > 60  # bins of many times, which have seen many draws
    np.testing.assert_allclose(sizes.rms()[few], 1 / sizes.times[few], rtol=0.1)
