"""Mixtures of bits compared with sums over all states, all components and data of known distribution."""

import itertools

import numpy as np
import pytest
from scipy import stats

from dpm.datasets.made.generators import heartbeat
from dpm.likelihood.bernoulli_mixture import PSEUDO_COUNT, BernoulliMixture, expectation_maximization, fit, maximize

STATES = np.array(list(itertools.product((0.0, 1.0), repeat=6)))


@pytest.fixture
def mixture():
    rng = np.random.default_rng(0)
    return BernoulliMixture(np.array([0.5, 0.2, 0.3]), rng.random((3, 6)))


def joint(mixture, x):
    """Return p(x, k) for each k, factor by factor, from scipy's Bernoulli."""
    return [w * stats.bernoulli.pmf(x, rates).prod() for w, rates in zip(*mixture, strict=True)]


def test_probabilities_of_all_states_sum_to_1(mixture):
    assert np.exp(mixture.score_samples(STATES)).sum() == pytest.approx(1, rel=1e-12)


def test_probability_of_a_state_is_the_sum_over_components(mixture):
    expected = [np.log(sum(joint(mixture, x))) for x in STATES]
    np.testing.assert_allclose(mixture.score_samples(STATES), expected, rtol=1e-12)


def test_component_of_weight_0_changes_nothing(mixture):
    more = BernoulliMixture(np.append(mixture.weights, 0), np.vstack([mixture.rates, np.full(6, 0.5)]))
    np.testing.assert_allclose(more.score_samples(STATES), mixture.score_samples(STATES), rtol=1e-14)


def test_maximize_counts_ones_of_assigned_examples():
    """Rate (ones + 1/2) / (n + 1), the mode under a Beta(3/2, 3/2); weights are shares."""
    X = np.array([[1.0, 0], [1, 0], [1, 1], [0, 1]])
    result = maximize(X, np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]))
    np.testing.assert_allclose(result.weights, [3 / 4, 1 / 4])
    np.testing.assert_allclose(result.rates, [[3.5 / 4, 1.5 / 4], [0.5 / 2, 1.5 / 2]])


def test_em_ends_at_a_fixed_point_of_enumerated_posteriors(mixture):
    """At a fixed point the mixture equals the one from Bayes' rule, term by term, and counting."""
    X = STATES[np.random.default_rng(0).integers(0, 64, 40)]
    result = expectation_maximization(X, mixture)
    shares = np.array([np.divide(j, sum(j)) for j in (joint(result, x) for x in X)])
    again = maximize(X, shares)
    before = [np.log(sum(joint(m, x))) for m in (result, again) for x in X]
    assert np.mean(before[40:]) == pytest.approx(np.mean(before[:40]), abs=1e-5)
    assert result.score_samples(X).mean() > mixture.score_samples(X).mean()


def test_em_steps_never_lower_the_posterior_of_the_rates(mixture):
    """EM never lowers the likelihood times the Beta prior."""
    X = STATES[np.random.default_rng(1).integers(0, 64, 50)]
    values = []
    for _ in range(15):
        prior = PSEUDO_COUNT * (np.log(mixture.rates) + np.log1p(-mixture.rates)).sum()
        values.append(mixture.score_samples(X).sum() + prior)
        shares = np.exp(mixture.log_joint(X) - mixture.score_samples(X)[:, None])
        mixture = maximize(X, shares)
    assert np.diff(values).min() > -1e-9
    assert values[-1] > values[0] + 1


@pytest.mark.parametrize("seed", range(5))
def test_five_components_recover_the_heartbeat(seed):
    """Each of five phases has probability 1/5: -log 5 nats; the rates are 0 and 1 up to the pseudo-count."""
    pytest.importorskip("sklearn")
    X = heartbeat(np.random.default_rng(10 + seed), 4000).astype(float)
    result = fit(X, 5, np.random.default_rng(seed))
    assert result.score_samples(X).mean() == pytest.approx(-np.log(5), abs=0.02)
    phases = heartbeat(np.random.default_rng(0), 200)
    assert len(np.unique(result.rates.round(), axis=0)) == 5
    assert {tuple(r) for r in result.rates.round().astype(int)} == {tuple(p) for p in phases}


def test_one_component_has_the_entropy_of_independent_bits():
    """The entropy of independent bits: -sum of H(rate), with the rates of the data."""
    pytest.importorskip("sklearn")
    X = (np.random.default_rng(0).random((20_000, 3)) < [0.1, 0.5, 0.7]).astype(float)
    result = fit(X, 1, np.random.default_rng(0))
    expected = -sum(stats.entropy([r, 1 - r]) for r in X.mean(axis=0))
    assert result.score_samples(X).mean() == pytest.approx(expected, abs=1e-6)
