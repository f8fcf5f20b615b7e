"""Binomial diffusion, the second column of Table C.1, as symbolic functions of logits.

Everything acts element by element and broadcasts. beta is the rate of one step, beta_bar_t = 1 - prod_{s <= t}
(1 - beta_s) the share of noise after t steps. Entropies and divergences are in nats for each element. Bits x are 0 or
1 in the float type of the graph. Values and gradients are finite for every rate in [0, 1] and for logits of +-1e4, in
float32 too.
"""

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.replace import vectorize_graph

from dpm.base.errors import InputError

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
    binary = True  # whether x is of 0 and 1

    def __init__(self, base_rate=0.5):
        if not 0 < base_rate < 1:
            raise InputError(f"base_rate: {base_rate!r} is not accepted; it is a number above 0 and below 1")
        self.base_rate = float(base_rate)

    def check(self, X, name):
        """Raise InputError if the data X, called `name`, are not what this kernel diffuses: bits."""
        wrong = (X != 0) & (X != 1)
        if wrong.any():
            raise InputError(f"{name}: {X[wrong][0]} among the values; accepted: 0 and 1")

    def forward_step(self, x_previous, beta):
        """q(x_t | x_{t-1}): a bit stays with probability 1 - beta and is drawn anew otherwise (Eq. 2)."""
        one, zero = self._rates(x_previous, beta)
        return Bernoulli(_log(one) - _log(zero))

    def forward_marginal(self, x_0, beta_bar):
        """q(x_t | x_0): t forward steps at once, one step of rate beta_bar (Eq. 3 with those between summed out)."""
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

        The b of f_b in Table C.1 made of a prediction of x_0. It begins at the posterior of the more probable x_0,
        g_1 or g_0, and adds the rest as differences of log(1 + ratio): nothing is lost however near to 0 or 1 a rate
        is, and unlike pt.logaddexp, whose exponentials may all vanish, this has a finite gradient everywhere.
        """
        given_1, given_0 = (q.logit for q in self._given_each_bit(x_t, beta, beta_bar, beta_bar_previous))
        one = x_0_logit + pt.softplus(-given_0) - pt.softplus(-given_1)
        zero = x_0_logit + pt.softplus(given_0) - pt.softplus(given_1)
        likely = x_0_logit > 0
        sign = _sign(likely, x_0_logit)
        return Bernoulli(pt.switch(likely, given_1, given_0) + pt.softplus(-sign * one) - pt.softplus(-sign * zero))

    def predict(self, p, x_t, beta, beta_bar, beta_bar_previous):
        """E[x_0 | x_t] that p(x_{t-1} | x_t) implies, a rate in [0, 1]: the b whose `mixture` has the rate of p.

        Where p is the exact reverse kernel of a bit it is its exact rate, since the mixture's rate is linear in b.
        """
        given_1, given_0 = self._given_each_bit(x_t, beta, beta_bar, beta_bar_previous)
        # Rates of the value that x_t has not: where steps are small so are these, and their differences lose little.
        sign = 1 - 2 * x_t
        away, away_1, away_0 = (pt.sigmoid(sign * q.logit) for q in (p, given_1, given_0))
        b = sign * (away - away_0) / pt.maximum(sign * (away_1 - away_0), SMALLEST)
        return pt.clip(b, 0, 1)

    def kl(self, q, p):
        """D_KL(q || p), nats for each element (Eq. 14)."""
        one = pt.sigmoid(q.logit) * (pt.softplus(-p.logit) - pt.softplus(-q.logit))
        zero = pt.sigmoid(-q.logit) * (pt.softplus(p.logit) - pt.softplus(q.logit))
        return one + zero

    def entropy_marginal(self, beta_bar, x_0=None):
        """H_q(X_t | X_0 = x_0), nats for each element (Eq. 14); its mean over examples is H_q(X_t | X_0).

        Raises InputError without x_0, on which it depends.
        """
        if x_0 is None:
            raise InputError("x_0: None is not accepted; the entropy of a bit after a step depends on the bit before")
        one, zero = self._rates(x_0, beta_bar)
        return -(one * _log(one) + zero * _log(zero))

    def entropy_step(self, beta, x_previous=None):
        """H_q(X_t | X_{t-1} = x_{t-1}), nats for each element (Eq. 23); its mean is H_q(X_t | X_{t-1}).

        The upper bound of Eq. 23 holds "without qualification" (Appendix A) for the base rate 0.5 alone; for another
        it holds for data whose every bit has the base rate. Raises InputError without x_previous.
        """
        return self.entropy_marginal(beta, x_previous)

    def entropy(self, p):
        """Entropy of p, nats for each element: of a reverse step, what Eq. 23 bounds on average."""
        # No difference of large terms, as softplus(logit) - logit sigmoid(logit) would be.
        return pt.sigmoid(p.logit) * pt.softplus(-p.logit) + pt.sigmoid(-p.logit) * pt.softplus(p.logit)

    def prior(self, like):
        """pi(x_T), Eq. 4: the base rate in the shape of `like`."""
        logit = np.log(self.base_rate) - np.log1p(-self.base_rate)
        # In the type of `like` at once: a plain 0.0 would be taken as a narrower type, which rewrites carry on.
        return Bernoulli(pt.full_like(like, pt.constant(np.asarray(logit, dtype=like.dtype))))

    def prior_entropy(self):
        """H_p(X_T), nats for each element (Eq. 14 and 42); a number."""
        r = self.base_rate
        return float(-(r * np.log(r) + (1 - r) * np.log1p(-r)))

    def mean_log_prior(self, beta_bar, x_0):
        """The mean of log pi(x_t) over q(x_t | x_0), nats for each element (before Eq. 42)."""
        one, zero = self._rates(x_0, beta_bar)
        return one * float(np.log(self.base_rate)) + zero * float(np.log1p(-self.base_rate))

    def log_prob(self, p, x):
        """log p(x), the log mass of the bits x, nats for each element."""
        return -x * pt.softplus(-p.logit) - (1 - x) * pt.softplus(p.logit)

    def multiply(self, p, observed, precision):
        """p(x) r(x) normalized, r(x) = exp(-precision (x - observed)^2 / 2): a noisy observation of each bit (Eq. 21).

        precision 0 leaves p as it is.
        """
        return Bernoulli(p.logit + precision * (observed - 0.5))

    def log_normalizer(self, p, observed, precision):
        """log of the sum of p(x) r(x) over both values of x, the r of `multiply` (Eq. 52), nats for each element."""
        likely = p.logit > 0
        sign = _sign(likely, p.logit)
        log_r = -0.5 * precision * (pt.switch(likely, 1.0, 0.0).astype(p.logit.dtype) - observed) ** 2
        product = self.multiply(p, observed, precision)
        return log_r + pt.softplus(-sign * product.logit) - pt.softplus(-sign * p.logit)

    def perturb(self, p, log_r, exponent=None):
        """p(x) r(x)^exponent for any r (Eq. 21, Table C.1), one bit at a time, the others at their more probable value.

        With d_i the share r(x with bit i = 1) has of its sum with r(x with bit i = 0), Table C.1's c_i d_i /
        (c_i d_i + (1 - c_i) (1 - d_i)), whose printed x_i in the denominator is c_i, adds the log ratio of the two r to
        the logit. Exact where r is a product over bits.

        log_r: a function of symbolic x of p's shape, (n, size), that returns nats, (n,); exponent: (n,) or None for 1.
        """
        size, dtype = p.logit.shape[1], p.logit.dtype
        x = p.logit.type("x")
        log_r_x = log_r(x)
        likely = pt.switch(p.logit > 0, 1.0, 0.0).astype(dtype)
        chosen = pt.eye(size, dtype=dtype)[:, None, :]  # (bit, 1, size)
        # All (bit, n, size) variants in one batch; log_r itself meets x as it is, (n, size), with its own data beside.
        one, zero = (vectorize_graph(log_r_x, {x: likely * (1 - chosen) + bit * chosen}) for bit in (1.0, 0.0))
        shift = pt.atleast_2d(one - zero).T  # (n, size), or (n, 1) where r does not depend on x
        return Bernoulli(p.logit + (shift if exponent is None else pt.shape_padright(exponent) * shift))

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

    def _given_each_bit(self, x_t, beta, beta_bar, beta_bar_previous):
        """q(x_{t-1} | x_t, x_0 = 1) and that of x_0 = 0."""
        return [self.posterior(pt.full_like(x_t, bit), x_t, beta, beta_bar, beta_bar_previous) for bit in (1.0, 0.0)]

    def _log_likelihood_ratio(self, x_t, beta):
        """log q(x_t | x_{t-1} = 1) - log q(x_t | x_{t-1} = 0)."""
        one_1, zero_1 = self._rates(1.0, beta)
        one_0, zero_0 = self._rates(0.0, beta)
        return x_t * (_log(one_1) - _log(one_0)) + (1 - x_t) * (_log(zero_1) - _log(zero_0))


def _sign(likely, like):
    """1 where the condition holds, else -1, in the float type of `like`."""
    return pt.switch(likely, 1.0, -1.0).astype(like.dtype)


def _log(rate):
    """log of a rate, finite and with a finite derivative at 0."""
    return pt.log(pt.maximum(rate, SMALLEST))
