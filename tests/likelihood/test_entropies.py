"""Entropy of reverse steps: of a distribution, of a model, and between the bounds of Eq. 23 for any schedule."""

import functools
import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import xlogy

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.bricks import RATES, Brick, Constant
from dpm.graph.kernels.binomial import Bernoulli, BinomialKernel
from dpm.graph.kernels.full_gaussian import FullGaussian, FullGaussianKernel
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from dpm.graph.schedules import signal_shares
from dpm.graph.vector_model import VectorDiffusion
from dpm.likelihood import entropies
from tests.helpers import exact
from tests.helpers.graphs import compiled_bits, compiled_vectors, constant, value

T = 6
BITS = np.array(list(itertools.product([0.0, 1.0], repeat=3)))


# ------------------------------------------------------------------ of one distribution


@pytest.mark.parametrize("sigma", [1e-4, 0.3, 2.0])
def test_entropy_of_a_gaussian_equals_scipys(sigma):
    """log(2 pi e sigma^2) / 2 for any mean."""
    p = Gaussian(constant([0.0, 5.0]), constant([sigma, sigma]))
    np.testing.assert_allclose(value(GaussianKernel().entropy(p)), stats.norm(0, sigma).entropy(), rtol=1e-12)


def test_entropy_of_a_full_covariance_equals_scipys():
    """The sum over elements is log det(2 pi e Sigma) / 2: det of M = 1 - mix is 1."""
    sigma, mix = np.array([[0.5, 0.2, 1.5]]), np.array([[[0, 0, 0], [0.7, 0, 0], [-0.4, 2.0, 0]]])
    root = np.linalg.inv(np.eye(3) - mix[0]) * sigma[0]
    p = FullGaussian(constant(np.zeros((1, 3))), constant(sigma), constant(mix))
    nats = value(FullGaussianKernel().entropy(p)).sum()
    assert nats == pytest.approx(stats.multivariate_normal(np.zeros(3), root @ root.T).entropy(), rel=1e-12)


@pytest.mark.parametrize("rate", [1e-9, 0.2, 0.5, 1 - 1e-6])
def test_entropy_of_a_bit_equals_scipys(rate):
    """-r log r - (1 - r) log(1 - r)."""
    p = Bernoulli(constant(np.log(rate) - np.log1p(-rate)))
    assert float(value(BinomialKernel(0.2).entropy(p))) == pytest.approx(stats.bernoulli(rate).entropy(), rel=1e-9)


def test_entropy_of_certain_bits_and_its_gradient_are_finite():
    """Logits of +-1e4 in float32: entropy and slope 0; elsewhere the slope is -l r (1 - r)."""
    with Engine("auto", "float32") as engine:
        logit = pt.tensor(dtype="float32", shape=(5,))
        entropy = BinomialKernel().entropy(Bernoulli(logit))
        function = engine.function([logit], [entropy, pytensor.grad(entropy.sum(), logit)])
    logits = np.array([-1e4, -1.0, 0.0, 2.0, 1e4])
    nats, slope = function(engine.asarray(logits))
    rate = 1 / (1 + np.exp(-np.clip(logits, -100, 100)))
    np.testing.assert_allclose(nats, stats.bernoulli(rate).entropy(), atol=1e-6)
    np.testing.assert_allclose(slope, -logits * rate * (1 - rate), atol=1e-6)


# ------------------------------------------------------------------ the bounds of any schedule


class GivenRates(Brick):
    """Schedule whose rates are parameters: one compiled function for every schedule of T steps."""

    trajectory_length = T

    def __init__(self):
        super().__init__("schedule")
        self.rates = self.add_parameter("rates", (T,), RATES, Constant(0.5))

    def beta_arr(self):
        return self.rates


