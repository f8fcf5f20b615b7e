"""Products with r(x) (section 2.5): what each choice of r_t samples, and that particles make it exact."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from dpm import posterior, schedules
from dpm.errors import InputError
from tests.graphs import compiled_bits, compiled_vectors

GRID = np.linspace(-3.5, 3.5, 701)
MIXTURE = [(0.5, -1.2, 0.2), (0.2, 0.3, 0.15), (0.3, 1.3, 0.3)]  # weight, mean, deviation


def mixture_posterior(x_t, alpha_bar):
    """For x_t of the mixture's forward marginal: log weights (n, 3), means and variances of x_0 by component."""
    w, m, s = (np.array(a) for a in zip(*MIXTURE, strict=True))
    variance = alpha_bar * s**2 + 1 - alpha_bar
    log_w = np.log(w) + stats.norm.logpdf(x_t[:, None], alpha_bar**0.5 * m, variance**0.5)
    mean = m + alpha_bar**0.5 * s**2 / variance * (x_t[:, None] - alpha_bar**0.5 * m)
    return (
        log_w - logsumexp(log_w, axis=1, keepdims=True),
        mean,
        np.broadcast_to(s**2 * (1 - alpha_bar) / variance, mean.shape),
    )


def reverse_matrix(beta, alpha_bar_before):
    """The exact reverse kernel on the grid: rows x_t, columns x_{t-1}, by Bayes' rule."""
    w, m, s = (np.array(a) for a in zip(*MIXTURE, strict=True))
    deviation = (alpha_bar_before * s**2 + 1 - alpha_bar_before) ** 0.5
    before = (w * stats.norm.pdf(GRID[:, None], alpha_bar_before**0.5 * m, deviation)).sum(axis=1)
    joint = stats.norm.pdf(GRID[:, None], (1 - beta) ** 0.5 * GRID, beta**0.5) * before
    return joint / joint.sum(axis=1, keepdims=True)


def total_variation(log_r_t, T, log_r):
    """Between the multiplied chain's end, on the grid, and p(x_0) r(x_0); log_r_t: (T + 1, grid)."""
    beta = schedules.released(T)
    alpha_bar = np.concatenate([[1], np.cumprod(1 - beta)])
    law = stats.norm.pdf(GRID) * np.exp(log_r_t[T])
    law /= law.sum()
    for t in range(T, 0, -1):
        step = reverse_matrix(beta[t - 1], alpha_bar[t - 1]) * np.exp(log_r_t[t - 1])
        law = law @ (step / step.sum(axis=1, keepdims=True))
    truth = sum(w * stats.norm.pdf(GRID, m, s) for w, m, s in MIXTURE) * np.exp(log_r)
    return 0.5 * np.abs(law - truth / truth.sum()).sum()


@pytest.mark.parametrize(
    ("way", "deviation", "expected"),
    [
        ("constant", 0.5, 0.128),
        ("constant", 1.0, 0.090),
        ("constant", 0.2, 0.148),
        ("linear", 0.5, 0.101),
        ("linear", 1.0, 0.123),
        ("linear", 0.2, 0.146),
        ("end", 0.5, 0.522),
        ("end", 1.0, 0.301),
        ("end", 0.2, 0.652),
    ],
)
def test_what_each_way_of_r_samples(way, deviation, expected):
    """One dimension, mixture of three Gaussians, T = 40, exact reverse kernel: total variations computed independently
    on a grid of their own. The paper's rule (constant) is not exact."""
    T = 40
    log_r = stats.norm.logpdf(GRID, 0.6, deviation)
    c = posterior.exponents(way, schedules.released(T))
    assert total_variation(c[:, None] * log_r, T, log_r) == pytest.approx(expected, abs=0.01)


def test_the_expected_r_is_exact():
    """r_t(x) = E[r(x_0) | x_t = x] in closed form makes the product exact, which checks the grid itself."""
    T, log_r = 40, stats.norm.logpdf(GRID, 0.6, 0.5)
    rows = [log_r]
    for alpha_bar in np.cumprod(1 - schedules.released(T)):
        log_w, mean, variance = mixture_posterior(GRID, alpha_bar)
        rows.append(logsumexp(log_w + stats.norm.logpdf(0.6, mean, (variance + 0.25) ** 0.5), axis=1))
    assert total_variation(np.array(rows), T, log_r) < 0.002


