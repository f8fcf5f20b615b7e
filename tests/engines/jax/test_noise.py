"""Numbers drawn by JAX: their distributions, and what they depend on."""

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("jax")

from dpm.base import noise
from tests.helpers.device_noise import draw

N = 100_000
WORDS = noise.device_key(0, noise.TRAINING)
TINY = 1e-4  # of a test's p-value: seeds are fixed


def one(kind, n, *parameter, shape=(), position=0, **more):
    """The numbers of a single input."""
    return draw(WORDS, position, range(n), [(kind, shape, *parameter)], **more)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_and_uniform_numbers(dtype):
    normal, uniform = draw(WORDS, 0, range(N // 10), [("normal", (10,)), ("uniform", (10,))], dtype=dtype)
    assert normal.dtype == uniform.dtype == dtype
    assert stats.kstest(normal.ravel(), "norm").pvalue > TINY
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > TINY
    assert uniform.min() >= 0
    assert uniform.max() < 1
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        values = normal.astype(np.float64) ** power
        assert values.mean() == pytest.approx(moment, abs=4 * values.std() / np.sqrt(N))


def test_numbers_of_other_steps_examples_inputs_seeds_and_purposes_are_independent():
    first, second = draw(WORDS, 0, range(N), [("normal", (2,)), ("normal", (2,))])
    others = [draw(words, step, examples, [("normal", (2,))])[0] for words, step, examples in (
        (WORDS, 1, range(N)),
        (WORDS, 0, range(N, 2 * N)),
        (noise.device_key(1, noise.TRAINING), 0, range(N)),
        (noise.device_key(0, noise.TERMS), 0, range(N)),
    )]  # fmt: skip
    columns = [array[:, i] for array in (first, second, *others) for i in range(2)]
    columns.append(np.roll(first[:, 0], 1))  # neighboring examples
    correlations = np.corrcoef(columns)[np.triu_indices(len(columns), 1)]
    assert abs(correlations).max() < 4 / np.sqrt(N)
    squares = np.corrcoef(np.square(columns))[np.triu_indices(len(columns), 1)]
    assert abs(squares).max() < 4 / np.sqrt(N)


def test_numbers_of_a_row_do_not_depend_on_the_other_rows():
    kinds = [("normal", (3,)), ("uniform", (2, 2)), ("mask", (5,), 0.3), ("corners", (2,), 9)]
    for whole, part in zip(
        draw(WORDS, 7, range(10), kinds), draw(WORDS, 7, [8, 2, 5], kinds, count=1, group=3), strict=True
    ):
        np.testing.assert_array_equal(part, whole[[8, 2, 5]])


def test_numbers_repeat():
    np.testing.assert_array_equal(one("normal", 100), one("normal", 100))
    assert not np.isin(one("normal", 100, position=1), one("normal", 100)).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_positions_are_one_in_each_stratum_in_random_order(dtype):
    n = 1000
    positions = [one("positions", n, position=step, dtype=dtype).astype(np.float64) for step in range(100)]
    for p in positions:
        within = np.sort(p) * n - np.arange(n)  # its own stratum, but for float32's rounding
        assert within.min() >= -1e-4
        assert within.max() <= 1 + 1e-4
    flat = np.concatenate(positions)
    assert stats.kstest(flat * n % 1, "uniform").pvalue > TINY  # within a stratum
    # A row's stratum is uniform over steps, and neighbors' are independent but for being different.
    table = np.array(positions)
    assert stats.kstest(table[:, 0], "uniform").pvalue > TINY
    correlation = np.corrcoef(table[:, :-1].ravel(), table[:, 1:].ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(table.size) + 1 / n


def test_rows_that_are_no_examples_leave_the_strata_of_the_others():
    n, group = 7, 10
    p = one("positions", group, count=n)
    np.testing.assert_array_equal(np.sort(np.floor(p[:n] * n)), np.arange(n))
    # Repeated minibatches: the examples of each group together.
    p = one("positions", 2 * group, count=n, group=group)
    real = np.arange(2 * group) % group < n
    np.testing.assert_array_equal(np.sort(np.floor(p[real] * 2 * n)), np.arange(2 * n))


@pytest.mark.parametrize("T", [2, 5, pytest.param(40, marks=pytest.mark.slow)])
def test_times_are_uniform_over_2_to_T(T):
    t = np.concatenate([one("times", 100, T, position=step) for step in range(50)])
    assert set(t) == set(range(2, T + 1))
    single = np.concatenate([one("single_time", 3, T, position=step)[:1] for step in range(15 * T)])
    assert set(single) == set(range(2, T + 1))
    if T > 2:
        # Strata make the counts of `times` vary less than chance does.
        assert stats.chisquare(np.unique(t, return_counts=True)[1]).pvalue > TINY
        assert stats.chisquare(np.unique(single, return_counts=True)[1]).pvalue > TINY


def test_times_of_rows_that_are_no_examples_are_times():
    t = one("times", 50, 9, count=3)
    assert t.min() >= 2
    assert t.max() <= 9


def test_a_single_time_is_that_of_a_group():
    t = one("single_time", 12, 1000, count=4, group=4)
    assert [len(set(rows)) for rows in t.reshape(3, 4)] == [1, 1, 1]
    assert len(set(t)) == 3


def test_masks_keep_the_mean():
    for rate in (0.1, 0.5):
        mask = one("mask", 1000, rate, shape=(100,))
        assert set(np.unique(mask)) == {0.0, 1 / (1 - rate)}
        kept = (mask > 0).mean()
        assert kept == pytest.approx(1 - rate, abs=4 * np.sqrt(rate * (1 - rate) / N))


def test_corners_are_uniform_over_their_places():
    corners = one("corners", N // 2, 5, shape=(2,))
    assert set(np.unique(corners)) == set(range(5))
    assert stats.chisquare(np.unique(corners, return_counts=True)[1]).pvalue > TINY
    assert abs(np.corrcoef(corners.T)[0, 1]) < 4 / np.sqrt(N // 2)