@functools.cache
def bounds_of(kind):
    """Return a function (beta, X, t, N) of the bounds of Eq. 23; kind: "normal", or the base rate of bits."""
    engine = Engine("auto", "float64")
    kernel = GaussianKernel() if kind == "normal" else BinomialKernel(kind)
    with engine:
        model = VectorDiffusion(BITS.shape[1], kernel, GivenRates(), Brick("network"))
    compiled = CompiledModel(model, engine)
    n = T - 1 if kind == "normal" else (T - 1) * len(BITS) ** 2
    return compiled.function(model.entropy_bounds, [*compiled.reverse_inputs(n), compiled.examples("N", n)])


@functools.cache
def learned(kind):
    """Return the number of parameters of a learned schedule, and the function parameters -> beta."""
    with Engine("auto", "float64"):
        start = schedules.released(T)
        brick = schedules.FreeSchedule(start) if kind == "free" else schedules.BasisSchedule(T, 3, 0.01)
        (parameter,) = brick.parameters().values()
        theta = parameter.variable.type("theta")
        beta = pytensor.function([theta], brick.beta_arr(), givens=[(parameter.variable, theta)], mode="FAST_COMPILE")
        return parameter.shape[0], beta


@st.composite
def learned_schedules(draw):
    size, beta = learned(draw(st.sampled_from(["free", "basis"])))
    return beta(np.array(draw(st.lists(st.floats(-3, 3), min_size=size, max_size=size))))


FIXED = [make(T, *([0.2] if name == "constant" else [])) for name, make in schedules.FIXED.items()]
every_schedule = st.one_of(
    st.sampled_from(FIXED),
    learned_schedules(),
    st.lists(st.floats(1e-3, 0.99), min_size=T, max_size=T).map(np.array),
)
lightly = settings(deadline=None, max_examples=25)


def normal_step_entropies(beta, covariance):
    """Return H_q(X_{t-1} | X_t) of normal data in nats, (T - 1,), from the joint covariance by a Schur complement."""
    alpha_bar = signal_shares(beta)
    nats = []
    for t in range(2, T + 1):
        before, now = (a * covariance + (1 - a) * np.eye(len(covariance)) for a in (alpha_bar[t - 1], alpha_bar[t]))
        both = np.sqrt(1 - beta[t - 1]) * before
        conditional = before - both @ np.linalg.solve(now, both)
        nats.append(np.linalg.slogdet(2 * np.pi * np.e * conditional)[1] / 2)
    return np.array(nats)


def correlated(correlation):
    return np.eye(3) + correlation * (1 - np.eye(3))


@lightly
@given(beta=every_schedule, correlation=st.floats(-0.45, 0.95), scale=st.lists(st.floats(0.2, 1), min_size=3))
def test_normal_data_have_step_entropies_within_the_bounds(beta, correlation, scale):
    """Eq. 23 and 35 for normal data of unit norm, which need not be white (Appendix A)."""
    deviation = np.array(scale[:3]) / np.sqrt(np.mean(np.square(scale[:3])))
    exact_nats = normal_step_entropies(beta, correlated(correlation) * np.outer(deviation, deviation))
    X = np.zeros((T - 1, 3))
    lower, upper = bounds_of("normal")(beta, X, np.arange(2.0, T + 1), X)
    assert np.all(lower <= exact_nats + 1e-9)
    assert np.all(exact_nats <= upper + 1e-9)


@lightly
@given(beta=every_schedule)
def test_unit_normal_data_have_the_upper_bound(beta):
    """Eq. 27 to 29 are equalities where q(x_0) = pi: H_q(X_{t-1} | X_t) = H_q(X_t | X_{t-1})."""
    X = np.zeros((T - 1, 3))
    _, upper = bounds_of("normal")(beta, X, np.arange(2.0, T + 1), X)
    np.testing.assert_allclose(normal_step_entropies(beta, np.eye(3)), upper, rtol=1e-10, atol=1e-10)


def step_of_bits(beta, base_rate):
    """Return q(x_t | x_s) of three bits that are kept with probability 1 - beta, (x_s, x_t)."""
    one = BITS[:, None] * (1 - beta) + base_rate * beta
    return np.where(BITS == 1, one, 1 - one).prod(axis=-1)


