"""The kernel of full covariance against scipy.stats and the linear algebra of normal vectors."""

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from dpm.graph.kernels.full_gaussian import FullGaussian, FullGaussianKernel, as_full
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from tests.helpers.graphs import value

KERNEL = FullGaussianKernel()
few = settings(deadline=None, max_examples=12)  # each evaluates new graphs
CASES = {"seed": st.integers(0, 10**6), "size": st.integers(1, 4)}


def draw(seed, size, n=3):
    """(rng, p as a graph, its means (n, d), its covariances (n, d, d))."""
    rng = np.random.default_rng(seed)
    mu, sigma = rng.standard_normal((n, size)), rng.uniform(0.2, 2, (n, size))
    mix = np.tril(rng.standard_normal((n, size, size)), -1)
    root = np.linalg.inv(np.eye(size) - mix) * sigma[:, None, :]
    return rng, FullGaussian(*map(pt.constant, (mu, sigma, mix))), mu, root @ root.transpose(0, 2, 1)


def moments(p):
    """Means and covariances of a FullGaussian graph."""
    mu, sigma, mix = map(value, p)
    root = np.linalg.inv(np.eye(mu.shape[1]) - mix) * sigma[:, None, :]
    return mu, root @ root.transpose(0, 2, 1)


@few
@given(**CASES)
def test_log_density_is_scipys(seed, size):
    rng, p, mu, covariance = draw(seed, size)
    x = rng.standard_normal(mu.shape)
    expected = [multivariate_normal.logpdf(*row) for row in zip(x, mu, covariance, strict=True)]
    np.testing.assert_allclose(value(KERNEL.log_prob(p, pt.constant(x))).sum(axis=1), expected, rtol=1e-9)


@few
@given(**CASES)
def test_divergence_from_independent_elements_in_closed_form(seed, size):
    """KL of two normal vectors: (tr(S^-1 Q) + m S^-1 m - d + log det S - log det Q) / 2."""
    rng, p, mu, covariance = draw(seed, size)
    q_mu, q_sigma = rng.standard_normal(mu.shape), rng.uniform(0.2, 2, (len(mu), 1))
    q = Gaussian(pt.constant(q_mu), pt.constant(q_sigma))
    inverse, away = np.linalg.inv(covariance), mu - q_mu
    expected = 0.5 * (
        (np.diagonal(inverse, axis1=1, axis2=2) * q_sigma**2).sum(axis=1)
        + np.einsum("ni,nij,nj->n", away, inverse, away)
        - size
        + np.linalg.slogdet(covariance)[1]
        - 2 * size * np.log(q_sigma[:, 0])
    )
    np.testing.assert_allclose(value(KERNEL.kl(q, p)).sum(axis=1), expected, rtol=1e-8, atol=1e-10)


@few
@given(**CASES)
def test_a_draw_is_the_mean_and_a_root_of_the_covariance_times_noise(seed, size):
    _, p, mu, covariance = draw(seed, size, n=1)
    noise = np.eye(size)
    rows = FullGaussian(*(pt.constant(np.repeat(value(a), size, axis=0)) for a in p))
    root = (value(KERNEL.sample(rows, pt.constant(noise))) - mu).T
    np.testing.assert_allclose(root @ root.T, covariance[0], rtol=1e-9, atol=1e-12)


@pytest.mark.thorough
@few
@given(**CASES, precision=st.floats(0.01, 100))
def test_product_with_a_gaussian_adds_precisions(seed, size, precision):
    """Eq. 21 and 52: mean, covariance and normalizer of p(x) exp(-precision |x - observed|^2 / 2)."""
    rng, p, mu, covariance = draw(seed, size)
    observed = rng.standard_normal(mu.shape)
    given_precision = pt.constant(np.full((len(mu), 1), precision))
    product = KERNEL.multiply(p, pt.constant(observed), given_precision)
    new_mu, new_covariance = moments(product)
    inverse = np.linalg.inv(covariance)
    expected = np.linalg.inv(inverse + precision * np.eye(size))
    np.testing.assert_allclose(new_covariance, expected, rtol=1e-7, atol=1e-9)
    pull = np.einsum("nij,nj->ni", inverse, mu) + precision * observed
    np.testing.assert_allclose(new_mu, np.einsum("nij,nj->ni", expected, pull), rtol=1e-7, atol=1e-9)
    log_Z = [
        multivariate_normal.logpdf(o, m, c + np.eye(size) / precision) + size / 2 * np.log(2 * np.pi / precision)
        for o, m, c in zip(observed, mu, covariance, strict=True)
    ]
    nats = value(KERNEL.log_normalizer(p, pt.constant(observed), given_precision)).sum(axis=1)
    np.testing.assert_allclose(nats, log_Z, rtol=1e-6, atol=1e-8)


