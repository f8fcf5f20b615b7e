"""K term by term and Eq. 9, against closed forms and sums over all trajectories."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.stats import norm, sem

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.toys import TOYS
from dpm.graph import schedules
from dpm.graph.bricks import Brick
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.vector_model import VectorDiffusion
from dpm.likelihood import bound
from dpm.likelihood import estimates as likelihood
from dpm.likelihood.entropies import step_entropies
from dpm.model import DiffusionModel
from dpm.runs import checkpoint
from tests.helpers import exact, runs

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

    def __init__(self, strength):
        super().__init__("rates")
        self.strength = strength

    def reverse(self, kernel, x_t, t, rates):
        p = kernel.forward_step(x_t, rates[0])
        return p._replace(logit=p.logit + self.strength * (0.3 * t[:, None] - 0.8))


def bits(T=3, strength=1.0):
    engine = Engine("auto", "float64")
    schedule = np.array([0.2, 0.4, 0.7])[:T]
    with engine:
        model = VectorDiffusion(2, BinomialKernel(0.3), schedules.FixedSchedule(schedule), Rates(strength))
    return CompiledModel(model, engine), schedule


def enumerated(x, schedule, rate=0.3, strength=1.0):
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
                logit = np.log(back) - np.log1p(-back) + strength * (0.3 * t - 0.8)
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
    compiled, schedule = bits(strength=6.0)  # a poor model: its K is far below log p(x_0)
    x = np.array([1.0, 0.0])
    expected, K = enumerated(x, schedule, strength=6.0)
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
    meta, arrays = checkpoint.load_run(runs.trained(base) / "checkpoint.h5")
    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(DiffusionModel(**meta["model"]), engine)
    theta = compiled.layout.flatten(checkpoint.split(arrays)[0], "float32")
    X = np.random.default_rng(0).standard_normal((30, *compiled.model.example_shape)).astype(np.float32)
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


# ------------------------------------------------------------------ sums over t and whole trajectories


def exact_terms(x, schedule):
    """KL_t, t = 2..T, of single examples of N(MEAN, DEVIATION^2) with the exact reverse kernel, by hand: (n, T - 1)."""
    kept = np.cumprod(1 - schedule)
    columns = []
    for beta, now, before in zip(schedule[1:], kept[1:], kept, strict=False):
        posterior = beta * (1 - before) / (1 - now)
        weight = np.sqrt(before) * beta / (1 - now)
        spread = now * DEVIATION**2 + 1 - now
        step = posterior + weight**2 * DEVIATION**2 * (1 - now) / spread
        # x_0 - E[x_0 | x_t] = (x_0 - MEAN) (1 - now) / spread - sqrt(now) DEVIATION^2 / spread noise
        square = ((x - MEAN) * (1 - now) / spread) ** 2 + now * DEVIATION**4 * (1 - now) / spread**2
        columns.append(0.5 * (np.log(step / posterior) + (posterior + weight**2 * square) / step - 1))
    return np.transpose(columns)


def test_each_term_is_the_divergence_by_hand_within_its_error():
    """D_KL of two Gaussians, its mean over q(x_t | x_0) in closed form (Eq. 14)."""
    compiled, schedule = gaussian(MEAN, DEVIATION)
    X = MEAN + DEVIATION * np.random.default_rng(1).standard_normal((4000, 1))
    terms = bound.terms(compiled, NONE, X, 4)
    expected = exact_terms(X[:, 0], schedule)
    z = (terms.kl - expected).mean(axis=0) / ((terms.kl - expected).std(axis=0) / len(X) ** 0.5)
    assert abs(z).max() < 4
    _, mean, error, _ = terms.by_time()
    assert (abs(mean - expected.mean(axis=0)) < 4 * error).all()


def test_intervals_of_20_strata_hold_the_exact_value():
    """Of 100 intervals of 95 % at least 90 hold K of these examples over every t, known in closed form."""
    compiled, schedule = gaussian(MEAN, DEVIATION, T=61)
    X = MEAN + DEVIATION * np.random.default_rng(2).standard_normal((100, 1))
    exact_sum = exact_terms(X[:, 0], schedule).sum(axis=1).mean()
    z, wider = [], []
    for seed in range(100):
        terms = bound.terms(compiled, NONE, X, seed, 20)
        constants = (terms.forward_T - terms.forward_1 - terms.prior).mean()
        z.append((terms.K.mean() - constants + exact_sum) / terms.draws_error)
        wider.append(terms.error)
    assert sum(abs(value) < 1.96 for value in map(float, z)) >= 90
    assert 0.7 < np.std(z) < 1.15
    assert len(set(wider)) == 100


def test_the_error_over_examples_is_scipys_and_a_single_one_has_none():
    kl = np.random.default_rng(0).random((30, 5))
    terms = bound.Terms(np.tile(np.arange(2, 7), (30, 1)), kl, *np.zeros((3, 30)), 6)
    assert terms.error == pytest.approx(sem(kl.sum(axis=1)))
    # Terms that differ by chance alone: both errors are the same.
    assert terms.draws_error == pytest.approx(terms.error, rel=0.3)
    one = bound.Terms(terms.times[:1], kl[:1], *np.zeros((3, 1)), 6)
    assert np.isnan([one.error, one.draws_error]).all()
    assert np.isnan(bound.Terms(terms.times[:, :1], kl[:, :1], *np.zeros((3, 30)), 6).draws_error)


def test_the_draws_are_one_part_of_the_error():
    """Examples that differ in all their terms alike: their spread is no error of the draws."""
    rng = np.random.default_rng(0)
    kl = 10 * rng.random((200, 1)) + np.linspace(0, 5, 50) + rng.standard_normal((200, 50))
    terms = bound.Terms(np.tile(np.arange(2, 52), (200, 1)), kl, *np.zeros((3, 200)), 51)
    assert terms.draws_error == pytest.approx((50 / 200) ** 0.5, rel=0.1)
    assert terms.error > 10 * terms.draws_error


def digits(base):
    meta, arrays = checkpoint.load_run(runs.trained(base) / "checkpoint.h5")
    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(DiffusionModel(**meta["model"]), engine)
    return compiled, compiled.layout.flatten(checkpoint.split(arrays)[0], "float32"), runs.pixels(40, seed=1) / 64 - 2


def toy(name, **arguments):
    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(TOYS[name].model({"trajectory_length": 10, "hidden": 8} | arguments), engine)
    X = TOYS[name].make(TOYS[name].complete(arguments), np.random.default_rng(0), 100)
    return compiled, compiled.start(np.random.default_rng(1)), X


MODELS = {
    "digits": digits,
    "swissroll": lambda base: toy("swissroll", schedule="even_log_snr", noise=0.2),
    "heartbeat": lambda base: toy("heartbeat"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_sum_over_t_is_K_of_whole_trajectories(name, base):
    """Eq. 14 with the means of log pi in place of H_p (Eq. 42) is Eq. 12, for each example: here the mean log weight of
    Eq. 11 over trajectories. The digits have neither the prior's mean nor its variance."""
    compiled, theta, X = MODELS[name](base)
    X, draws = X.astype(np.float32), 30
    edge = bound.edge(compiled, theta, X)
    assert edge.shape == (len(X),)
    if name == "digits":
        assert edge.mean() < -1
    sums = [bound.terms(compiled, theta, X, seed).K + edge for seed in range(draws)]
    whole = [bound.log_likelihood(compiled, theta, x, 0, draws, block=draws, example=i).bound for i, x in enumerate(X)]
    apart = np.mean(sums, axis=0) - whole
    assert abs(apart.mean()) < 3 * sem(apart)
    assert sem(apart) < 0.1 * np.std(np.mean(sums, axis=0)) + 0.5


