"""Products with r(x) (section 2.5): the error of each guidance schedule, and exactness with particles."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from dpm.base.errors import InputError
from dpm.graph import schedules
from dpm.trajectories import products
from dpm.trajectories.potentials import bits, gaussian
from tests.helpers import exact
from tests.helpers.graphs import compiled_bits, compiled_vectors

GRID = np.linspace(-3.5, 3.5, 701)
MIXTURE = exact.MIXTURE


def mixture_posterior(x_t, alpha_bar):
    """Return log weights, means and variances of x_0 given x_t by component of the mixture, each (n, 3)."""
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
    """Return the exact reverse kernel on the grid by Bayes' rule: rows x_t, columns x_{t-1}."""
    w, m, s = (np.array(a) for a in zip(*MIXTURE, strict=True))
    deviation = (alpha_bar_before * s**2 + 1 - alpha_bar_before) ** 0.5
    before = (w * stats.norm.pdf(GRID[:, None], alpha_bar_before**0.5 * m, deviation)).sum(axis=1)
    joint = stats.norm.pdf(GRID[:, None], (1 - beta) ** 0.5 * GRID, beta**0.5) * before
    return joint / joint.sum(axis=1, keepdims=True)


def total_variation(log_r_t, T, log_r):
    """Return the total variation between the end of the multiplied chain, on the grid, and p(x_0) r(x_0) / Z.

    log_r_t: (T + 1, grid).
    """
    beta = schedules.released(T)
    alpha_bar = np.concatenate([[1], np.cumprod(1 - beta)])
    distribution = stats.norm.pdf(GRID) * np.exp(log_r_t[T])
    distribution /= distribution.sum()
    for t in range(T, 0, -1):
        step = reverse_matrix(beta[t - 1], alpha_bar[t - 1]) * np.exp(log_r_t[t - 1])
        distribution = distribution @ (step / step.sum(axis=1, keepdims=True))
    truth = sum(w * stats.norm.pdf(GRID, m, s) for w, m, s in MIXTURE) * np.exp(log_r)
    return 0.5 * np.abs(distribution - truth / truth.sum()).sum()


@pytest.mark.parametrize(
    ("guidance", "deviation", "expected"),
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
def test_total_variation_of_each_guidance_schedule(guidance, deviation, expected):
    """One dimension, mixture of three Gaussians, T = 40, exact reverse kernel: the expected total variations were
    computed independently on another grid. The paper's rule (constant) is not exact."""
    T = 40
    log_r = stats.norm.logpdf(GRID, 0.6, deviation)
    c = products.exponents(guidance, schedules.released(T))
    assert total_variation(c[:, None] * log_r, T, log_r) == pytest.approx(expected, abs=0.01)


def predicted_mean(alpha_bar):
    """Return E[x_0 | x_t] of the mixture on the grid, in closed form."""
    log_w, mean, _ = mixture_posterior(GRID, alpha_bar)
    return (np.exp(log_w) * mean).sum(axis=1)


def check_the_predicted_row(T, deviation, expected):
    rows = [GRID, *(predicted_mean(a) for a in np.cumprod(1 - schedules.released(T)))]
    log_r = stats.norm.logpdf(np.array(rows), 0.6, deviation)
    assert total_variation(log_r, T, log_r[0]) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("deviation", "expected"), [(0.5, 0.088), (1.0, 0.063), (0.2, 0.124)])
def test_total_variation_of_predicted_guidance(deviation, expected):
    """r_t(x) = r(E[x_0 | x_t = x]), guidance "predicted", T = 40: expected values computed independently."""
    check_the_predicted_row(40, deviation, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("deviation", "expected"), [(0.5, 0.094), (1.0, 0.066), (0.2, 0.183)])
def test_total_variation_of_predicted_guidance_with_many_steps(deviation, expected):
    """More steps do not make it exact: T = 400."""
    check_the_predicted_row(400, deviation, expected)


