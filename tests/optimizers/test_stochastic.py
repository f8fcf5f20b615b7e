"""Test Stochastic: the order of the subfunctions, and that only the rule moves the parameters."""

import numpy as np
import pytest

from dpm.optimizers import Adam, RMSProp, Stochastic

CENTERS = np.random.default_rng(0).standard_normal((7, 3))


def f_df(theta, index):
    away = theta - CENTERS[index]
    return 0.5 * away @ away, away


@pytest.mark.parametrize("rule", [Adam, RMSProp])
def test_each_pass_takes_every_subfunction_once_in_a_new_order(rule):
    """The steps equal the rule applied by hand, with the generator's permutations and the rate of each step."""
    run = Stochastic(
        f_df, np.ones(3), range(7), rule=rule, learning_rate=lambda k: 0.1 / (1 + k), rng=np.random.default_rng(5)
    )
    theta = run.optimize(num_passes=2)
    rng, by_hand, expected = np.random.default_rng(5), rule(3, "float64"), np.ones(3)
    orders = [rng.permutation(7), rng.permutation(7)]
    assert not np.array_equal(*orders)
    for k, index in enumerate(np.concatenate(orders)):
        expected = by_hand.step(expected, f_df(expected, index)[1], 0.1 / (1 + k))
    np.testing.assert_array_equal(theta, expected)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rule": 3}, "rule: got 3; expected Adam, RMSProp or a function"),
        ({"learning_rate": -1}, "learning_rate: got -1; expected a number above 0"),
    ],
)
def test_an_invalid_rule_or_rate_raises_an_error(more, message):
    with pytest.raises(ValueError, match=message):
        Stochastic(f_df, np.ones(3), range(7), **more)