def bits_step_entropies(beta, data, base_rate):
    """Return the lower bound of Eq. 23, H_q(X_{t-1} | X_t) and the upper bound in nats, (3, T - 1), by enumeration.

    The bounds are the model's, from the noise that gives each x_{t-1}.
    """
    alpha_bar = signal_shares(beta)
    x_0, before = (np.repeat(BITS, 8, axis=0), np.tile(BITS, (8, 1)))
    noises, weights, exact_nats = [], [], []
    for t in range(2, T + 1):
        rate = x_0 * alpha_bar[t - 1] + base_rate * (1 - alpha_bar[t - 1])
        noises.append(np.where(before == 1, rate / 2, (1 + rate) / 2))  # noise below the rate gives a 1
        weights.append((data[:, None] * step_of_bits(1 - alpha_bar[t - 1], base_rate)).ravel())
        joint = weights[-1].reshape(8, 8).sum(axis=0)[:, None] * step_of_bits(beta[t - 1], base_rate)
        exact_nats.append(xlogy(joint.sum(axis=0), joint.sum(axis=0)).sum() - xlogy(joint, joint).sum())
    times = np.repeat(np.arange(2.0, T + 1), 64)
    bounds = bounds_of(base_rate)(beta, np.tile(x_0, (T - 1, 1)), times, np.concatenate(noises))
    lower, upper = ((b.reshape(T - 1, 64) * weights).sum(axis=1) for b in bounds)
    return lower, np.array(exact_nats), upper


ONE_OF_THREE = np.isin(np.arange(8), [1, 2, 4]) / 3


