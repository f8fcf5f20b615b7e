"""K term by term and Eq. 9, against closed forms and sums over all trajectories."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from dpm import bound, likelihood, schedules
from dpm.backend import Engine
from dpm.bricks import Brick
from dpm.kernels.binomial import BinomialKernel
from dpm.kernels.gaussian import GaussianKernel
from dpm.objective import CompiledModel
from dpm.vectors import VectorDiffusion
from tests import exact, runs

NONE = np.zeros(0)
MEAN, DEVIATION = 0.7, 0.4


def gaussian(mean, deviation, T=12):
    """The exact reverse kernel of normal data, and a schedule that ends in noise."""
    schedule = np.append(np.geomspace(0.01, 0.4, T - 1), 1 - 1e-9)
    engine = Engine("auto", "float64")
    with engine:
        network = exact.MixtureNetwork([(1.0, mean, deviation)])
        model = VectorDiffusion(1, GaussianKernel(), schedules.FixedSchedule(schedule), network)
    return CompiledModel(model, engine), schedule


def test_every_trajectory_of_a_model_that_is_the_noise_weighs_p_of_x0():
    """For data of the prior itself p(x_0..x_T) = q: each weight of Eq. 9 is pi(x_0), and K = L_null (Eq. 14)."""
    compiled, _ = gaussian(0.0, 1.0)
    for x in (-0.5, 0.7, 2.0):
        result = bound.log_likelihood(compiled, NONE, np.array([x]), 0, 40, block=16)
        assert result.value == pytest.approx(norm.logpdf(x), abs=1e-6)
        assert result.bound == pytest.approx(norm.logpdf(x), abs=1e-6)
        assert result.effective == pytest.approx(40, rel=1e-6)
    terms = bound.terms(compiled, NONE, np.random.default_rng(0).standard_normal((20_000, 1)), 0)
    assert abs(terms.K - terms.L_null).mean() > 1e-3, "single draws of KL_t differ from its mean"
    assert abs((terms.K - terms.L_null).mean()) < 4 * terms.K.std() / 20_000**0.5


@pytest.mark.parametrize("x", [-0.2, 0.7, 1.5])
def test_the_likelihood_of_a_gaussian_model_is_that_of_the_gaussian_it_draws(x):
    """x_1 is as of the data; one forward step more is p(x_0 | x_1) (Eq. 43)."""
    compiled, schedule = gaussian(MEAN, DEVIATION)
    kept, mean, variance = 1 - schedule[0], MEAN, DEVIATION**2
    for _ in range(2):
        mean, variance = np.sqrt(kept) * mean, kept * variance + schedule[0]
    result = bound.log_likelihood(compiled, NONE, np.array([x]), 0, 20_000, block=5000)
    assert result.error < 0.01
    assert abs(result.value - norm.logpdf(x, mean, np.sqrt(variance))) < 4 * result.error


class Rates(Brick):
    """Reverse bits with rates that depend on the bit and t, for the sum over all trajectories."""

    def __init__(self):
        super().__init__("rates")

    def reverse(self, kernel, x_t, t, rates):
        p = kernel.forward_step(x_t, rates[0])
        return p._replace(logit=p.logit + 0.3 * t[:, None] - 0.8)


def bits(T=3):
    engine = Engine("auto", "float64")
    schedule = np.array([0.2, 0.4, 0.7])[:T]
    with engine:
        model = VectorDiffusion(2, BinomialKernel(0.3), schedules.FixedSchedule(schedule), Rates())
    return CompiledModel(model, engine), schedule


def enumerated(x, schedule, rate=0.3):
    """(log p(x_0), K) of two bits by the sum over all x_1..x_T, one bit at a time, as bits are independent."""
    log_p, K = 0.0, 0.0
    for bit in x:
        p, k = 0.0, 0.0
        for path in itertools.product([0, 1], repeat=len(schedule)):
            states = [int(bit), *path]
            q = w = 1.0
            pi = [1 - rate, rate]
            for t, beta in enumerate(schedule, start=1):
                one = states[t - 1] * (1 - beta) + beta * rate
                step = one if states[t] else 1 - one
                q *= step
                back = states[t] * (1 - beta) + beta * rate
                logit = np.log(back) - np.log1p(-back) + 0.3 * t - 0.8
                learned = 1 / (1 + np.exp(-logit))
                p_back = pi[states[0]] / pi[states[1]] * step if t == 1 else learned if states[t - 1] else 1 - learned
                w *= p_back / step
            w *= pi[states[-1]]
            p += q * w
            k += q * np.log(w)
        log_p, K = log_p + np.log(p), K + k
    return log_p, K


@pytest.mark.parametrize("x", [(0, 0), (1, 0), (1, 1)])
def test_bits_agree_with_the_sum_over_all_trajectories(x):
    compiled, schedule = bits()
    expected, K = enumerated(x, schedule)
    result = bound.log_likelihood(compiled, NONE, np.array(x, float), 1, 20_000, block=5000)
    assert abs(result.value - expected) < 4 * result.error
    assert result.error < 0.01
    assert expected > K
    assert abs(result.bound - K) < 0.05


def test_K_of_data_with_the_priors_rate_is_that_of_the_sum_over_all_trajectories():
    """Bits that are 1 with the base rate 0.3: Eq. 14 and Eq. 11 agree in the mean over them."""
    compiled, schedule = bits()
    X = (np.random.default_rng(0).random((40_000, 2)) < 0.3).astype(float)
    expected = sum(
        0.3 ** sum(x) * 0.7 ** (2 - sum(x)) * enumerated(x, schedule)[1] for x in itertools.product([0, 1], repeat=2)
    )
    terms = bound.terms(compiled, NONE, X, 2)
    assert abs(terms.K.mean() - expected) < 4 * terms.K.std() / len(X) ** 0.5


def test_the_estimate_grows_with_trajectories_and_stays_above_K(base):
    """Jensen: E log of a mean of M weights grows with M, from K to log p(x_0) (Eq. 10, 11)."""
    compiled, schedule = bits()
    x = np.array([1.0, 0.0])
    expected, K = enumerated(x, schedule)
    means = []
    for M in (1, 4, 64):
        values = [bound.log_likelihood(compiled, NONE, x, seed, M).value for seed in range(200)]
        means.append(np.mean(values))
        spread = np.std(values) / 200**0.5
        assert K - 4 * spread < means[-1] < expected + 4 * spread
    assert means[0] < means[1] < means[2]


def test_strata_of_times_give_the_mean_of_the_whole_sum():
    compiled, _ = gaussian(MEAN, DEVIATION)
    X = np.full((2000, 1), 0.1)
    whole, few = (bound.terms(compiled, NONE, X, 3, k) for k in (None, 3))
    assert few.times.shape == (2000, 3)
    assert (np.diff(few.times) >= 0).all()
    assert (few.times[:, 0].min(), few.times[:, 2].max()) == (2, 12)
    error = np.hypot(whole.K.std(), few.K.std()) / 2000**0.5
    assert abs(whole.K.mean() - few.K.mean()) < 4 * error
    np.testing.assert_array_equal(whole.times, np.tile(np.arange(2, 13), (2000, 1)))


def test_by_time_is_mean_and_error_of_each_term():
    terms = bound.Terms(np.array([[2, 4], [2, 3]]), np.array([[1.0, 5.0], [3.0, 7.0]]), *np.zeros((3, 2)), 4)
    t, mean, error, count = terms.by_time()
    assert t.tolist() == [2, 3, 4]
    assert mean.tolist() == [2.0, 7.0, 5.0]
    assert error[0] == pytest.approx(np.sqrt(2) / np.sqrt(2))
    assert np.isnan(error[1:]).all()
    assert count.tolist() == [2, 1, 1]


def test_of_pictures_it_is_the_K_that_training_reports(base):
    """The sum over all t of every test picture agrees with the log's estimate at one time each, within its error."""
    from dpm import checkpoint
    from dpm.model import DiffusionModel

    meta, arrays = checkpoint.load_run(runs.trained(base) / "checkpoint.h5")
    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(DiffusionModel(**meta["model"]), engine)
    theta = compiled.layout.flatten(checkpoint.split(arrays)[0], "float32")
    X = np.random.default_rng(0).standard_normal((30, *compiled.model.picture_shape)).astype(np.float32)
    terms = bound.terms(compiled, theta, X, 0)
    pixel = terms.K / np.log(2) / compiled.model.n_pixels
    estimate = likelihood.K_minus_L_null(compiled, theta, X, 0, 30, draws=20)
    null = likelihood.L_null(compiled.model)
    assert terms.L_null.mean() / np.log(2) / compiled.model.n_pixels == pytest.approx(null)
    assert abs(pixel.mean() - null - estimate.value) < 4 * estimate.standard_error
    first = bound.terms(compiled, theta, X[:7], 0)
    np.testing.assert_allclose(first.kl, terms.kl[:7], rtol=1e-5)


def test_weights_far_apart_are_one_effective_weight():
    result = bound.summary_of(np.array([0.0, -2000.0, -1e5]), np.random.default_rng(0))
    assert result.value == pytest.approx(-np.log(3))
    assert result.effective == pytest.approx(1)
