"""Binomial diffusion, the second column of Table C.1, as symbolic functions of logits.

All methods act elementwise and broadcast; the interface is described in dpm.graph.kernels.Kernel. beta is the rate of
one step, beta_bar_t = 1 - prod_{s <= t} (1 - beta_s) the share of noise after t steps. Entropies and divergences are in
nats per element. Bits x are 0 or 1 in the float type of the graph. Values and gradients are finite for every rate in
[0, 1] and for logits of +-1e4, in float32 too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.graph.replace import vectorize_graph

from dpm.base.errors import InputError
from dpm.graph import Tensor

SMALLEST = 1e-37  # below every rate that occurs, and a normal number in float32: its log is finite
CERTAIN = 1e4  # the logit of a known bit


class Bernoulli(NamedTuple):
    """Independent bits: the logit of the probability that each is 1."""

    logit: Tensor


class BinomialKernel:
    """Diffusion into independent bits that are 1 with probability base_rate.

    Args:
        base_rate: probability of a 1 under the prior. Table C.1 prints 0.5; the heartbeat has 0.2.

    Raises:
        InputError: a base_rate outside (0, 1).

    Example:
        >>> round(dpm.BinomialKernel(0.2).prior_entropy(), 4)  # nats per bit
        0.5004
    """

    noise = "uniform"
    binary = True

    def __init__(self, base_rate: float = 0.5) -> None:
        if not 0 < base_rate < 1:
            raise InputError(f"base_rate: got {base_rate!r}; expected a number above 0 and below 1")
        self.base_rate = float(base_rate)

    def check(self, X: NDArray[Any], name: str) -> None:
        """Raise InputError where the data X, called `name` in the message, are not bits."""
        wrong = (X != 0) & (X != 1)
        if wrong.any():
            raise InputError(
                f"{name}: got {X[wrong][0]} among the values; expected 0 and 1, the bits of the binomial kernel; round "
                "them, or take the Gaussian kernel"
            )

    def forward_step(self, x_previous: Tensor, beta: Tensor) -> Bernoulli:
        """Return q(x_t | x_{t-1}): a bit stays with probability 1 - beta and is redrawn otherwise (Eq. 2)."""
        one, zero = self._rates(x_previous, beta)
        return Bernoulli(_log(one) - _log(zero))

    def forward_marginal(self, x_0: Tensor, beta_bar: Tensor) -> Bernoulli:
        """Return q(x_t | x_0): t forward steps as one of rate beta_bar (Eq. 3 with the steps between summed out)."""
        return self.forward_step(x_0, beta_bar)

    def posterior(
        self, x_0: Tensor | float, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor
    ) -> Bernoulli:
        """Return q(x_{t-1} | x_t, x_0) by Bayes' rule (used in Eq. 14 and 47).

        x_0 may be a rate between 0 and 1: then it is the posterior for a prior bit of that rate. With
        beta_bar_previous = 0, at t = 1, it is x_0 itself, a logit of about +-85.
        """
        likelihood = self._log_likelihood_ratio(x_t, beta)
        one, zero = self._rates(x_0, beta_bar_previous)
        return Bernoulli(likelihood + _log(one) - _log(zero))

    def mixture(
        self, x_0_logit: Tensor, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor
    ) -> Bernoulli:
        """Return the sum over x_0 of q(x_{t-1} | x_t, x_0) b(x_0): f_b of Table C.1 from a prediction of x_0.

        b = sigmoid(x_0_logit) is the predicted probability that x_0 = 1 given x_t. The sum starts from the posterior of
        the more probable x_0, g_1 or g_0, and adds the rest as differences of log(1 + ratio). So no precision is lost
        near 0 or 1, and the gradient is finite everywhere; the exponentials of pt.logaddexp may all underflow.
        """
        given_1, given_0 = (q.logit for q in self._given_each_bit(x_t, beta, beta_bar, beta_bar_previous))
        one = x_0_logit + pt.softplus(-given_0) - pt.softplus(-given_1)
        zero = x_0_logit + pt.softplus(given_0) - pt.softplus(given_1)
        likely = x_0_logit > 0
        sign = _sign(likely, x_0_logit)
        return Bernoulli(pt.switch(likely, given_1, given_0) + pt.softplus(-sign * one) - pt.softplus(-sign * zero))

    def predict(self, p: Bernoulli, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor) -> Tensor:
        """Return E[x_0 | x_t] that p(x_{t-1} | x_t) implies, in [0, 1]: the b whose `mixture` has the rate of p.

        Where p is the exact reverse kernel of a bit it is the exact rate, since the mixture's rate is linear in b.
        """
        given_1, given_0 = self._given_each_bit(x_t, beta, beta_bar, beta_bar_previous)
        # Use the probability that the bit flips: small when the step is small, so differences keep their precision.
        sign = 1 - 2 * x_t
        away, away_1, away_0 = (pt.sigmoid(sign * q.logit) for q in (p, given_1, given_0))
        b = sign * (away - away_0) / pt.maximum(sign * (away_1 - away_0), SMALLEST)
        return pt.clip(b, 0, 1)

    def kl(self, q: Bernoulli, p: Bernoulli) -> Tensor:
        """Return D_KL(q || p), in nats per element (Eq. 14)."""
        one = pt.sigmoid(q.logit) * (pt.softplus(-p.logit) - pt.softplus(-q.logit))
        zero = pt.sigmoid(-q.logit) * (pt.softplus(p.logit) - pt.softplus(q.logit))
        return one + zero

    def entropy_marginal(self, beta_bar: Tensor, x_0: Tensor | None = None) -> Tensor:
        """Return H_q(X_t | X_0 = x_0), in nats per element (Eq. 14); its mean over examples is H_q(X_t | X_0).

        Raises:
            InputError: x_0 is None; the entropy depends on it.
        """
        if x_0 is None:
            raise InputError(
                "x_0: got None; expected bits: the entropy of a bit after a step depends on the bit before"
            )
        one, zero = self._rates(x_0, beta_bar)
        return -(one * _log(one) + zero * _log(zero))

    def entropy_step(self, beta: Tensor, x_previous: Tensor | None = None) -> Tensor:
        """Return H_q(X_t | X_{t-1} = x_{t-1}), in nats per element (Eq. 23); its mean is H_q(X_t | X_{t-1}).

        The upper bound of Eq. 23 holds "without qualification" (Appendix A) only for the base rate 0.5; for another
        rate it holds for data whose every bit has the base rate.

        Raises:
            InputError: x_previous is None.
        """
        return self.entropy_marginal(beta, x_previous)

    def entropy(self, p: Bernoulli) -> Tensor:
        """Return the entropy of p, in nats per element; of a reverse step, it is bounded on average by Eq. 23."""
        # Avoids softplus(logit) - logit sigmoid(logit), a difference of large terms.
        return pt.sigmoid(p.logit) * pt.softplus(-p.logit) + pt.sigmoid(-p.logit) * pt.softplus(p.logit)

    def prior(self, like: Tensor) -> Bernoulli:
        """Return pi(x_T), Eq. 4: the base rate in the shape of `like`."""
        logit = np.log(self.base_rate) - np.log1p(-self.base_rate)
        # Cast to the type of `like`: PyTensor stores a plain 0.0 in a narrower type, which its rewrites then keep.
        return Bernoulli(pt.full_like(like, pt.constant(np.asarray(logit, dtype=like.dtype))))

    def prior_entropy(self) -> float:
        """Return H_p(X_T), in nats per element (Eq. 14 and 42); a number."""
        r = self.base_rate
        return float(-(r * np.log(r) + (1 - r) * np.log1p(-r)))

    def mean_log_prior(self, beta_bar: Tensor, x_0: Tensor) -> Tensor:
        """Return the mean of log pi(x_t) over q(x_t | x_0), in nats per element (before Eq. 42)."""
        one, zero = self._rates(x_0, beta_bar)
        return one * float(np.log(self.base_rate)) + zero * float(np.log1p(-self.base_rate))

    def log_prob(self, p: Bernoulli, x: Tensor) -> Tensor:
        """Return log p(x), the log mass of the bits x, in nats per element."""
        return -x * pt.softplus(-p.logit) - (1 - x) * pt.softplus(p.logit)

    def multiply(self, p: Bernoulli, observed: Tensor, precision: Tensor) -> Bernoulli:
        """Return p(x) r(x) normalized, r(x) = exp(-precision (x - observed)^2 / 2): a noisy observation (Eq. 21).

        A precision of 0 leaves p unchanged.
        """
        return Bernoulli(p.logit + precision * (observed - 0.5))

    def log_normalizer(self, p: Bernoulli, observed: Tensor, precision: Tensor) -> Tensor:
        """Return the log of the sum of p(x) r(x) over both values of x, with the r of `multiply` (Eq. 52).

        In nats per element.
        """
        likely = p.logit > 0
        sign = _sign(likely, p.logit)
        log_r = -0.5 * precision * (pt.switch(likely, 1.0, 0.0).astype(p.logit.dtype) - observed) ** 2
        product = self.multiply(p, observed, precision)
        return log_r + pt.softplus(-sign * product.logit) - pt.softplus(-sign * p.logit)

    def perturb(self, p: Bernoulli, log_r: Callable[[Tensor], Tensor], exponent: Tensor | None = None) -> Bernoulli:
        """Return p(x) r(x)^exponent for any r (Eq. 21, Table C.1), one bit at a time, the others at their mode.

        Let d_i be r(x with bit i = 1) divided by its sum with r(x with bit i = 0). Table C.1 has
        c_i d_i / (c_i d_i + (1 - c_i) (1 - d_i)), where the printed x_i in the denominator is c_i; this adds the log
        ratio of the two values of r to the logit. Exact where r is a product over bits.

        Args:
            p: distribution of bits, (n, size).
            log_r: a function of symbolic x, (n, size), that returns nats, (n,).
            exponent: (n,), or None for 1.
        """
        size, dtype = p.logit.shape[1], p.logit.dtype
        x = p.logit.type("x")
        log_r_x = log_r(x)
        likely = pt.switch(p.logit > 0, 1.0, 0.0).astype(dtype)
        chosen = pt.eye(size, dtype=dtype)[:, None, :]  # (bit, 1, size)
        # All (bit, n, size) variants in one batch; log_r is applied to x of shape (n, size), as its data need it.
        variants: list[Any] = [
            vectorize_graph(log_r_x, {x: likely * (1 - chosen) + bit * chosen}) for bit in (1.0, 0.0)
        ]
        one, zero = variants
        shift = pt.atleast_2d(one - zero).T  # (n, size), or (n, 1) where r does not depend on x
        return Bernoulli(p.logit + (shift if exponent is None else pt.shape_padright(exponent) * shift))

    def condition(self, p: Bernoulli, known: Tensor, x: Tensor) -> Bernoulli:
        """Return p(x) times a delta at x where `known` is 1 (section 2.5.3); elsewhere p."""
        return Bernoulli(pt.switch(known, CERTAIN * (2 * x - 1), p.logit))

    def choose(self, condition: Tensor, p: Bernoulli, q: Bernoulli) -> Bernoulli:
        """Return p where the condition holds, else q."""
        return Bernoulli(pt.switch(condition, p.logit, q.logit))

    def sample(self, p: Bernoulli, noise: Tensor) -> Tensor:
        """Return a draw from p as a function of uniform [0, 1) noise: 1 where it is below the rate."""
        return (noise < pt.sigmoid(p.logit)).astype(p.logit.dtype)

    def _rates(self, x: Any, beta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities of 1 and of 0 after a step from x, each a sum of positive terms."""
        one = x * (1 - beta) + self.base_rate * beta
        zero = (1 - x) * (1 - beta) + (1 - self.base_rate) * beta
        return one, zero

    def _given_each_bit(
        self, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor
    ) -> list[Bernoulli]:
        """Return q(x_{t-1} | x_t, x_0 = 1) and q(x_{t-1} | x_t, x_0 = 0)."""
        return [self.posterior(pt.full_like(x_t, bit), x_t, beta, beta_bar, beta_bar_previous) for bit in (1.0, 0.0)]

    def _log_likelihood_ratio(self, x_t: Tensor, beta: Tensor) -> Tensor:
        """Return log q(x_t | x_{t-1} = 1) - log q(x_t | x_{t-1} = 0)."""
        one_1, zero_1 = self._rates(1.0, beta)
        one_0, zero_0 = self._rates(0.0, beta)
        return x_t * (_log(one_1) - _log(one_0)) + (1 - x_t) * (_log(zero_1) - _log(zero_0))


def _sign(likely: Tensor, like: Tensor) -> Tensor:
    """Return 1 where the condition holds, else -1, in the float type of `like`."""
    return pt.switch(likely, 1.0, -1.0).astype(like.dtype)


def _log(rate: Tensor) -> Tensor:
    """Return the log of a rate, finite and with a finite derivative at 0."""
    return pt.log(pt.maximum(rate, SMALLEST))
