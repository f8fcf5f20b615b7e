"""Gaussian diffusion with a full covariance of the reverse kernel, where the paper has a diagonal one (D.1.1).

A vector x of mean mu is drawn one element after the other,

    x_i - mu_i = sum over j < i of mix_ij (x_j - mu_j) + sigma_i z_i,    z standard normal,

which covers every covariance: with M = 1 - mix the precision is M^T diag(1 / sigma^2) M, and det M = 1. The log density
and the divergence are then sums over elements, as for the diagonal kernel, after a product with M.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import pytensor.tensor as pt
from pytensor.tensor.linalg import cholesky, solve_triangular

from dpm.graph import Tensor
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel, slope


class FullGaussian(NamedTuple):
    """Normal vectors with any covariance.

    mu: mean, and sigma: deviation of each element given the elements before it, both (n, d); mix: (n, d, d), 0 for
    j >= i.
    """

    mu: Tensor
    sigma: Tensor
    mix: Tensor


AnyGaussian: TypeAlias = Gaussian | FullGaussian


class FullGaussianKernel(GaussianKernel):
    """Kernel with the forward steps and posterior of Table C.1 and p(x_{t-1} | x_t) a FullGaussian of vectors (n, d).

    Its methods accept a Gaussian, of independent elements, in place of a FullGaussian.

    Attributes:
        noise: kind of the noise that `sample` takes, a key of dpm.base.noise.DRAWS.
        binary: True if the data are bits.

    Example:
        >>> round(dpm.FullGaussianKernel().prior_entropy(), 4)  # log(2 pi e) / 2 nats per element
        1.4189
    """

    def kl(self, q: Gaussian, p: AnyGaussian) -> Tensor:
        """Return D_KL(q || p) for q of independent elements, in nats; only the sum over elements has a meaning."""
        p = as_full(p)
        root = _unmix(p)
        q_var = pt.broadcast_to(q.sigma**2, p.mu.shape)
        var, away = _product(root**2, q_var), _product(root, q.mu - p.mu)
        return pt.log(p.sigma) - pt.log(q.sigma) + (var + away**2) / (2 * p.sigma**2) - 0.5

    def log_prob(self, p: AnyGaussian, x: Tensor) -> Tensor:
        """Return log p(x_i | x_j, j < i), in nats per element."""
        p = as_full(p)
        return super().log_prob(Gaussian(pt.zeros_like(p.mu), p.sigma), _product(_unmix(p), x - p.mu))

    def sample(self, p: AnyGaussian, noise: Tensor) -> Tensor:
        """Return a draw from p as a function of standard normal noise."""
        p = as_full(p)
        step = solve_triangular(_unmix(p), p.sigma * noise, lower=True, unit_diagonal=True, b_ndim=1)
        return p.mu + step

    def multiply(self, p: AnyGaussian, observed: Tensor, precision: Tensor) -> FullGaussian:  # type: ignore[override]
        """Return p(x) r(x) normalized, r(x) = exp(-precision |x - observed|^2 / 2) (Eq. 21): precisions add."""
        p = as_full(p)
        precision = pt.broadcast_to(precision, p.mu.shape)
        total = _precision(p) + precision[:, :, None] * pt.eye(p.mu.shape[1], dtype=p.mu.dtype)
        pull = precision * (observed - p.mu)
        return _from_precision(p.mu + _solve(total, pull), total)

    def log_normalizer(self, p: AnyGaussian, observed: Tensor, precision: Tensor) -> Tensor:
        """Return the log of the integral of p(x) r(x), with the r of `multiply` (Eq. 52), in nats.

        It is spread evenly over the elements.
        """
        p = as_full(p)
        product = self.multiply(p, observed, precision)
        # log p(mu') + log r(mu') - log product(mu') at the mean of the product, where the last term is simplest.
        log_r = -0.5 * precision * (product.mu - observed) ** 2
        nats = self.log_prob(p, product.mu) + log_r - self.log_prob(product, product.mu)
        return pt.broadcast_to(nats.mean(axis=1, keepdims=True), p.mu.shape)

    def perturb(  # type: ignore[override]
        self, p: AnyGaussian, log_r: Callable[[Tensor], Tensor], exponent: Tensor | None = None
    ) -> FullGaussian:
        """Return p(x) r(x)^exponent for any smooth r (Eq. 21, Table C.1).

        The mean moves by Sigma d log r / dx at mu; the arguments are those of `GaussianKernel.perturb`.
        """
        p = as_full(p)
        return FullGaussian(p.mu + _solve(_precision(p), slope(log_r, p.mu, exponent)), p.sigma, p.mix)

    def condition(self, p: AnyGaussian, known: Tensor, x: Tensor) -> FullGaussian:  # type: ignore[override]
        """Return p given that the elements where `known` is 1 equal those of x (section 2.5.3)."""
        p = as_full(p)
        free = pt.switch(known, 0, pt.ones_like(p.mu))
        precision = _precision(p)
        among_free = precision * free[:, :, None] * free[:, None, :]
        among_free = among_free + (1 - free)[:, :, None] * pt.eye(p.mu.shape[1], dtype=p.mu.dtype)
        given = (1 - free) * (x - p.mu)
        pull = free * _product(precision, given)
        rest = _from_precision(p.mu + given - _solve(among_free, pull), among_free)
        return FullGaussian(pt.switch(known, x, rest.mu), free * rest.sigma, rest.mix)

    def choose(self, condition: Tensor, p: AnyGaussian, q: AnyGaussian) -> FullGaussian:  # type: ignore[override]
        """Return p where the condition, (n, 1), holds, else q."""
        p, q = as_full(p), as_full(q)
        chosen = super().choose(condition, Gaussian(p.mu, p.sigma), Gaussian(q.mu, q.sigma))
        return FullGaussian(chosen.mu, chosen.sigma, pt.switch(condition[:, :, None], p.mix, q.mix))


def as_full(p: AnyGaussian) -> FullGaussian:
    """Return p as a FullGaussian; the mix of independent elements is 0."""
    if isinstance(p, Gaussian):
        mu, sigma = pt.broadcast_arrays(p.mu, p.sigma)
        return FullGaussian(mu, sigma, pt.zeros_like(mu[:, :, None] * mu[:, None, :]))
    return p


def _unmix(p: FullGaussian) -> Tensor:
    """Return M = 1 - mix, (n, d, d)."""
    return pt.eye(p.mu.shape[1], dtype=p.mu.dtype) - p.mix


def _product(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Return matrices, (n, d, d), times vectors, (n, d)."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def _precision(p: FullGaussian) -> Tensor:
    """Return M^T diag(1 / sigma^2) M, (n, d, d)."""
    root = _unmix(p)
    return (root.transpose(0, 2, 1) / p.sigma[:, None, :] ** 2) @ root


def _from_precision(mu: Tensor, precision: Tensor) -> FullGaussian:
    """Return the FullGaussian of a precision U U^T with U = M^T diag(1 / sigma) upper triangular."""
    upper = cholesky(precision[:, ::-1, ::-1])[:, ::-1, ::-1]
    diagonal = pt.diagonal(upper, axis1=1, axis2=2)
    root = (upper / diagonal[:, None, :]).transpose(0, 2, 1)
    return FullGaussian(mu, 1 / diagonal, pt.eye(mu.shape[1], dtype=mu.dtype) - root)


def _solve(precision: Tensor, b: Tensor) -> Tensor:
    """Return precision^-1 b by Cholesky factors, (n, d)."""
    root = cholesky(precision)
    half = solve_triangular(root, b, lower=True, b_ndim=1)
    return solve_triangular(root, half, lower=True, trans="T", b_ndim=1)