def test_prediction_of_the_exact_kernel_is_the_exact_mean():
    """E[x_0 | x_t] follows from p(x_{t-1} | x_t) for the exact reverse kernel, at t = 0, 1 and above."""
    compiled = exact.mixture(40)
    twist = products.Twist(compiled.model, lambda x: x[:, 0], "predicted")
    predict = compiled.function(twist.predict, compiled.reverse_inputs(len(GRID)))
    alpha_bar = np.cumprod(1 - schedules.released(40))
    for t in (2, 20, 40):
        (x_0,) = predict(exact.NONE, GRID[:, None], np.full(len(GRID), float(t)))
        np.testing.assert_allclose(x_0[:, 0], predicted_mean(alpha_bar[t - 1]), atol=1e-9)
    (x_0,) = predict(exact.NONE, GRID[:, None], np.zeros(len(GRID)))
    np.testing.assert_array_equal(x_0[:, 0], GRID)
    (x_0,) = predict(exact.NONE, GRID[:, None], np.ones(len(GRID)))  # p(x_0 | x_1) is the forward kernel (Eq. 43)
    np.testing.assert_allclose(x_0[:, 0], GRID * alpha_bar[0] ** 0.5, rtol=1e-12)


def test_chain_with_the_expected_r_is_exact():
    """r_t(x) = E[r(x_0) | x_t = x] in closed form makes the product exact, which verifies the grid."""
    T, log_r = 40, stats.norm.logpdf(GRID, 0.6, 0.5)
    rows = [log_r]
    for alpha_bar in np.cumprod(1 - schedules.released(T)):
        log_w, mean, variance = mixture_posterior(GRID, alpha_bar)
        rows.append(logsumexp(log_w + stats.norm.logpdf(0.6, mean, (variance + 0.25) ** 0.5), axis=1))
    assert total_variation(np.array(rows), T, log_r) < 0.002


def test_exponents_are_1_at_t_0():
    beta = schedules.erase_equally(5)
    for guidance in products.GUIDANCE:
        assert products.exponents(guidance, beta)[0] == 1
    np.testing.assert_allclose(products.exponents("linear", beta), products.exponents("alpha_bar", beta), atol=1e-12)
    with pytest.raises(InputError, match="constant, linear"):
        products.exponents("other", beta)


def check_Z(results, truth):
    """Check that the mean of exp(log Z) is within 3 standard errors of Z, and the reported error correct within 2x."""
    Z = np.exp([r.log_Z for r in results])
    error = Z.std(ddof=1) / len(Z) ** 0.5
    assert abs(Z.mean() - truth) < 3 * error
    spread = np.std([r.log_Z for r in results], ddof=1)
    assert spread / 2 < np.sqrt(np.mean([r.log_Z_error**2 for r in results])) < 2 * spread


@pytest.mark.parametrize("guidance", ["linear", "alpha_bar"])
def test_Z_and_samples_of_a_gaussian_product(guidance):
    """N(0, I) times a Gaussian r: Z and mean in closed form."""
    T, mean, sigma = 40, np.array([1.0, -0.5]), 0.6
    compiled = compiled_vectors(T)
    theta = np.zeros(compiled.layout.size)
    log_r = gaussian(mean, sigma)
    results = [products.sample_product(compiled, theta, log_r, 256, seed, guidance) for seed in range(60)]
    scale = (1 + sigma**2) ** 0.5
    truth = np.prod(stats.norm.pdf(mean, 0, scale) * (2 * np.pi) ** 0.5 * sigma)
    check_Z(results, truth)
    # Weighted by its exp(log Z), the mean of a run estimates Z E[x] without bias, for any number of particles.
    weighted = np.array([np.exp(r.log_Z) * r.samples.mean(axis=0) for r in results]) / truth
    error = weighted.std(axis=0, ddof=1) / len(weighted) ** 0.5
    assert np.all(np.abs(weighted.mean(axis=0) - mean / (1 + sigma**2)) < 3.5 * error)
    assert np.all(error < 0.05)


@pytest.mark.thorough
def test_Z_and_samples_of_bits_with_a_dependence():
    """Three bits times an r that couples them: Z and the joint distribution by enumeration."""
    T, pi = 10, 0.3
    compiled = compiled_bits(T, base_rate=pi)
    theta = np.zeros(compiled.layout.size)

    def log_r(x):
        return 1.5 * x[:, 0] * x[:, 1] - 1.0 * x[:, 1] * x[:, 2] + 0.5 * x[:, 2]

    states = np.array(list(np.ndindex(2, 2, 2)), dtype=float)
    weights = np.where(states == 1, pi, 1 - pi).prod(axis=1) * np.exp(log_r(states))
    results = [products.sample_product(compiled, theta, log_r, 256, seed) for seed in range(60)]
    check_Z(results, weights.sum())
    samples = np.concatenate([r.samples for r in results])
    counts = np.bincount((samples @ [4, 2, 1]).astype(int), minlength=8) / len(samples)
    np.testing.assert_allclose(counts, weights / weights.sum(), atol=0.02)


