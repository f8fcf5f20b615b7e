"""Log density, ceiling and schedules of the swiss roll, against numbers computed independently and other methods."""

from itertools import combinations

import numpy as np
import pytest
from scipy.integrate import quad

from dpm.base.errors import InputError
from dpm.datasets.made.generators import swiss_roll as draw_swiss_roll
from dpm.datasets.made.generators import swiss_roll_curve
from dpm.experiments.exact import swiss_roll
from dpm.graph.schedules import even_log_snr

# Computed independently, in bits per point: noise; log likelihood; ceilings at T = 40, accurate to 0.05, of diagonal
# and full covariance under the best schedule, and of diagonal covariance under even spacing in log SNR.
SWISS_ROLL = [
    (0.0068, 1.492, 1.242, 1.450, 1.136),
    (0.0024, 2.996, 2.644, 2.952, 2.512),
    (0.0017, 3.493, 3.104, 3.449, 2.967),
    pytest.param(0.0048, 1.995, 1.713, 1.952, 1.596, marks=pytest.mark.slow),
    pytest.param(0.0036, 2.410, 2.100, 2.367, 1.976, marks=pytest.mark.slow),
    pytest.param(0.00295, 2.698, 2.368, 2.655, 2.239, marks=pytest.mark.slow),
]


def rng(seed=0):
    return np.random.default_rng(seed)


def test_L_null_is_the_log_density_of_the_prior_at_variance_1():
    assert swiss_roll.L_null(2) == pytest.approx(-4.094, abs=5e-4)
    assert swiss_roll.L_null(3) == pytest.approx(1.5 * swiss_roll.L_null(2))


