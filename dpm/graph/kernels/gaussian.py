"""Gaussian diffusion, the first column of Table C.1, as symbolic functions.

All methods act elementwise and broadcast; the interface is described in dpm.graph.kernels.Kernel. beta is the rate of
one step, beta_bar_t = 1 - prod_{s <= t} (1 - beta_s) the share of noise after t steps. Entropies and divergences are in
nats per element.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from numpy.typing import NDArray

from dpm.base.errors import InputError
from dpm.graph import Tensor

LOG_2PI = float(np.log(2 * np.pi))
LOG_2PI_E = LOG_2PI + 1


class Gaussian(NamedTuple):
    """Independent normal elements: mean mu and standard deviation sigma."""

    mu: Tensor
    sigma: Tensor


class GaussianKernel:
    """Diffusion into the unit Gaussian (Table C.1, column Gaussian).

    Attributes:
        noise: kind of the noise that `sample` takes, a key of dpm.base.noise.DRAWS.
        binary: True if the data are bits.

    Example:
        >>> import pytensor.tensor as pt
        >>> q = dpm.GaussianKernel().forward_marginal(pt.constant(2.0), pt.constant(0.75))  # q(x_t | x_0 = 2)
        >>> float(q.mu.eval()), round(float(q.sigma.eval()), 4)
        (1.0, 0.866)
    """

    noise = "normal"
    binary = False

    def check(self, X: NDArray[Any], name: str) -> None:
        """Raise InputError where the data X, called `name` in the message, are not finite numbers."""
        if not np.isfinite(X).all():
            raise InputError(f"{name}: got {X[~np.isfinite(X)][0]} among the values; expected finite numbers")

    def forward_step(self, x_previous: Tensor, beta: Tensor) -> Gaussian:
        """Return q(x_t | x_{t-1}), Eq. 2 with Table C.1."""
        return Gaussian(x_previous * pt.sqrt(1 - beta), pt.sqrt(beta))

    def forward_marginal(self, x_0: Tensor, beta_bar: Tensor) -> Gaussian:
        """Return q(x_t | x_0): t forward steps at once (Eq. 3 with the steps between integrated out)."""
        return Gaussian(x_0 * pt.sqrt(1 - beta_bar), pt.sqrt(beta_bar))

    def posterior(
        self, x_0: Tensor, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor
    ) -> Gaussian:
        """Return q(x_{t-1} | x_t, x_0), the forward kernel reversed by Bayes' rule (used in Eq. 14 and 47).

        Proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0); with beta_bar_previous = 0, at t = 1, it is x_0 itself.
        """
        weight_0, weight_t = posterior_weights(beta, beta_bar, beta_bar_previous)
        return Gaussian(weight_0 * x_0 + weight_t * x_t, pt.sqrt(beta * beta_bar_previous / beta_bar))

    def predict(self, p: Gaussian, x_t: Tensor, beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor) -> Tensor:
        """Return E[x_0 | x_t] that p(x_{t-1} | x_t) implies: the x_0 whose `posterior` has the mean of p.

        Where p is the exact reverse kernel it is the exact mean, since the posterior's mean is linear in x_0.
        """
        weight_0, weight_t = posterior_weights(beta, beta_bar, beta_bar_previous)
        return (p.mu - weight_t * x_t) / weight_0

    def kl(self, q: Gaussian, p: Gaussian) -> Tensor:
        """Return D_KL(q || p), in nats per element (Eq. 14)."""
        log_ratio = pt.log(p.sigma) - pt.log(q.sigma)
        return log_ratio + (q.sigma**2 + (q.mu - p.mu) ** 2) / (2 * p.sigma**2) - 0.5

    def entropy_marginal(self, beta_bar: Tensor, x_0: Tensor | None = None) -> Tensor:
        """Return H_q(X_t | X_0), in nats per element (Eq. 14); the same for every x_0."""
        return 0.5 * (LOG_2PI_E + pt.log(beta_bar))

    def entropy_step(self, beta: Tensor, x_previous: Tensor | None = None) -> Tensor:
        """Return H_q(X_t | X_{t-1}), in nats per element (Eq. 23); the same for every x_{t-1}."""
        return 0.5 * (LOG_2PI_E + pt.log(beta))

    def entropy(self, p: Gaussian) -> Tensor:
        """Return the entropy of p, in nats per element; of a reverse step, it is bounded on average by Eq. 23."""
        return 0.5 * LOG_2PI_E + pt.log(p.sigma)

    def prior(self, like: Tensor) -> Gaussian:
        """Return pi(x_T), Eq. 4: zero mean and unit deviation in the shape of `like`."""
        return Gaussian(pt.zeros_like(like), pt.ones_like(like))

    def prior_entropy(self) -> float:
        """Return H_p(X_T), in nats per element (Eq. 14 and 42); a number."""
        return 0.5 * LOG_2PI_E

    def mean_log_prior(self, beta_bar: Tensor, x_0: Tensor) -> Tensor:
        """Return the mean of log pi(x_t) over q(x_t | x_0), in nats per element (before Eq. 42)."""
        return -0.5 * (LOG_2PI + (1 - beta_bar) * x_0**2 + beta_bar)

    def log_prob(self, p: Gaussian, x: Tensor) -> Tensor:
        """Return log p(x), the log density at x, in nats per element."""
        return -0.5 * ((x - p.mu) / p.sigma) ** 2 - pt.log(p.sigma) - 0.5 * LOG_2PI

    def multiply(self, p: Gaussian, observed: Tensor, precision: Tensor) -> Gaussian:
        """Return p(x) r(x) normalized, r(x) = exp(-precision (x - observed)^2 / 2): a noisy observation (Eq. 21).

        A precision of 0 leaves p unchanged, and so does a sigma of 0.
        """
        ratio = precision * p.sigma**2
        return Gaussian((p.mu + ratio * observed) / (1 + ratio), p.sigma / pt.sqrt(1 + ratio))

    def log_normalizer(self, p: Gaussian, observed: Tensor, precision: Tensor) -> Tensor:
        """Return the log of the integral of p(x) r(x), with the r of `multiply` (Eq. 52), in nats per element."""
        ratio = precision * p.sigma**2
        return -0.5 * (pt.log1p(ratio) + precision * (p.mu - observed) ** 2 / (1 + ratio))

    def perturb(self, p: Gaussian, log_r: Callable[[Tensor], Tensor], exponent: Tensor | None = None) -> Gaussian:
        """Return p(x) r(x)^exponent for any smooth r (Eq. 21, Table C.1): the mean moves by Sigma d log r / dx at mu.

        To first order in log r, exp(-(x - mu)^2 / (2 Sigma) + g (x - mu)) is a Gaussian of variance Sigma and mean
        mu + Sigma g: Sigma itself, where Table C.1 prints (Sigma / 2)^(1/2). The error of this mean is of the order of
        Sigma^2; with the printed factor it is of the order of Sigma^(1/2).

        Args:
            p: distribution of (n, ...) elements.
            log_r: a function of symbolic x, of p's shape, that returns nats, (n,).
            exponent: (n,), or None for 1.
        """
        return Gaussian(p.mu + p.sigma**2 * slope(log_r, p.mu, exponent), p.sigma)

    def condition(self, p: Gaussian, known: Tensor, x: Tensor) -> Gaussian:
        """Return p(x) times a delta at x where `known` is 1 (section 2.5.3); elsewhere p."""
        return Gaussian(pt.switch(known, x, p.mu), pt.switch(known, 0, p.sigma))

    def choose(self, condition: Tensor, p: Gaussian, q: Gaussian) -> Gaussian:
        """Return p where the condition holds, else q."""
        return Gaussian(pt.switch(condition, p.mu, q.mu), pt.switch(condition, p.sigma, q.sigma))

    def sample(self, p: Gaussian, noise: Tensor) -> Tensor:
        """Return a draw from p as a function of standard normal noise ("frozen noise", section 2.4.1)."""
        return p.mu + p.sigma * noise


def posterior_weights(beta: Tensor, beta_bar: Tensor, beta_bar_previous: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of x_0 and of x_t in the mean of q(x_{t-1} | x_t, x_0)."""
    weight_0 = pt.sqrt(1 - beta_bar_previous) * beta / beta_bar
    weight_t = pt.sqrt(1 - beta) * beta_bar_previous / beta_bar
    return weight_0, weight_t