def test_observed_bits_are_drawn_as_observed():
    compiled = compiled_bits(10)
    theta = np.zeros(compiled.layout.size)
    log_r = bits(np.array([1.0, 0, 0]), np.array([1.0, 0, 0]))
    samples = products.sample_product(compiled, theta, log_r, 512, 0).samples
    assert samples[:, 0].mean() > 0.98
    assert abs(samples[:, 1].mean() - 0.3) < 0.1


def test_log_r_that_does_not_return_one_number_per_example_is_refused():
    compiled = compiled_bits(10)
    with pytest.raises(InputError, match=r"log_r: returns 2 axes; accepted: .*\(n,\)"):
        products.sample_product(compiled, np.zeros(compiled.layout.size), lambda x: x, 4, 0)


# ------------------------------------------------------------------ exact in the number of particles


def normals_on_the_grid(T):
    """Return the model exact.mixture(T) and p(x_1) on the grid: pi(x_T) through its Gaussian steps down to t = 2."""
    compiled, distribution = exact.mixture(T), stats.norm.pdf(GRID)
    step = compiled.reverse(len(GRID))
    for t in range(T, 1, -1):
        mu, sigma = step(exact.NONE, GRID[:, None], np.full(len(GRID), float(t)))
        matrix = stats.norm.pdf(GRID, mu, sigma)
        distribution = (distribution / distribution.sum()) @ (matrix / matrix.sum(axis=1, keepdims=True))
    return compiled, distribution / distribution.sum()


def bits_by_enumeration(T):
    """Return a model of three bits with random parameters, and p(x_1) over its 8 states through the steps to t = 2."""
    compiled = compiled_bits(T)
    theta = 0.4 * np.random.default_rng(0).standard_normal(compiled.layout.size)
    states = np.array(list(np.ndindex(2, 2, 2)), dtype=float)
    distribution = np.where(states == 1, 0.3, 0.7).prod(axis=1)
    step = compiled.reverse(8)
    for t in range(T, 1, -1):
        (logit,) = step(theta, states, np.full(8, float(t)))
        rate = 1 / (1 + np.exp(-logit[:, None, :]))
        distribution = distribution @ np.where(states == 1, rate, 1 - rate).prod(axis=2)
    return compiled, theta, states, distribution


def coupled(x):
    return 0.8 * x[:, 0] * x[:, 1] - 0.5 * x[:, 1] * x[:, 2] + 0.3 * x[:, 2]


def check_numbers(T, runs, guidance):
    log_r = gaussian(0.6, 1.0)
    compiled, distribution = normals_on_the_grid(T)
    truth = (distribution * np.exp(log_r(GRID[:, None]))).sum()
    results = [
        products.sample_product(compiled, exact.NONE, log_r, 128, s, guidance, last_step=False) for s in range(runs)
    ]
    check_mean(np.exp([r.log_Z for r in results]), truth)


def check_bits(T, runs, guidance):
    compiled, theta, states, distribution = bits_by_enumeration(T)
    truth = (distribution * np.exp(coupled(states))).sum()
    results = [
        products.sample_product(compiled, theta, coupled, 128, s, guidance, last_step=False) for s in range(runs)
    ]
    check_mean(np.exp([r.log_Z for r in results]), truth)


def check_mean(Z, truth):
    assert abs(Z.mean() - truth) < 3 * Z.std(ddof=1) / len(Z) ** 0.5
    assert Z.std(ddof=1) / len(Z) ** 0.5 < 0.05 * truth


each_kernel = pytest.mark.parametrize("check", [check_numbers, check_bits])


@pytest.mark.thorough
@each_kernel
@pytest.mark.parametrize("guidance", ["linear", "predicted"])
def test_Z_is_unbiased_for_both_kernels(check, guidance):
    """The mean of exp(log Z) over runs is the Z of the model's chain, by grid and by enumeration; T = 8."""
    check(8, 100, guidance)


@pytest.mark.slow
@each_kernel
@pytest.mark.parametrize("guidance", ["linear", "end", "predicted"])
@pytest.mark.parametrize("T", [40, 400])
def test_Z_is_unbiased_for_both_kernels_with_more_steps(check, T, guidance):
    """T = 40 and 400, 200 runs."""
    check(T, 200, guidance)