def test_what_eq_12_has_above_eq_14_in_closed_form():
    """-(x^2 - 1) (alpha_bar_T + beta_1) / 2 for a Gaussian; bits of the base rate have none in the mean."""
    compiled, schedule = gaussian(MEAN, DEVIATION)
    x = np.array([[-0.5], [0.7], [3.0]])
    expected = -(x[:, 0] ** 2 - 1) * (np.prod(1 - schedule) + schedule[0]) / 2
    np.testing.assert_allclose(bound.edge(compiled, NONE, x), expected, atol=1e-12)
    compiled, schedule = bits()
    every = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
    weights = 0.3 ** every.sum(axis=1) * 0.7 ** (2 - every.sum(axis=1))
    assert weights @ bound.edge(compiled, NONE, every) == pytest.approx(0, abs=1e-12)


def test_the_bounds_of_eq_23_are_as_far_apart_as_the_entropies_of_the_forward_trajectory():
    """ln(beta_bar_t / beta_bar_{t-1}) / 2 for a Gaussian; together they are H_q(X_T | X_0) - H_q(X_1 | X_0)."""
    compiled, schedule = gaussian(MEAN, DEVIATION)
    noise_share = 1 - np.cumprod(1 - schedule)
    apart = bound.bounds_apart(compiled, NONE, np.zeros((5, 1)))
    np.testing.assert_allclose(apart, np.log(noise_share[1:] / noise_share[:-1]) / 2, atol=1e-12)
    lower, upper = step_entropies(compiled, NONE, np.zeros((5, 1)), 0, 5)[1:3]
    np.testing.assert_allclose(upper - lower, apart, atol=1e-12)
    compiled, _ = bits()
    X = np.array([[0.0, 1.0]])
    last, first, _ = bound.entropies(compiled, NONE, X)
    assert bound.bounds_apart(compiled, NONE, X).sum() == pytest.approx(last[0] - first[0])


def test_memory_of_eq_9_does_not_grow_with_T():
    peaks = []
    for T in (20, 400):
        compiled, _ = gaussian(MEAN, DEVIATION, T)
        bound.log_likelihood(compiled, NONE, np.array([0.3]), 0, 500, block=500)  # compiles
        tracemalloc.start()
        bound.log_likelihood(compiled, NONE, np.array([0.3]), 0, 500, block=500)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_examples_have_noise_of_their_own():
    compiled, _ = gaussian(MEAN, DEVIATION)
    first, again, other = (bound.log_likelihood(compiled, NONE, np.array([0.3]), 0, 50, example=i) for i in (0, 0, 1))
    assert first == again
    assert first.value != other.value
