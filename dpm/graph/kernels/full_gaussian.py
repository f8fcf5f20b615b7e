"""Gaussian diffusion whose reverse kernel has a full covariance: beyond the paper, which takes a diagonal one (D.1.1).

A vector x of mean mu is written one element after the other,

    x_i - mu_i = sum over j < i of mix_ij (x_j - mu_j) + sigma_i z_i,    z standard normal,

which any covariance can be: with M = 1 - mix the precision is M^T diag(1 / sigma^2) M, and det M = 1. The
log density and the divergence are then sums over elements, as those of the diagonal kernel, with M in front.
"""

from typing import NamedTuple

import pytensor.tensor as pt
from pytensor.tensor.linalg import cholesky, solve_triangular

from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel, slope


class FullGaussian(NamedTuple):
    """Normal vectors: mean mu and deviations sigma given the elements before, (n, d); mix, (n, d, d), 0 for j >= i."""

    mu: pt.TensorVariable
    sigma: pt.TensorVariable
    mix: pt.TensorVariable


class FullGaussianKernel(GaussianKernel):
    """The forward kernel and its posterior as in Table C.1; p(x_{t-1} | x_t) as FullGaussian of vectors (n, d)."""

    def kl(self, q, p):
        """D_KL(q || p) for q of independent elements, in nats; an element's share each, of which the sum is meant."""
        p = full(p)
        root = _unmix(p)
        q_var = pt.broadcast_to(q.sigma**2, p.mu.shape)
        var, away = _product(root**2, q_var), _product(root, q.mu - p.mu)
        return pt.log(p.sigma) - pt.log(q.sigma) + (var + away**2) / (2 * p.sigma**2) - 0.5

    def log_prob(self, p, x):
        """log p(x_i | x_j, j < i), nats for each element."""
        p = full(p)
        return super().log_prob(Gaussian(pt.zeros_like(p.mu), p.sigma), _product(_unmix(p), x - p.mu))

    def sample(self, p, noise):
        """A draw from p made of standard normal noise."""
        p = full(p)
        step = solve_triangular(_unmix(p), p.sigma * noise, lower=True, unit_diagonal=True, b_ndim=1)
        return p.mu + step

    def multiply(self, p, observed, precision):
        """p(x) r(x) normalized, r(x) = exp(-precision |x - observed|^2 / 2) (Eq. 21): precisions add."""
        p = full(p)
        precision = pt.broadcast_to(precision, p.mu.shape)
        total = _precision(p) + precision[:, :, None] * pt.eye(p.mu.shape[1], dtype=p.mu.dtype)
        pull = precision * (observed - p.mu)
        return _from_precision(p.mu + _solve(total, pull), total)

    def log_normalizer(self, p, observed, precision):
        """log of the integral of p(x) r(x), the r of `multiply` (Eq. 52), nats, spread evenly over the elements."""
        p = full(p)
        product = self.multiply(p, observed, precision)
        # log p(mu') + log r(mu') - log product(mu') at the product's mean, where the last one is easiest.
        log_r = -0.5 * precision * (product.mu - observed) ** 2
        nats = self.log_prob(p, product.mu) + log_r - self.log_prob(product, product.mu)
        return pt.broadcast_to(nats.mean(axis=1, keepdims=True), p.mu.shape)

    def perturb(self, p, log_r, exponent=None):
        """p(x) r(x)^exponent for any smooth r (Eq. 21, Table C.1): the mean moves by Sigma d log r / dx at mu."""
        p = full(p)
        return FullGaussian(p.mu + _solve(_precision(p), slope(log_r, p.mu, exponent)), p.sigma, p.mix)

    def condition(self, p, known, x):
        """p given that the elements where `known` is 1 are those of x (section 2.5.3)."""
        p = full(p)
        free = pt.switch(known, 0, pt.ones_like(p.mu))
        precision = _precision(p)
        among_free = precision * free[:, :, None] * free[:, None, :]
        among_free = among_free + (1 - free)[:, :, None] * pt.eye(p.mu.shape[1], dtype=p.mu.dtype)
        given = (1 - free) * (x - p.mu)
        pull = free * _product(precision, given)
        rest = _from_precision(p.mu + given - _solve(among_free, pull), among_free)
        return FullGaussian(pt.switch(known, x, rest.mu), free * rest.sigma, rest.mix)

    def choose(self, condition, p, q):
        """p where the condition, (n, 1), holds, else q."""
        p, q = full(p), full(q)
        chosen = super().choose(condition, p, q)
        return FullGaussian(chosen.mu, chosen.sigma, pt.switch(condition[:, :, None], p.mix, q.mix))


def full(p):
    """p as a FullGaussian: one of independent elements has no mix."""
    if isinstance(p, Gaussian):
        mu, sigma = pt.broadcast_arrays(p.mu, p.sigma)
        return FullGaussian(mu, sigma, pt.zeros_like(mu[:, :, None] * mu[:, None, :]))
    return p


def _unmix(p):
    return pt.eye(p.mu.shape[1], dtype=p.mu.dtype) - p.mix


def _product(matrices, vectors):
    """(n, d, d) times (n, d)."""
    return pt.matmul(matrices, vectors[:, :, None])[:, :, 0]


def _precision(p):
    root = _unmix(p)
    return pt.matmul(root.transpose(0, 2, 1) / p.sigma[:, None, :] ** 2, root)


def _from_precision(mu, precision):
    """The FullGaussian of that precision, U U^T with U = M^T diag(1 / sigma) upper triangular."""
    upper = cholesky(precision[:, ::-1, ::-1])[:, ::-1, ::-1]
    diagonal = pt.diagonal(upper, axis1=1, axis2=2)
    root = (upper / diagonal[:, None, :]).transpose(0, 2, 1)
    return FullGaussian(mu, 1 / diagonal, pt.eye(mu.shape[1], dtype=mu.dtype) - root)


def _solve(precision, b):
    """precision^-1 b by its Cholesky factor; (n, d)."""
    root = cholesky(precision)
    half = solve_triangular(root, b, lower=True, b_ndim=1)
    return solve_triangular(root, half, lower=True, trans="T", b_ndim=1)
