"""Mixtures of independent bits, by expectation maximization: what scikit-learn has not."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

# Added to the number of ones and of zeros in each component, so that no rate is 0 or 1: MAP under a Beta(3/2, 3/2).
PSEUDO_COUNT = 0.5
STARTS = 3
STEPS = 200
TOLERANCE = 1e-7  # nats an example


class BernoulliMixture(NamedTuple):
    """p(x) = sum over k of weights_k times the product over i of rates_ki^x_i (1 - rates_ki)^(1 - x_i).

    weights: (k,); rates: (k, D), above 0 and below 1.
    """

    weights: np.ndarray
    rates: np.ndarray

    def log_joint(self, X):
        """log p(x, k), nats: (n, k). X: (n, D) of 0 and 1."""
        log_odds = np.log(self.rates) - np.log1p(-self.rates)
        with np.errstate(divide="ignore"):  # a component may have lost all its weight
            return X @ log_odds.T + np.log1p(-self.rates).sum(axis=1) + np.log(self.weights)

    def score_samples(self, X):
        """log p(x), nats an example: (n,); the name is scikit-learn's."""
        return logsumexp(self.log_joint(X), axis=1)


def fit(X, components, rng):
    """The BernoulliMixture that explains X, (n, D) of 0 and 1, best of STARTS starts at examples far from each other.

    rng: a numpy Generator.
    """
    from sklearn.cluster import kmeans_plusplus

    best, value = None, -np.inf
    for _ in range(STARTS if components > 1 else 1):
        examples, _ = kmeans_plusplus(X, components, random_state=int(rng.integers(2**31)))
        mixture = BernoulliMixture(np.full(components, 1 / components), 0.25 + 0.5 * examples)
        mixture = expectation_maximization(X, mixture)
        if (score := mixture.score_samples(X).mean()) > value:
            best, value = mixture, score
    return best


def expectation_maximization(X, mixture):
    """The mixture after steps of EM, until they gain less than TOLERANCE or there were STEPS of them."""
    value = -np.inf
    for _ in range(STEPS):
        log_joint = mixture.log_joint(X)
        log_p = logsumexp(log_joint, axis=1, keepdims=True)
        if log_p.mean() < value + TOLERANCE:
            break
        value = log_p.mean()
        mixture = maximized(X, np.exp(log_joint - log_p))
    return mixture


def maximized(X, shares):
    """The BernoulliMixture that is best where example i belongs to component k with probability shares[i, k]."""
    counts = shares.sum(axis=0)
    rates = (shares.T @ X + PSEUDO_COUNT) / (counts[:, None] + 2 * PSEUDO_COUNT)
    return BernoulliMixture(counts / len(X), rates)
