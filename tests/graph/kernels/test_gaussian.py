"""Gaussian diffusion (Table C.1) against scipy's densities and grids."""

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from tests.helpers.graphs import constant, value

KERNEL = GaussianKernel()
rates = st.floats(1e-4, 0.99)
numbers = st.floats(-3, 3)


@settings(deadline=None, max_examples=25)
@given(x_0=numbers, x_t=numbers, beta=rates, beta_bar_previous=rates)
def test_posterior_is_bayes_rule_on_a_grid(x_0, x_t, beta, beta_bar_previous):
    """q(x_{t-1}|x_t,x_0) has the moments of q(x_t|x_{t-1}) q(x_{t-1}|x_0), normalized on a grid (Eq. 47)."""
    beta_bar = 1 - (1 - beta) * (1 - beta_bar_previous)
    q = KERNEL.posterior(*map(constant, (x_0, x_t, beta, beta_bar, beta_bar_previous)))
    mu, sigma = float(value(q.mu)), float(value(q.sigma))
    grid = np.linspace(mu - 12 * sigma, mu + 12 * sigma, 20_001)
    log_density = stats.norm.logpdf(x_t, grid * (1 - beta) ** 0.5, beta**0.5) + stats.norm.logpdf(
        grid, x_0 * (1 - beta_bar_previous) ** 0.5, beta_bar_previous**0.5
    )
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mean = weights @ grid
    assert mu == pytest.approx(mean, abs=1e-6 + 1e-5 * sigma)
    assert sigma == pytest.approx((weights @ (grid - mean) ** 2) ** 0.5, rel=1e-5)


@settings(deadline=None, max_examples=25)
@given(mu_q=numbers, mu_p=numbers, sigma_q=st.floats(0.05, 3), sigma_p=st.floats(0.05, 3))
def test_kl_is_the_integral_of_the_log_ratio(mu_q, mu_p, sigma_q, sigma_p):
    """D_KL(q || p) by scipy's densities on a grid (Eq. 14)."""
    grid = np.linspace(mu_q - 12 * sigma_q, mu_q + 12 * sigma_q, 20_001)
    q, p = stats.norm(mu_q, sigma_q), stats.norm(mu_p, sigma_p)
    integral = np.trapezoid(q.pdf(grid) * (q.logpdf(grid) - p.logpdf(grid)), grid)
    kl = KERNEL.kl(Gaussian(constant(mu_q), constant(sigma_q)), Gaussian(constant(mu_p), constant(sigma_p)))
    assert float(value(kl)) == pytest.approx(integral, rel=1e-6, abs=1e-8)


@settings(deadline=None, max_examples=15)
@given(beta=rates)
def test_entropies_are_scipys(beta):
    """H_q(X_t|X_0), H_q(X_t|X_{t-1}) and H_p(X_T) (Eq. 14 and 23)."""
    expected = stats.norm(0, beta**0.5).entropy()
    assert float(value(KERNEL.entropy_marginal(constant(beta)))) == pytest.approx(expected, abs=1e-12)
    assert float(value(KERNEL.entropy_step(constant(beta)))) == pytest.approx(expected, abs=1e-12)
    assert KERNEL.prior_entropy() == pytest.approx(stats.norm.entropy(), abs=1e-12)


def test_composed_forward_steps_are_the_marginal():
    """T forward steps have the mean and variance of the marginal's closed form (Eq. 2 and 3)."""
    betas = np.array([0.01, 0.2, 0.5, 0.03])
    mean, variance = 1.7, 0.0
    for beta in betas:
        step = KERNEL.forward_step(constant(mean), constant(beta))
        mean, variance = float(value(step.mu)), variance * (1 - beta) + float(value(step.sigma)) ** 2
    marginal = KERNEL.forward_marginal(constant(1.7), constant(1 - np.prod(1 - betas)))
    assert mean == pytest.approx(float(value(marginal.mu)), rel=1e-12)
    assert variance**0.5 == pytest.approx(float(value(marginal.sigma)), rel=1e-12)


def test_product_with_a_gaussian_is_that_of_densities():
    """p(x) r(x) normalized on a grid (Eq. 21); precision 0 changes nothing."""
    grid = np.linspace(-10, 10, 40_001)
    product = stats.norm(0.4, 0.7).pdf(grid) * stats.norm(-1.0, 0.3).pdf(grid)
    product /= product.sum()
    p = Gaussian(constant(0.4), constant(0.7))
    r = KERNEL.multiply(p, constant(-1.0), constant(0.3**-2))
    assert float(value(r.mu)) == pytest.approx(product @ grid, abs=1e-9)
    variance = product @ grid**2 - (product @ grid) ** 2
    assert float(value(r.sigma)) == pytest.approx(variance**0.5, abs=1e-9)
    same = KERNEL.multiply(p, constant(-1.0), constant(0.0))
    np.testing.assert_allclose([value(same.mu), value(same.sigma)], [0.4, 0.7], rtol=1e-15)