@lightly
@given(beta=every_schedule, weights=st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_bits_have_step_entropies_within_the_bounds(beta, weights):
    """Eq. 23 and 35 hold for base rate 0.5 and any data, and for base rate 1/3 and data of that rate."""
    any_data = (np.array(weights) + 1e-3) / np.sum(np.array(weights) + 1e-3)
    for data, base_rate in ((any_data, 0.5), (ONE_OF_THREE, 1 / 3)):
        lower, exact_nats, upper = bits_step_entropies(beta, data, base_rate)
        assert np.all(lower <= exact_nats + 1e-10)
        assert np.all(exact_nats <= upper + 1e-10)


@lightly
@given(beta=every_schedule, which=st.integers(0, 7))
def test_both_bounds_of_bits_can_be_reached(beta, which):
    """The upper bound is reached by data distributed as pi (27 to 29), the lower one by a single possible x_0 (30)."""
    pi = np.where(BITS == 1, 1 / 3, 2 / 3).prod(axis=1)
    _, exact_nats, upper = bits_step_entropies(beta, pi, 1 / 3)
    np.testing.assert_allclose(exact_nats, upper, atol=1e-12)
    lower, exact_nats, _ = bits_step_entropies(beta, np.eye(8)[which], 0.5)
    np.testing.assert_allclose(exact_nats, lower, atol=1e-12)


# ------------------------------------------------------------------ of a model


def test_a_zeroed_network_on_normal_data_has_the_upper_bound():
    """Its step is the forward kernel with entropy H_q(X_t | X_{t-1}) (Eq. 29), for fixed and learned schedules."""
    compiled, X = compiled_vectors(T, GivenRates), np.random.default_rng(0).standard_normal((40, 2))
    learned_rates = [beta(np.linspace(-1, 1, size)) for size, beta in (learned("free"), learned("basis"))]
    for beta in [*FIXED, *learned_rates]:
        theta = np.zeros(compiled.layout.size)
        compiled.layout.split(theta)["/vectordiffusion/schedule.rates"][:] = beta
        result = entropies.step_entropies(compiled, theta, X, 0, 20)
        np.testing.assert_array_equal(result.times, np.arange(2, T + 1))
        np.testing.assert_allclose(result.upper, np.log(2 * np.pi * np.e * beta[1:]), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(result.entropy, result.upper, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(result.error, 0, atol=1e-12)


def test_a_zeroed_network_on_bits_of_the_base_rate_has_the_upper_bound():
    """The same for bits, as a mean over the examples."""
    compiled, rng = compiled_bits(T, 3, 0.3), np.random.default_rng(0)
    X = (rng.random((20_000, 3)) < 0.3).astype(float)
    result = entropies.step_entropies(compiled, np.zeros(compiled.layout.size), X, 0, 20_000)
    assert np.all(np.abs(result.entropy - result.upper) < 6 * result.error + 1e-12)


MIXTURE = np.array(exact.MIXTURE)
MIXTURE[:, 1] -= MIXTURE[:, 0] @ MIXTURE[:, 1]
MIXTURE[:, 1:] /= np.sqrt(MIXTURE[:, 0] @ (MIXTURE[:, 1:] ** 2).sum(axis=1))


def test_the_best_gaussian_steps_are_within_the_bounds():
    """For data of mean 0 and variance 1 the variance of x_{t-1} given x_t is at most beta_t, and the normal
    distribution has the largest entropy for its variance: within the bounds of Eq. 23, here well apart."""
    compiled, rng = exact.mixture(20, MIXTURE), np.random.default_rng(0)
    _, mean, deviation = MIXTURE[rng.choice(3, 10_000, p=MIXTURE[:, 0])].T
    X = (mean + deviation * rng.standard_normal(10_000))[:, None]
    result = entropies.step_entropies(compiled, exact.NONE, X, 0, 10_000)
    assert np.all(result.lower < result.entropy - 4 * result.error)
    assert np.all(result.entropy < result.upper + 4 * result.error)
    assert result.upper[0] - result.entropy[0] > 0.1


@pytest.mark.thorough
def test_the_best_independent_bits_are_within_the_bounds():
    """Each bit given x_t has at most the entropy given its own bit of x_t, which for bits of the base rate is the
    entropy of the forward step: within the bounds of Eq. 23."""
    compiled = exact.heartbeat(20)
    X = exact.PATTERNS[np.random.default_rng(0).integers(0, 5, 3000)]
    result = entropies.step_entropies(compiled, exact.NONE, X, 0, 3000)
    error = 4 * result.error + 1e-12  # at t = T, where beta is 1, all three are the same
    assert np.all(result.lower < result.entropy + error)
    assert np.all(result.entropy < result.upper + error)
    assert (result.upper - result.entropy)[:5].min() > 0.3


@pytest.mark.thorough
def test_noise_of_a_time_does_not_depend_on_the_other_times(monkeypatch):
    """Noise depends on (seed, t) only: any choice of times and any batch size gives the same numbers."""
    compiled = exact.mixture(20, MIXTURE)
    X = np.random.default_rng(0).standard_normal((50, 1))
    first = entropies.step_entropies(compiled, exact.NONE, X, 3, 100, [2, 9, 20])
    monkeypatch.setattr(entropies, "BATCH", 30)
    for t, column in zip(first.times, np.transpose(first), strict=True):
        again = entropies.step_entropies(compiled, exact.NONE, X, 3, 100, [t])
        np.testing.assert_allclose(np.ravel(again), column, rtol=1e-12)
    other = entropies.step_entropies(compiled, exact.NONE, X, 4, 100, [2])
    assert other.entropy[0] != first.entropy[0]


def test_spread_times_returns_all_times_if_they_are_few():
    np.testing.assert_array_equal(entropies.spread_times(41, 40), np.arange(2, 42))
    np.testing.assert_array_equal(entropies.spread_times(2, 40), [2])
    times = entropies.spread_times(1000, 40)
    assert (times[0], times[-1]) == (2, 1000)
    assert 35 <= len(times) <= 40
    assert np.all(np.diff(times) > 0)
