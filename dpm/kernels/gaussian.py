"""Gaussian diffusion, the first column of Table C.1, as symbolic functions.

Everything acts element by element and broadcasts. beta is the rate of one step, beta_bar_t = 1 - prod_{s <= t}
(1 - beta_s) the share of noise after t steps. Entropies and divergences are in nats for each element.
"""

from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

LOG_2PI = float(np.log(2 * np.pi))
LOG_2PI_E = LOG_2PI + 1


class Gaussian(NamedTuple):
    """Independent normal elements: mean mu and deviation sigma."""

    mu: pt.TensorVariable
    sigma: pt.TensorVariable


class GaussianKernel:
    """Diffusion into the unit Gaussian (Table C.1, column Gaussian)."""

    noise = "normal"

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
        weight_0 = pt.sqrt(1 - beta_bar_previous) * beta / beta_bar
        weight_t = pt.sqrt(1 - beta) * beta_bar_previous / beta_bar
        return Gaussian(weight_0 * x_0 + weight_t * x_t, pt.sqrt(beta * beta_bar_previous / beta_bar))

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

    def prior(self, like):
        """pi(x_T), Eq. 4: zero mean and unit deviation in the shape of `like`."""
        return Gaussian(pt.zeros_like(like), pt.ones_like(like))

    def prior_entropy(self):
        """H_p(X_T), nats for each element (Eq. 14, B.1); a number."""
        return 0.5 * LOG_2PI_E

    def log_prob(self, p, x):
        """log p(x), nats for each element."""
        return -0.5 * ((x - p.mu) / p.sigma) ** 2 - pt.log(p.sigma) - 0.5 * LOG_2PI

    def multiply(self, p, mu, precision):
        """p(x) r(x) normalised, for r a Gaussian of the given mean and precision (Eq. 21 in closed form).

        precision 0 leaves p as it is.
        """
        total = p.sigma**-2 + precision
        return Gaussian((p.mu * p.sigma**-2 + mu * precision) / total, total**-0.5)

    def perturb(self, p, log_r, exponent):
        """p(x) r(x)^exponent for any smooth r, to first order in log r around the mean: mu + Sigma d log r / dx at mu.

        exp(-(x - mu)^2 / 2 Sigma + g (x - mu)) is a Gaussian with mean mu + Sigma g: the Sigma that Table C.1 prints as
        (Sigma / 2)^(1/2) is the variance itself. log_r: a function of symbolic (n, size) that returns nats, (n,);
        exponent: (n,).
        """
        at = p.mu.copy()
        slope: pt.TensorVariable = pytensor.grad(log_r(at).sum(), at)  # type: ignore[assignment]
        return Gaussian(p.mu + p.sigma**2 * exponent[:, None] * slope, p.sigma)

    def condition(self, p, known, x):
        """p(x) times a delta at x where `known` is 1 (section 2.5.3); elsewhere p as it is."""
        return Gaussian(pt.switch(known, x, p.mu), pt.switch(known, 0, p.sigma))

    def choose(self, condition, p, q):
        """p where the condition holds, else q."""
        return Gaussian(pt.switch(condition, p.mu, q.mu), pt.switch(condition, p.sigma, q.sigma))

    def sample(self, p, noise):
        """A draw from p made of standard normal noise ("frozen noise", section 2.4.1)."""
        return p.mu + p.sigma * noise
