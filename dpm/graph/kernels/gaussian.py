"""Gaussian diffusion, the first column of Table C.1, as symbolic functions.

Everything acts element by element and broadcasts. beta is the rate of one step, beta_bar_t = 1 - prod_{s <= t}
(1 - beta_s) the share of noise after t steps. Entropies and divergences are in nats for each element.
"""

from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

from dpm.base.errors import InputError

LOG_2PI = float(np.log(2 * np.pi))
LOG_2PI_E = LOG_2PI + 1


class Gaussian(NamedTuple):
    """Independent normal elements: mean mu and deviation sigma."""

    mu: pt.TensorVariable
    sigma: pt.TensorVariable


class GaussianKernel:
    """Diffusion into the unit Gaussian (Table C.1, column Gaussian)."""

    noise = "normal"
    binary = False  # whether x is of 0 and 1

    def check(self, X, name):
        """Raise InputError if the data X, called `name`, are not what this kernel diffuses: numbers."""
        if not np.isfinite(X).all():
            raise InputError(f"{name}: {X[~np.isfinite(X)][0]} among the values; accepted: finite numbers")

    def forward_step(self, x_previous, beta):
        """q(x_t | x_{t-1}), Eq. 2 with Table C.1."""
        return Gaussian(x_previous * pt.sqrt(1 - beta), pt.sqrt(beta))

    def forward_marginal(self, x_0, beta_bar):
        """q(x_t | x_0): t forward steps at once (Eq. 3 with the steps between integrated out)."""
        return Gaussian(x_0 * pt.sqrt(1 - beta_bar), pt.sqrt(beta_bar))

    def posterior(self, x_0, x_t, beta, beta_bar, beta_bar_previous):
        """q(x_{t-1} | x_t, x_0), the forward kernel turned round by Bayes' rule (used in Eq. 14 and 47).

        Proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0); with beta_bar_previous = 0, at t = 1, it is x_0 itself.
        """
        weight_0, weight_t = posterior_weights(beta, beta_bar, beta_bar_previous)
        return Gaussian(weight_0 * x_0 + weight_t * x_t, pt.sqrt(beta * beta_bar_previous / beta_bar))

    def predict(self, p, x_t, beta, beta_bar, beta_bar_previous):
        """E[x_0 | x_t] that p(x_{t-1} | x_t) implies: the x_0 whose `posterior` has the mean of p.

        Where p is the exact reverse kernel it is the exact mean, since the posterior's mean is linear in x_0.
        """
        weight_0, weight_t = posterior_weights(beta, beta_bar, beta_bar_previous)
        return (p.mu - weight_t * x_t) / weight_0

    def kl(self, q, p):
        """D_KL(q || p), nats for each element (Eq. 14)."""
        log_ratio = pt.log(p.sigma) - pt.log(q.sigma)
        return log_ratio + (q.sigma**2 + (q.mu - p.mu) ** 2) / (2 * p.sigma**2) - 0.5

    def entropy_marginal(self, beta_bar, x_0=None):
        """H_q(X_t | X_0), nats for each element (Eq. 14); the same for every x_0."""
        return 0.5 * (LOG_2PI_E + pt.log(beta_bar))

    def entropy_step(self, beta, x_previous=None):
        """H_q(X_t | X_{t-1}), nats for each element (Eq. 23); the same for every x_{t-1}."""
        return 0.5 * (LOG_2PI_E + pt.log(beta))

    def entropy(self, p):
        """Entropy of p, nats for each element: of a reverse step, what Eq. 23 bounds on average."""
        return 0.5 * LOG_2PI_E + pt.log(p.sigma)

    def prior(self, like):
        """pi(x_T), Eq. 4: zero mean and unit deviation in the shape of `like`."""
        return Gaussian(pt.zeros_like(like), pt.ones_like(like))

    def prior_entropy(self):
        """H_p(X_T), nats for each element (Eq. 14 and 42); a number."""
        return 0.5 * LOG_2PI_E

    def mean_log_prior(self, beta_bar, x_0):
        """The mean of log pi(x_t) over q(x_t | x_0), nats for each element (before Eq. 42)."""
        return -0.5 * (LOG_2PI + (1 - beta_bar) * x_0**2 + beta_bar)

    def log_prob(self, p, x):
        """log p(x), the log density at x, nats for each element."""
        return -0.5 * ((x - p.mu) / p.sigma) ** 2 - pt.log(p.sigma) - 0.5 * LOG_2PI

    def multiply(self, p, observed, precision):
        """p(x) r(x) normalized, r(x) = exp(-precision (x - observed)^2 / 2): a noisy observation of x (Eq. 21).

        precision 0 leaves p as it is, and so does a sigma of 0.
        """
        ratio = precision * p.sigma**2
        return Gaussian((p.mu + ratio * observed) / (1 + ratio), p.sigma / pt.sqrt(1 + ratio))

    def log_normalizer(self, p, observed, precision):
        """log of the integral of p(x) r(x), the r of `multiply` (Eq. 52), nats for each element."""
        ratio = precision * p.sigma**2
        return -0.5 * (pt.log1p(ratio) + precision * (p.mu - observed) ** 2 / (1 + ratio))

    def perturb(self, p, log_r, exponent=None):
        """p(x) r(x)^exponent for any smooth r (Eq. 21, Table C.1): the mean moves by Sigma d log r / dx at mu.

        To first order in log r, exp(-(x - mu)^2 / (2 Sigma) + g (x - mu)) is a Gaussian of variance Sigma and mean
        mu + Sigma g: Sigma itself, where Table C.1 prints (Sigma / 2)^(1/2). The mean is then wrong by the order of
        Sigma^2 alone, with the printed factor by that of Sigma^(1/2).

        log_r: a function of symbolic x of p's shape, (n, ...), that returns nats, (n,); exponent: (n,) or None for 1.
        """
        return Gaussian(p.mu + p.sigma**2 * slope(log_r, p.mu, exponent), p.sigma)

    def condition(self, p, known, x):
        """p(x) times a delta at x where `known` is 1 (section 2.5.3); elsewhere p as it is."""
        return Gaussian(pt.switch(known, x, p.mu), pt.switch(known, 0, p.sigma))

    def choose(self, condition, p, q):
        """p where the condition holds, else q."""
        return Gaussian(pt.switch(condition, p.mu, q.mu), pt.switch(condition, p.sigma, q.sigma))

    def sample(self, p, noise):
        """A draw from p made of standard normal noise ("frozen noise", section 2.4.1)."""
        return p.mu + p.sigma * noise


def posterior_weights(beta, beta_bar, beta_bar_previous):
    """The weights of x_0 and of x_t in the mean of q(x_{t-1} | x_t, x_0)."""
    weight_0 = pt.sqrt(1 - beta_bar_previous) * beta / beta_bar
    weight_t = pt.sqrt(1 - beta) * beta_bar_previous / beta_bar
    return weight_0, weight_t


def slope(log_r, mu, exponent=None):
    """d log r^exponent / dx at mu, like mu; log_r and exponent as in `perturb`."""
    at = mu.copy()
    found: pt.TensorVariable = pytensor.grad(  # type: ignore[assignment]
        log_r(at).sum(), at, disconnected_inputs="ignore"
    )
    return found if exponent is None else pt.shape_padright(exponent, mu.ndim - 1) * found
