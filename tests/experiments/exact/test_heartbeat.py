"""Log likelihood and ceiling of heartbeats, against numbers computed independently and by enumeration."""

from itertools import pairwise, product

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.experiments.exact import heartbeat

# Computed independently, by enumeration: T, ceiling of K, H_q(X_1 | X_0), in bits per sequence.
CEILINGS = [
    (20, -4.84257, 2.26186),
    (40, -3.74079, 1.29240),
    (100, -2.97370, 0.60191),
    (200, -2.67975, 0.33301),
    (500, -2.48196, 0.15014),
    (1000, -2.40834, 0.08147),
    (2000, -2.36833, 0.04394),
    (4000, -2.34673, 0.02357),
]


def test_log_likelihood_and_L_null():
    assert heartbeat.log_likelihood() == pytest.approx(-2.321928, abs=1e-6)
    assert heartbeat.L_null() == pytest.approx(-14.43856, abs=1e-5)


@pytest.mark.parametrize(("T", "ceiling", "entropy"), CEILINGS)
def test_ceiling_and_first_entropy_match_enumeration(T, ceiling, entropy):
    assert heartbeat.ceiling(T) == pytest.approx(ceiling, abs=0.6e-5)
    assert heartbeat.first_entropy(T) == pytest.approx(entropy, abs=0.6e-5)


# At length 3, the first phase has two bins and the second one.
@pytest.mark.parametrize(("T", "pi", "length", "period"), [(3, 0.5, 4, 2), (3, 0.3, 4, 2), (4, 0.2, 3, 2)])
def test_small_ceiling_matches_the_sum_over_all_trajectories(T, pi, length, period):
    expected = enumerated_bound(T, pi, length, period)
    assert heartbeat.ceiling(T, pi, length, period) == pytest.approx(expected, abs=1e-12)


def test_ceiling_of_one_step_is_L_null():
    assert heartbeat.ceiling(1) == pytest.approx(heartbeat.L_null(), abs=1e-12)


def test_ceiling_approaches_the_log_likelihood():
    gaps = [heartbeat.log_likelihood() - heartbeat.ceiling(T) for T in (100, 200, 400, 800)]
    assert all(0 < later < earlier for earlier, later in pairwise(gaps))
    assert heartbeat.log_likelihood(2) - heartbeat.ceiling(3000, 0.5, 4, 2) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"T": 0}, r"^T=0: "),
        ({"T": 3, "pi": 0}, r"^pi=0: the probability of a 1 must be above 0 and below 1"),
        ({"T": 3, "pi": 1.0}, r"^pi=1\.0: "),
        ({"T": 3, "length": 0}, r"^length=0: "),
        ({"T": 3, "period": 21}, r"^period=21: .*\b20\b"),
    ],
    ids=str,
)
@pytest.mark.parametrize("function", [heartbeat.ceiling, heartbeat.first_entropy])
def test_invalid_chain_is_an_error(function, arguments, message):
    with pytest.raises(InputError, match=message):
        function(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heartbeat.log_likelihood(0), r"^period=0: "),
        (lambda: heartbeat.L_null(2.0), r"^pi=2\.0: "),
    ],
)
def test_invalid_argument_is_an_error(call, message):
    with pytest.raises(InputError, match=message):
        call()


def enumerated_bound(T, pi, length, period):
    """Sum K over all trajectories x_0..x_T, with p(x_{t-1} | x_t) the product of the exact marginals of its bits."""
    states = np.array(list(product([0, 1], repeat=length)))
    step = {}
    for t in range(1, T + 1):
        beta = 1 / (T - t + 1)
        on = states * (1 - beta) + pi * beta
        step[t] = np.where(states[None] == 1, on[:, None], 1 - on[:, None]).prod(-1)
    data = np.zeros(len(states))
    for phase in range(period):
        data += (states == (np.arange(length) % period == phase)).all(1) / period
    log_pi = np.log(np.where(states == 1, pi, 1 - pi)).sum(1)
    # K = E log pi(x_T) + sum over t = 2..T of E log p(x_{t-1} | x_t) / q(x_t | x_{t-1}); joint[x_{t-1}, x_t]
    marginal, nats = data @ step[1], 0.0
    for t in range(2, T + 1):
        joint = marginal[:, None] * step[t]
        marginal = joint.sum(0)
        on = states.T @ joint / marginal
        reverse = np.where(states[:, :, None] == 1, on[None], 1 - on[None]).prod(1)
        nats += (joint * np.log(reverse / step[t])).sum()
    return (nats + marginal @ log_pi) / np.log(2)