def check_total_variation(T, numbers):
    """Check that the total variation falls with the number of particles, to that of independent draws."""
    log_r, edges = gaussian(0.6, 0.5), np.linspace(-3.5, 3.5, 41)
    compiled, distribution = normals_on_the_grid(T)
    truth = np.histogram(GRID, edges, weights=distribution * np.exp(log_r(GRID[:, None])))[0]
    distances = []
    for n in numbers:
        runs = [products.sample_product(compiled, exact.NONE, log_r, n, s, last_step=False).samples for s in range(3)]
        shares = [np.histogram(x, edges)[0] / n for x in runs]
        distances.append(np.mean([0.5 * np.abs(share - truth / truth.sum()).sum() for share in shares]))
    assert np.all(np.diff(distances) < 0), distances
    assert distances[-1] < 0.06, distances


@pytest.mark.thorough
def test_total_variation_falls_with_the_number_of_particles():
    check_total_variation(40, (64, 1024, 16384))


@pytest.mark.slow
def test_total_variation_falls_with_the_number_of_particles_and_many_steps():
    check_total_variation(400, (64, 1024, 16384))


@pytest.mark.thorough
@pytest.mark.parametrize("guidance", ["end", "predicted"])
def test_gaussian_data_with_a_gaussian_r_agree_with_the_closed_form(guidance):
    """Data N(0.5, 0.3^2), exact reverse kernel: x_1 is N(m, v), and its product with r has Z, mean and variance known.

    With the schedule that erases all signal x_T is N(0, 1) exactly, so that p(x_1) = q(x_1).
    """
    beta = schedules.erase_equally(40)
    compiled = exact.mixture(40, [(1.0, 0.5, 0.3)], beta)
    m, v = (1 - beta[0]) ** 0.5 * 0.5, (1 - beta[0]) * 0.09 + beta[0]
    log_r, (mean, sigma) = gaussian(0.8, 0.4), (0.8, 0.4)
    truth = stats.norm.pdf(mean, m, (v + sigma**2) ** 0.5) * (2 * np.pi) ** 0.5 * sigma
    results = [
        products.sample_product(compiled, exact.NONE, log_r, 512, s, guidance, last_step=False) for s in range(40)
    ]
    check_mean(np.exp([r.log_Z for r in results]), truth)
    x = np.concatenate([r.samples for r in results])
    variance = 1 / (1 / v + sigma**-2)
    assert x.mean() == pytest.approx(variance * (m / v + mean / sigma**2), abs=0.01)
    assert x.var() == pytest.approx(variance, rel=0.05)


# ------------------------------------------------------------------ the heartbeat


def phases(X):
    return (X @ exact.PATTERNS.T).argmax(axis=1)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("guidance", "T"),
    [
        ("linear", 200),
        pytest.param("end", 200, marks=pytest.mark.slow),
        pytest.param("predicted", 40, marks=pytest.mark.slow),
    ],
)
def test_one_observed_bit_determines_the_phase(guidance, T):
    """The heartbeat with its exact factorial kernel and bit 0 observed: log Z = log(0.2 (1 - error) + 0.8 error), and
    for T = 200 at least 99 % of the samples have phase 0."""
    error = 1e-4
    known = np.arange(20) == 0
    result = products.sample_product(
        exact.heartbeat(T), exact.NONE, bits(known, known, error), 1000, 0, guidance, last_step=False
    )
    if guidance != "linear":  # its estimates are unbiased but rarely near
        assert result.log_Z == pytest.approx(np.log(0.2 * (1 - error) + 0.8 * error), abs=0.2)
    right = (phases(result.samples) == 0).mean()
    assert right >= (0.99 if T == 200 else 0.95)


@pytest.mark.thorough
@pytest.mark.parametrize("guidance", ["constant", "end", pytest.param("predicted", marks=pytest.mark.slow)])
def test_contradicting_bits_give_a_finite_result(guidance):
    """Bits 0 and 1 are never both 1 in the data; samples are still bits."""
    known = np.arange(20) < 2
    log_r = bits(known, known, 1e-6)
    result = products.sample_product(exact.heartbeat(40), exact.NONE, log_r, 200, 0, guidance)
    assert np.isfinite([result.log_Z, result.log_Z_error, *result.effective]).all()
    assert set(np.unique(result.samples)) <= {0.0, 1.0}
    X = products.sample_chain(
        exact.heartbeat(40), exact.NONE, log_r, 200, lambda shape: np.random.default_rng(0).random(shape), guidance
    )
    assert set(np.unique(X)) <= {0.0, 1.0}