def has_unit_prior(kernel: Any) -> bool:
    """Return True where pi(x_T) is that of `GaussianKernel`, and not a kernel's own."""
    return getattr(type(kernel), "prior", None) is GaussianKernel.prior


def scale_variance(kernel: Any, share: Tensor, like: Tensor) -> Tensor:
    """Return share v, with v the variance of the kernel's prior pi(x_T) in the shape of `like`; (n, ...)."""
    return share if has_unit_prior(kernel) else share * _prior(kernel, like).sigma ** 2


def to_unit_prior(kernel: Any, x: Tensor) -> Tensor:
    """Return x moved and scaled so that the kernel's prior pi(x_T) becomes the unit Gaussian."""
    if has_unit_prior(kernel):
        return x
    prior = _prior(kernel, x)
    return (x - prior.mu) / prior.sigma


def from_unit_prior(kernel: Any, p: Gaussian, like: Tensor) -> Gaussian:
    """Return the distribution of x where p is that of `to_unit_prior` of it."""
    if has_unit_prior(kernel):
        return p
    prior = _prior(kernel, like)
    return Gaussian(prior.mu + prior.sigma * p.mu, prior.sigma * p.sigma)


def _prior(kernel: Any, like: Tensor) -> Gaussian:
    """Return the kernel's prior; raise InputError where it has none."""
    if not hasattr(kernel, "prior"):
        raise InputError(
            f"kernel: {type(kernel).__name__} has no method prior; expected one, from which the networks take the "
            "prior's mean and variance; or give a network of your own"
        )
    prior: Gaussian = kernel.prior(like)
    return prior


def slope(log_r: Callable[[Tensor], Tensor], mu: Tensor, exponent: Tensor | None = None) -> Tensor:
    """Return d log r^exponent / dx at mu, in the shape of mu; log_r and exponent as in `GaussianKernel.perturb`."""
    at = mu.copy()
    gradient: Any = pytensor.grad(log_r(at).sum(), at, disconnected_inputs="ignore")
    return gradient if exponent is None else pt.shape_padright(exponent, mu.ndim - 1) * gradient