def test_a_delta_holds_the_known_elements():
    """p(x) times a delta where known is 1: mean x, deviation 0; elsewhere p (section 2.5.3)."""
    p = Gaussian(constant([1.0, 2.0]), constant([0.5, 0.6]))
    q = KERNEL.condition(p, constant([1.0, 0.0]), constant([9.0, 9.0]))
    np.testing.assert_array_equal(value(q.mu), [9.0, 2.0])
    np.testing.assert_array_equal(value(q.sigma), [0.0, 0.6])
    np.testing.assert_array_equal(value(KERNEL.sample(q, constant([3.0, 0.0]))), [9.0, 2.0])


def test_the_prior_is_the_unit_gaussian():
    """Eq. 4."""
    prior = KERNEL.prior(constant(np.full((2, 3), 7.0)))
    np.testing.assert_array_equal(value(prior.mu), np.zeros((2, 3)))
    np.testing.assert_array_equal(value(prior.sigma), np.ones((2, 3)))


def test_an_observation_leaves_a_known_element_as_it_is():
    """sigma = 0: p(x) is a delta, p(x) r(x) the same delta, and its integral r(mu) (Eq. 21 and 52)."""
    p = Gaussian(constant(0.4), constant(0.0))
    q = KERNEL.multiply(p, constant(-1.0), constant(3.0))
    assert [float(value(q.mu)), float(value(q.sigma))] == [0.4, 0.0]
    log_Z = float(value(KERNEL.log_normalizer(p, constant(-1.0), constant(3.0))))
    assert log_Z == pytest.approx(-1.5 * 1.4**2, rel=1e-14)


@settings(deadline=None, max_examples=15)
@given(mu=numbers, sigma=st.floats(0.05, 3), x=numbers)
def test_log_density_is_scipys(mu, sigma, x):
    """log p(x) of the Gaussian column of Table C.1."""
    log_p = value(KERNEL.log_prob(Gaussian(constant(mu), constant(sigma)), constant(x)))
    assert float(log_p) == pytest.approx(stats.norm.logpdf(x, mu, sigma), rel=1e-10, abs=1e-12)


def test_the_error_of_the_perturbed_mean_is_of_the_order_of_the_squared_variance():
    """p(x) r(x) on a grid against mu + Sigma d log r / dx: a tenth of Sigma, a hundredth of the error. With the factor
    that Table C.1 prints, (Sigma / 2)^(1/2), the error falls no faster than that factor itself."""
    mu, ours, printed = 0.3, [], []
    for variance in (1e-2, 1e-3, 1e-4):
        grid = mu + variance**0.5 * np.linspace(-12, 12, 40_001)
        weights = np.exp(-0.5 * (grid - mu) ** 2 / variance + np.sin(2 * grid))
        exact = weights @ grid / weights.sum()
        p = Gaussian(constant([[mu]]), constant([[variance**0.5]]))
        q = KERNEL.perturb(p, lambda x: pt.sin(2 * x).sum(axis=1))
        ours.append(abs(value(q.mu).item() - exact))
        printed.append(abs(mu + (variance / 2) ** 0.5 * 2 * np.cos(2 * mu) - exact))
        assert value(q.sigma).item() == pytest.approx(variance**0.5, rel=1e-15)
    np.testing.assert_allclose(np.divide(ours[:-1], ours[1:]), 100, rtol=0.1)
    assert np.all(np.divide(printed[:-1], printed[1:]) < 4)


def test_images_are_perturbed_with_one_exponent_each():
    """p(x) r(x)^c for examples of any shape: log r sums over all axes of an example (Table C.1)."""
    mu = np.arange(24.0).reshape(2, 3, 2, 2) / 10
    p = Gaussian(constant(mu), constant(np.full((2, 3, 2, 2), 0.1)))
    q = KERNEL.perturb(p, lambda x: -(x**2).sum(axis=(1, 2, 3)), constant([1.0, 0.5]))
    c = np.array([1.0, 0.5]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(value(q.mu), mu - 0.01 * c * 2 * mu, rtol=1e-12)
