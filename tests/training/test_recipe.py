"""Learning rates over a run and averaged parameters (dpm/training/recipe.py)."""

import numpy as np
import pytest

from dpm.experiments.variants import CORRECTED, RELEASED
from dpm.optimizers import decay_learning_rate
from dpm.runs.setting_checks import LR_SCHEDULES
from dpm.training.recipe import FACTORS, Average, Recipe


def test_every_schedule_of_the_settings_exists():
    assert tuple(sorted(("release", *FACTORS))) == tuple(sorted(LR_SCHEDULES))


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("constant", [2, 2, 2, 2, 2]),
        ("linear", [2, 1.5, 1, 0.5, 0]),
        ("cosine", [2, 1 + np.cos(np.pi / 4), 1, 1 - np.cos(np.pi / 4), 0]),
        ("late-linear", [2, 2, 2, 1, 0]),
    ],
)
def test_rates_at_each_quarter_of_the_run(name, rates):
    recipe = Recipe(lr_schedule=name)
    found = [recipe.learning_rate(2.0, 10**6, part, CORRECTED) for part in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx(rates, abs=1e-12)


@pytest.mark.parametrize("name", LR_SCHEDULES)
def test_warm_up_multiplies_the_rate_of_the_schedule(name):
    plain, warm = Recipe(lr_schedule=name), Recipe(lr_schedule=name, warmup=4)
    factors = [
        warm.learning_rate(1e-3, k, k / 100, CORRECTED) / plain.learning_rate(1e-3, k, k / 100, CORRECTED)
        for k in range(6)
    ]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_warm_up_is_not_longer_than_a_tenth_of_the_run():
    """Where the rate ends with the run; with a rate that does not, nothing is known of the run's length."""
    recipe = Recipe(lr_schedule="linear", warmup=100)
    rates = [recipe.learning_rate(1.0, k, k / 40, CORRECTED) for k in (0, 2, 4, 20)]
    assert rates == pytest.approx([0.01, 0.5 * (1 - 2 / 40), 1 - 4 / 40, 0.5])
    assert Recipe(lr_schedule="constant", warmup=100).learning_rate(1.0, 4, 0.0, CORRECTED) == pytest.approx(0.05)


@pytest.mark.parametrize(("variant", "low"), [(CORRECTED, 5e-5), (RELEASED, 1e-4)])
def test_the_release_s_schedule_is_that_of_2015(variant, low):
    """Multiplied by 10^(-1/1000) every 500 steps, not below 1e-4, to which the release raises a lower rate."""
    recipe = Recipe()
    assert recipe.learning_rate(1e-3, 499, 0.3, variant) == 1e-3
    assert recipe.learning_rate(1e-3, 1000, 0.9, variant) == decay_learning_rate(1e-3, 1000)
    assert recipe.learning_rate(5e-5, 1000, 0.9, variant) == pytest.approx(low, rel=0.01)


@pytest.mark.parametrize("name", LR_SCHEDULES)
def test_a_rate_has_ended_where_its_factor_is_0(name):
    """After all epochs, or all hours; the rates that do not fall to 0 never end."""
    recipe = Recipe(lr_schedule=name)
    ends = recipe.learning_rate(1.0, 10, 1.0, CORRECTED) == pytest.approx(0, abs=1e-12)
    assert ends == (name not in ("release", "constant"))
    for limits, before, after in (((6, None), (5.9, 9e9), (6, 0)), ((None, 0.5), (99, 1799), (0, 1800))):
        epochs, hours = limits
        found = [recipe.has_ended(epoch, epochs, seconds, hours) for epoch, seconds in (before, after)]
        assert found == [False, ends]
    assert not recipe.has_ended(9, None, 9e9, None)


def test_average_is_the_weighted_sum_of_the_parameters():
    """With d_k = min(0.5, (1 + k) / (10 + k)): a_1 = d_1 x_1 + (1 - d_1) x_1, a_k = d_k a_{k-1} + (1 - d_k) x_k."""
    points = np.random.default_rng(0).standard_normal((30, 4))
    average = Average(0.5, np.zeros(4))
    expected = points[0]
    for k, x in enumerate(points, start=1):
        average.update(x)
        decay = min(0.5, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * x
    np.testing.assert_allclose(average.theta, expected, rtol=1e-12)
    assert average.steps == 30


def test_the_average_does_not_share_memory_with_the_parameters():
    x = np.ones(3)
    average = Average(0.9, x)
    average.update(x)
    x += 1
    np.testing.assert_array_equal(average.theta, 1)
