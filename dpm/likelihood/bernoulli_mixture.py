"""Mixtures of independent bits, fitted by expectation maximization (EM); scikit-learn has none."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

# Added to the number of ones and of zeros in each component, so that no rate is 0 or 1: MAP under a Beta(3/2, 3/2).
PSEUDO_COUNT = 0.5
STARTS = 3
STEPS = 200
TOLERANCE = 1e-7  # nats per example


class BernoulliMixture(NamedTuple):
    """p(x) = sum over k of weights_k times the product over i of rates_ki^x_i (1 - rates_ki)^(1 - x_i).

    Attributes:
        weights: (k,), which sum to 1.
        rates: (k, D), above 0 and below 1.
    """

    weights: np.ndarray
    rates: np.ndarray

    def log_joint(self, X: np.ndarray) -> np.ndarray:
        """Return log p(x, k) in nats, shape (n, k), of X, (n, D) of 0 and 1."""
        log_odds = np.log(self.rates) - np.log1p(-self.rates)
        with np.errstate(divide="ignore"):  # the weight of a component may be 0
            return X @ log_odds.T + np.log1p(-self.rates).sum(axis=1) + np.log(self.weights)

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return log p(x) in nats per example, shape (n,); the name is scikit-learn's."""
        return logsumexp(self.log_joint(X), axis=1)


def fit(X: np.ndarray, components: int, rng: np.random.Generator) -> BernoulliMixture:
    """Fit a mixture, the best of STARTS runs of EM that start at examples far from each other (k-means++).

    Args:
        X: examples, (n, D) of 0 and 1.
        components: number of components.
        rng: generator of the starts.
    """
    from sklearn.cluster import kmeans_plusplus

    mixtures = []
    for _ in range(count_starts(components)):
        examples, _ = kmeans_plusplus(X, components, random_state=int(rng.integers(2**31)))
        mixture = BernoulliMixture(np.full(components, 1 / components), 0.25 + 0.5 * examples)
        mixtures.append(expectation_maximization(X, mixture))
    return max(mixtures, key=lambda mixture: mixture.score_samples(X).mean())


def count_starts(components: int) -> int:
    """Return the number of runs of EM, each of which draws one number."""
    return STARTS if components > 1 else 1


def expectation_maximization(X: np.ndarray, mixture: BernoulliMixture) -> BernoulliMixture:
    """Improve a mixture by EM on X, (n, D), until a step gains less than TOLERANCE, or for STEPS steps."""
    value = -np.inf
    for _ in range(STEPS):
        log_joint = mixture.log_joint(X)
        log_p = logsumexp(log_joint, axis=1, keepdims=True)
        if log_p.mean() < value + TOLERANCE:
            break
        value = log_p.mean()
        mixture = maximize(X, np.exp(log_joint - log_p))
    return mixture


def maximize(X: np.ndarray, shares: np.ndarray) -> BernoulliMixture:
    """Return the best mixture if example i belongs to component k with probability shares[i, k] (the M step)."""
    counts = shares.sum(axis=0)
    rates = (shares.T @ X + PSEUDO_COUNT) / (counts[:, None] + 2 * PSEUDO_COUNT)
    return BernoulliMixture(counts / len(X), rates)