@pytest.mark.thorough
@few
@given(**CASES)
def test_known_elements_condition_the_others(seed, size):
    """Section 2.5.3: the textbook mean and covariance of normal elements given others."""
    rng, p, mu, covariance = draw(seed, size, n=1)
    known, x = rng.integers(0, 2, (1, size)), rng.standard_normal((1, size))
    new_mu, new_covariance = moments(KERNEL.condition(p, pt.constant(known), pt.constant(x)))
    k = known[0] == 1
    np.testing.assert_array_equal(new_mu[0, k], x[0, k])
    np.testing.assert_array_equal(new_covariance[0][k], 0)
    across = covariance[0][np.ix_(~k, k)] @ np.linalg.pinv(covariance[0][np.ix_(k, k)])
    np.testing.assert_allclose(new_mu[0, ~k], mu[0, ~k] + across @ (x - mu)[0, k], rtol=1e-6, atol=1e-8)
    expected = covariance[0][np.ix_(~k, ~k)] - across @ covariance[0][np.ix_(k, ~k)]
    np.testing.assert_allclose(new_covariance[0][np.ix_(~k, ~k)], expected, rtol=1e-6, atol=1e-8)


@few
@given(**CASES)
def test_a_linear_log_r_moves_the_mean_by_sigma_times_its_slope(seed, size):
    """Table C.1 with Sigma for the printed (Sigma / 2)^(1/2): exact for exp(g x), which moves a Gaussian by Sigma g."""
    rng, p, mu, covariance = draw(seed, size)
    slope = rng.standard_normal(size)
    moved = KERNEL.perturb(p, lambda x: (x * slope).sum(axis=1), pt.constant(np.full(len(mu), 0.5)))
    new_mu, new_covariance = moments(moved)
    np.testing.assert_allclose(new_mu, mu + 0.5 * covariance @ slope, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(new_covariance, covariance, rtol=1e-12)


@pytest.mark.thorough
def test_without_mix_it_is_the_diagonal_kernel():
    rng = np.random.default_rng(0)
    mu, x = rng.standard_normal((2, 4, 3))
    p = Gaussian(pt.constant(mu), pt.constant(rng.uniform(0.2, 2, (4, 1))))
    q, noise = Gaussian(pt.constant(x), pt.constant(np.full((4, 1), 0.3))), pt.constant(x)
    for name, arguments in {
        "log_prob": (p, noise),
        "kl": (q, p),
        "sample": (p, noise),
        "log_normalizer": (p, noise, pt.constant(np.full((4, 1), 2.0))),
    }.items():
        ours, theirs = (value(getattr(kernel, name)(*arguments)) for kernel in (KERNEL, GaussianKernel()))
        np.testing.assert_allclose(ours.sum(axis=1), theirs.sum(axis=1), rtol=1e-9, err_msg=name)


def test_choose_takes_whole_vectors():
    """Rows of p where the condition holds, of q elsewhere, also where one of them has independent elements."""
    _, p, mu, covariance = draw(0, 2)
    q = Gaussian(pt.zeros((3, 1)) + pt.zeros((3, 2)), pt.ones((3, 1)))
    new_mu, new_covariance = moments(KERNEL.choose(pt.constant(np.array([[True], [False], [True]])), p, q))
    np.testing.assert_allclose(new_mu, np.where([[1], [0], [1]], mu, 0))
    np.testing.assert_allclose(new_covariance[[0, 2]], covariance[[0, 2]])
    np.testing.assert_allclose(new_covariance[1], np.eye(2))


def test_a_single_element_has_no_mix():
    assert value(as_full(Gaussian(pt.zeros((2, 1)), pt.ones((2, 1)))).mix) == pytest.approx(0)