def test_exponents_are_one_at_the_data_and_named():
    beta = schedules.erase_equally(5)
    for way in posterior.WAYS:
        assert posterior.exponents(way, beta)[0] == 1
    np.testing.assert_allclose(posterior.exponents("linear", beta), posterior.exponents("alpha_bar", beta), atol=1e-12)
    with pytest.raises(InputError, match="constant, linear"):
        posterior.exponents("other", beta)


def check_Z(results, truth):
    """The mean of exp(log Z) is unbiased: within 3 standard errors of Z; the claimed error is of the right size."""
    Z = np.exp([r.log_Z for r in results])
    error = Z.std(ddof=1) / len(Z) ** 0.5
    assert abs(Z.mean() - truth) < 3 * error
    spread = np.std([r.log_Z for r in results], ddof=1)
    assert spread / 2 < np.sqrt(np.mean([r.log_Z_error**2 for r in results])) < 2 * spread


@pytest.mark.parametrize("way", ["linear", "alpha_bar"])
def test_Z_and_samples_of_a_gaussian_product(way):
    """N(0, I) times a Gaussian r: Z and mean in closed form."""
    T, mean, sigma = 40, np.array([1.0, -0.5]), 0.6
    compiled = compiled_vectors(T)
    theta = np.zeros(compiled.layout.size)
    log_r = posterior.gaussian(mean, sigma)
    results = [posterior.sample_product(compiled, theta, log_r, 256, seed, way) for seed in range(60)]
    scale = (1 + sigma**2) ** 0.5
    truth = np.prod(stats.norm.pdf(mean, 0, scale) * (2 * np.pi) ** 0.5 * sigma)
    check_Z(results, truth)
    # Weighted by its exp(log Z), a run's mean estimates Z E[x] without bias, however few particles there are.
    weighted = np.array([np.exp(r.log_Z) * r.samples.mean(axis=0) for r in results]) / truth
    error = weighted.std(axis=0, ddof=1) / len(weighted) ** 0.5
    assert np.all(np.abs(weighted.mean(axis=0) - mean / (1 + sigma**2)) < 3.5 * error)
    assert np.all(error < 0.05)


def test_Z_and_samples_of_bits_with_a_dependence():
    """Three bits times an r that couples them: Z and the joint law by enumeration."""
    T, pi = 10, 0.3
    compiled = compiled_bits(T, base_rate=pi)
    theta = np.zeros(compiled.layout.size)

    def log_r(x):
        return 1.5 * x[:, 0] * x[:, 1] - 1.0 * x[:, 1] * x[:, 2] + 0.5 * x[:, 2]

    states = np.array(list(np.ndindex(2, 2, 2)), dtype=float)
    weights = np.where(states == 1, pi, 1 - pi).prod(axis=1) * np.exp(log_r(states))
    results = [posterior.sample_product(compiled, theta, log_r, 256, seed) for seed in range(60)]
    check_Z(results, weights.sum())
    samples = np.concatenate([r.samples for r in results])
    counts = np.bincount((samples @ [4, 2, 1]).astype(int), minlength=8) / len(samples)
    np.testing.assert_allclose(counts, weights / weights.sum(), atol=0.02)


def test_a_bit_seen_is_the_bit_drawn():
    compiled = compiled_bits(10)
    theta = np.zeros(compiled.layout.size)
    log_r = posterior.bits(np.array([1.0, 0, 0]), np.array([1.0, 0, 0]))
    samples = posterior.sample_product(compiled, theta, log_r, 512, 0).samples
    assert samples[:, 0].mean() > 0.98
    assert abs(samples[:, 1].mean() - 0.3) < 0.1


def test_systematic_resampling_keeps_each_expected_number_within_one():
    rng = np.random.default_rng(0)
    weights = rng.random(50)
    weights /= weights.sum()
    counts = np.bincount(posterior.systematic(weights, rng.random()), minlength=50)
    assert np.all(np.abs(counts - 50 * weights) < 1)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: posterior.gaussian(0.0, 0.0), "sigma"),
        (lambda: posterior.gaussian(0.0, -1.0), "sigma"),
        (lambda: posterior.bits(1, 1, 0.5), "error"),
    ],
)
def test_wrong_arguments_are_named(make, named):
    with pytest.raises(InputError, match=named):
        make()
