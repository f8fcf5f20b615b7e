"""One subfunction a step: the order, and that nothing but the rule moves the parameters."""

import numpy as np
import pytest

from dpm.optimizers import Adam, RMSProp, Stochastic

CENTRES = np.random.default_rng(0).standard_normal((7, 3))


def f_df(theta, index):
    away = theta - CENTRES[index]
    return 0.5 * away @ away, away


@pytest.mark.parametrize("rule", [Adam, RMSProp])
def test_each_pass_takes_every_subfunction_once_in_an_order_of_its_own(rule):
    """The steps are those of the rule by hand, with the generator's permutations and the rate of each step."""
    run = Stochastic(
        f_df, np.ones(3), range(7), rule=rule, learning_rate=lambda k: 0.1 / (1 + k), rng=np.random.default_rng(5)
    )
    found = run.optimize(num_passes=2)
    rng, by_hand, theta = np.random.default_rng(5), rule(3, "float64"), np.ones(3)
    orders = [rng.permutation(7), rng.permutation(7)]
    assert not np.array_equal(*orders)
    for k, index in enumerate(np.concatenate(orders)):
        theta = by_hand.step(theta, f_df(theta, index)[1], 0.1 / (1 + k))
    np.testing.assert_array_equal(found, theta)


@pytest.mark.parametrize(
    ("more", "message"), [({"rule": 3}, "rule=3 is not callable"), ({"learning_rate": -1}, "learning_rate")]
)
def test_what_is_no_rule_or_rate_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        Stochastic(f_df, np.ones(3), range(7), **more)
