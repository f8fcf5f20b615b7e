"""Binomial diffusion, the second column of Table C.1, as symbolic functions of logits.

Everything acts element by element and broadcasts. beta is the rate of one step, beta_bar_t = 1 - prod_{s <= t}
(1 - beta_s) the share of noise after t steps. Entropies and divergences are in nats for each element. Bits x are 0 or
1 in the float type of the graph.
"""

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from dpm.errors import InputError

SMALLEST = 1e-37  # below every rate that occurs, and a normal number in float32: log of it is finite
CERTAIN = 1e4  # the logit of a known bit


class Bernoulli(NamedTuple):
    """Independent bits: the logit of the rate at which each is 1."""

    logit: pt.TensorVariable


class BinomialKernel:
    """Diffusion into independent bits of rate base_rate (Table C.1 prints 0.5; the heartbeat has 0.2).

    Raises InputError for a base_rate outside (0, 1).
    """

    noise = "uniform"

    def __init__(self, base_rate=0.5):
        if not 0 < base_rate < 1:
            raise InputError(f"base_rate: {base_rate!r} is not accepted; it is a number above 0 and below 1")
        self.base_rate = float(base_rate)

    def forward_step(self, x_previous, beta):
        """q(x_t | x_{t-1}): a bit stays with probability 1 - beta and is drawn anew otherwise (Table C.1)."""
        one, zero = self._rates(x_previous, beta)
        return Bernoulli(_log(one) - _log(zero))

    def forward_marginal(self, x_0, beta_bar):
        """q(x_t | x_0): t forward steps at once, one step of rate beta_bar."""
        return self.forward_step(x_0, beta_bar)

    def posterior(self, x_0, x_t, beta, beta_bar, beta_bar_previous):
        """q(x_{t-1} | x_t, x_0) by Bayes' rule (used in Eq. 14 and 47).

        x_0 may be a rate between 0 and 1: then it is the posterior of a bit of that rate before. With
        beta_bar_previous = 0, at t = 1, it is x_0 itself, a logit of about +-85.
        """
        likelihood = self._log_likelihood_ratio(x_t, beta)
        one, zero = self._rates(x_0, beta_bar_previous)
        return Bernoulli(likelihood + _log(one) - _log(zero))

    def mixture(self, x_0_logit, x_t, beta, beta_bar, beta_bar_previous):
        """sum over x_0 of q(x_{t-1} | x_t, x_0) b(x_0), b = sigmoid(x_0_logit) the predicted rate of x_0 given x_t.

        log sigmoid of each logit and its complement, so that neither rate is lost where the other is near 1.
        """
        log_b, log_not_b = -pt.softplus(-x_0_logit), -pt.softplus(x_0_logit)
        given_1, given_0 = (
            self.posterior(pt.full_like(x_t, bit), x_t, beta, beta_bar, beta_bar_previous).logit for bit in (1.0, 0.0)
        )
        one = pt.logaddexp(log_b - pt.softplus(-given_1), log_not_b - pt.softplus(-given_0))
        zero = pt.logaddexp(log_b - pt.softplus(given_1), log_not_b - pt.softplus(given_0))
        return Bernoulli(one - zero)

    def kl(self, q, p):
        """D_KL(q || p), nats for each element (Eq. 14)."""
        one = pt.sigmoid(q.logit) * (pt.softplus(-p.logit) - pt.softplus(-q.logit))
        zero = pt.sigmoid(-q.logit) * (pt.softplus(p.logit) - pt.softplus(q.logit))
        return one + zero

    def entropy_marginal(self, beta_bar, x_0):
        """H_q(X_t | X_0) of each given x_0, nats for each element (Eq. 14)."""
        one, zero = self._rates(x_0, beta_bar)
        return -(one * _log(one) + zero * _log(zero))

    def entropy_step(self, beta, x_previous):
        """H_q(X_t | X_{t-1}) of each given x_{t-1}, nats for each element (Eq. 23)."""
        return self.entropy_marginal(beta, x_previous)

    def prior(self, like):
        """pi(x_T), Eq. 4: the base rate in the shape of `like`."""
        return Bernoulli(pt.full_like(like, float(np.log(self.base_rate) - np.log1p(-self.base_rate))))

    def prior_entropy(self):
        """H_p(X_T), nats for each element (Eq. 14, B.1); a number."""
        r = self.base_rate
        return float(-(r * np.log(r) + (1 - r) * np.log1p(-r)))

    def log_prob(self, p, x):
        """log p(x), nats for each element."""
        return -x * pt.softplus(-p.logit) - (1 - x) * pt.softplus(p.logit)

    def multiply(self, p, observed, precision):
        """p(x) r(x) normalised, for r(x) = exp(-precision (x - observed)^2 / 2), a noisy observation of each bit."""
        return Bernoulli(p.logit + precision * (observed - 0.5))

    def perturb(self, p, log_r, exponent):
        """p(x) r(x)^exponent for any r (Table C.1, d_i being r at bit i = 1 over r at bit i = 0), other bits held at
        their more probable value. Exact where r is a product over bits.

        log_r: a function of symbolic (n, size) that returns nats, (n,); exponent: (n,).
        """
        size = p.logit.type.shape[1]
        likely = pt.switch(p.logit > 0, 1.0, 0.0).astype(p.logit.dtype)
        chosen = np.eye(size, dtype=p.logit.dtype)[:, None, :]  # (bit, 1, size)
        one, zero = ((likely * (1 - chosen) + bit * chosen).reshape((-1, size)) for bit in (1.0, 0.0))
        shift = (log_r(one) - log_r(zero)).reshape((size, -1)).T
        return Bernoulli(p.logit + exponent[:, None] * shift)

    def condition(self, p, known, x):
        """p(x) times a delta at x where `known` is 1 (section 2.5.3); elsewhere p as it is."""
        return Bernoulli(pt.switch(known, CERTAIN * (2 * x - 1), p.logit))

    def choose(self, condition, p, q):
        """p where the condition holds, else q."""
        return Bernoulli(pt.switch(condition, p.logit, q.logit))

    def sample(self, p, noise):
        """A draw from p made of uniform [0, 1) noise: 1 where it is below the rate."""
        return (noise < pt.sigmoid(p.logit)).astype(p.logit.dtype)

    def _rates(self, x, beta):
        """The rates of 1 and of 0 after a step from x, each from terms that are all positive."""
        one = x * (1 - beta) + self.base_rate * beta
        zero = (1 - x) * (1 - beta) + (1 - self.base_rate) * beta
        return one, zero

    def _log_likelihood_ratio(self, x_t, beta):
        """log q(x_t | x_{t-1} = 1) - log q(x_t | x_{t-1} = 0)."""
        one_1, zero_1 = self._rates(1.0, beta)
        one_0, zero_0 = self._rates(0.0, beta)
        return x_t * (_log(one_1) - _log(one_0)) + (1 - x_t) * (_log(zero_1) - _log(zero_0))


def _log(rate):
    """log of a rate, finite and with a finite derivative at 0."""
    return pt.log(pt.maximum(rate, SMALLEST))