def test_density_integrates_to_1():
    axis = np.linspace(-6, 6, 121)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    total = np.exp2(swiss_roll.log_density(points, 0.5)).sum() * (axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("noise", [0.0024, 0.05, 0.7])
def test_density_matches_adaptive_quadrature_over_the_curve(noise):
    u = np.array([0.1, 0.45, 0.8])
    points = swiss_roll_curve(u, noise)[0] + noise * np.array([0.5, -1.2])
    for place, point, found in zip(u, points, swiss_roll.log_density(points, noise), strict=True):

        def density(v, point=point):
            away = swiss_roll_curve(np.array([v]), noise)[0][0] - point
            return np.exp(-away @ away / (2 * noise**2)) / (2 * np.pi * noise**2)

        near = [v for v in (place - 2 * noise, place, place + 2 * noise) if 0 < v < 1]
        expected, _ = quad(density, 0, 1, points=near, limit=500, epsabs=0, epsrel=1e-9)
        assert found == pytest.approx(np.log2(expected), abs=1e-5)


def test_log_density_far_from_the_curve_is_finite():
    # The curve's nearest points to (100, 0) are about 98 away.
    bits = swiss_roll.log_density(np.array([[100.0, 0.0]]), 0.0024)
    assert bits[0] == pytest.approx(-(98.3**2) / (2 * 0.0024**2) / np.log(2), rel=0.01)


def test_chunks_give_the_same_log_density(monkeypatch):
    points = draw_swiss_roll(rng(), 50, 0.1)
    whole = swiss_roll.log_density(points, 0.1)
    monkeypatch.setattr(swiss_roll, "CHUNK_VALUES", 3000)
    np.testing.assert_allclose(swiss_roll.log_density(points, 0.1), whole, rtol=1e-12)
    assert swiss_roll.log_density(np.zeros((0, 2)), 0.1).shape == (0,)


@pytest.mark.parametrize(("noise", "expected", "diagonal", "full", "even"), SWISS_ROLL)
def test_log_likelihood_matches_independent_numbers(noise, expected, diagonal, full, even):
    mean, error = swiss_roll.log_likelihood(noise, rng(), 1000)
    assert mean == pytest.approx(expected, abs=0.01)
    assert error < 0.003


@pytest.mark.parametrize("noise", [0.05, 0.6])
def test_log_likelihood_is_the_mean_log_density(noise):
    bits = swiss_roll.log_density(draw_swiss_roll(rng(1), 10_000, noise), noise)
    mean, error = swiss_roll.log_likelihood(noise, rng(), 4000)
    assert mean == pytest.approx(bits.mean(), abs=4 * np.hypot(error, bits.std() / np.sqrt(10_000)))


@pytest.mark.thorough
@pytest.mark.parametrize(("noise", "expected", "diagonal", "full", "even"), SWISS_ROLL)
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_ceiling_of_the_best_schedule_matches_independent_numbers(noise, expected, diagonal, full, even, covariance):
    beta = swiss_roll.best_schedule(noise, 40, rng(), covariance=covariance, n_points=200)
    mean, error = swiss_roll.ceiling(noise, beta, rng(1), covariance, 1500)
    assert mean == pytest.approx({"diagonal": diagonal, "full": full}[covariance], abs=0.05)
    assert error < 0.02
    assert mean < expected


@pytest.mark.thorough
@pytest.mark.parametrize(("noise", "expected", "diagonal", "full", "even"), SWISS_ROLL)
def test_ceiling_of_even_log_snr_matches_independent_numbers(noise, expected, diagonal, full, even):
    beta = even_log_snr(40, noise**2 * np.exp(-6), np.exp(-2))
    assert swiss_roll.ceiling(noise, beta, rng(), n_points=1500)[0] == pytest.approx(even, abs=0.05)


@pytest.mark.thorough
def test_ceiling_falls_with_a_larger_first_step():
    """Compare with independent estimates at noise 0.0024, accurate to 0.05, for another schedule.

    A better schedule may exceed them, but not the ceiling of a smaller first step.
    """
    ceilings = [2.644]
    for beta_1, expected in ((1e-6, 2.543), (1e-5, 1.938), (1e-4, 0.657)):
        beta = swiss_roll.best_schedule(0.0024, 40, rng(), beta_1, n_points=200)
        assert beta[0] == pytest.approx(beta_1)
        found = swiss_roll.ceiling(0.0024, beta, rng(1), n_points=1500)[0]
        assert expected - 0.05 < found < ceilings[-1]
        ceilings.append(found)


@pytest.mark.parametrize("beta", [[0.1, 0.2, 0.5, 1.0], [1e-7, 1e-3, 0.9], [0.3]])
def test_ceiling_on_nearly_normal_data_is_L_null(beta):
    # Where the data already have the prior's distribution, the reverse process gains nothing over the prior.
    for covariance in ("diagonal", "full"):
        mean, _ = swiss_roll.ceiling(0.9999, beta, rng(), covariance, 4000)
        assert mean == pytest.approx(swiss_roll.L_null(2), abs=2e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_ceiling_matches_eq_14_with_sampled_moments(covariance):
    noise, beta = 0.3, np.array([0.05, 0.1, 0.2, 0.3])
    mean, error = swiss_roll.ceiling(noise, beta, rng(), covariance, 8000)
    expected, other_error = sampled_bound(noise, beta, covariance)
    assert mean == pytest.approx(expected, abs=4 * np.hypot(error, other_error) + 0.01)


@pytest.mark.thorough
def test_windowed_quadrature_matches_quadrature_over_the_whole_curve(monkeypatch):
    beta = even_log_snr(12, 1e-5, 30.0)
    near = swiss_roll.ceiling(0.02, beta, rng(), "full", 200)
    monkeypatch.setattr(swiss_roll, "ONE_TURN", 0.0)
    monkeypatch.setattr(swiss_roll, "FULL_NODES", 6000)
    everywhere = swiss_roll.ceiling(0.02, beta, rng(), "full", 200)
    np.testing.assert_allclose(near, everywhere, rtol=1e-3)


def test_full_covariance_has_the_higher_ceiling():
    beta = even_log_snr(10, 1e-4, 0.05)
    full, diagonal = (swiss_roll.ceiling(0.05, beta, rng(), c, 300)[0] for c in ("full", "diagonal"))
    assert full > diagonal + 0.1


def sampled_bound(noise, beta, covariance, n=1000, others=4000):
    """Estimate K (Eq. 14) of the best Gaussian kernel by sampling only, with the posterior of Table C.1, in bits."""
    draw = rng(3)
    bar = np.cumprod(1 - beta)
    nats = np.full(n, np.log((1 - bar[-1]) / (1 - bar[0])) - np.log(2 * np.pi * np.e))
    for t in range(1, len(beta)):
        x_0, pool = draw_swiss_roll(draw, n, noise), draw_swiss_roll(draw, others, noise)
        x_t = np.sqrt(bar[t]) * x_0 + np.sqrt(1 - bar[t]) * draw.standard_normal((n, 2))
        weight_0 = np.sqrt(bar[t - 1]) * beta[t] / (1 - bar[t])
        # The term of the posterior's mean in x_t is the same in both distributions.
        variance = beta[t] * (1 - bar[t - 1]) / (1 - bar[t])
        distance = ((x_t[:, None] - np.sqrt(bar[t]) * pool[None]) ** 2).sum(-1)
        weights = np.exp(-distance / (2 * (1 - bar[t])))
        weights /= weights.sum(1, keepdims=True)
        mean = weights @ pool
        second = np.einsum("nm,md,me->nde", weights, pool, pool, optimize=True)
        cov = weight_0**2 * (second - mean[:, :, None] * mean[:, None]) + variance * np.eye(2)
        if covariance == "diagonal":
            cov = cov * np.eye(2)
        off = weight_0 * (x_0 - mean)
        inverse = np.linalg.inv(cov)
        nats -= (
            np.log(np.linalg.det(cov) / variance**2)
            + variance * np.trace(inverse, axis1=1, axis2=2)
            + np.einsum("nd,nde,ne->n", off, inverse, off)
            - 2
        ) / 2
    return nats.mean() / np.log(2), nats.std() / np.sqrt(n) / np.log(2)


@pytest.mark.thorough
def test_best_schedule_beats_every_path_on_a_small_grid(monkeypatch):
    monkeypatch.setattr(swiss_roll, "GRID", 7)
    found = swiss_roll.best_schedule(0.1, 3, rng(), n_points=1000)
    kept = 1 / (1 + np.exp(-np.linspace(np.log(np.exp(6) / 0.01 - 1), swiss_roll.LOWEST_LOG_SNR, 8)))
    schedules = [1 - kept[[0, i, j]] / np.array([1, kept[0], kept[i]]) for i, j in combinations(range(1, 8), 2)]
    assert any(np.allclose(found, beta) for beta in schedules)
    best, *others = (swiss_roll.ceiling(0.1, b, rng(), n_points=1000)[0] for b in (found, *schedules))
    assert best > max(others) - 0.02
    assert best > sorted(others)[-3] + 0.05


@pytest.mark.thorough
def test_best_schedule_beats_even_spacing():
    best = swiss_roll.best_schedule(0.01, 20, rng(), n_points=200)
    even = even_log_snr(20, best[0], 0.1)
    assert len(best) == 20
    first, second = (swiss_roll.ceiling(0.01, beta, rng(1), n_points=1000)[0] for beta in (best, even))
    assert first > second + 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: swiss_roll.L_null(0), r"^d=0: "),
        (lambda: swiss_roll.log_density(np.zeros((4, 2)), 0), r"^noise=0: "),
        (lambda: swiss_roll.log_density(np.zeros(4), 0.1), r"^x: got an array of shape \(4,\)"),
        (lambda: swiss_roll.log_likelihood(2, rng()), r"^noise=2: "),
        (lambda: swiss_roll.log_likelihood(0.1, rng(), 1), r"^n=1: "),
        (lambda: swiss_roll.ceiling(1, [0.1], rng()), r"^noise=1: "),
        (lambda: swiss_roll.ceiling(0.1, [0.1, 1.0, 0.1], rng()), r"^beta: got beta_2 = 1\.0; "),
        (lambda: swiss_roll.ceiling(0.1, [0.1, 0.0], rng()), r"^beta: got beta_2 = 0\.0; "),
        (lambda: swiss_roll.ceiling(0.1, [0.1, 1.5], rng()), r"^beta: got beta_2 = 1\.5; "),
        (lambda: swiss_roll.ceiling(0.1, [], rng()), r"^beta: got an array of shape \(0,\)"),
        (lambda: swiss_roll.ceiling(0.1, [0.1], rng(), "both"), r"^covariance='both': expected 'diagonal'"),
        (lambda: swiss_roll.ceiling(0.1, [0.1], rng(), n_points=1), r"^n_points=1: "),
        (lambda: swiss_roll.best_schedule(0.1, 400, rng()), r"^T=400, "),
        (lambda: swiss_roll.best_schedule(0.1, 4, rng(), covariance="x"), r"^covariance='x': "),
    ],
)
def test_invalid_argument_is_an_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
