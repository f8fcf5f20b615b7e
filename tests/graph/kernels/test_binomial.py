"""Binomial diffusion (Table C.1) against enumerations and scipy's probabilities."""

import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit, logsumexp

from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.graph.kernels.binomial import Bernoulli, BinomialKernel
from dpm.graph.schedules import erase_equally
from tests.helpers.graphs import constant, value

rates = st.floats(1e-4, 0.9999)
bits = st.sampled_from([0.0, 1.0])
logits = st.floats(-12, 12)
lightly = settings(deadline=None, max_examples=25)


def step(x, beta, base_rate):
    """Return q(x_t = 1 | x_{t-1} = x) of Table C.1."""
    return x * (1 - beta) + base_rate * beta


def bayes(x_0, x_t, beta, before, base_rate):
    """Return q(x_{t-1} = 1 | x_t, x_0) by enumeration."""
    joint = [
        (step(x, beta, base_rate) if x_t else 1 - step(x, beta, base_rate))
        * (step(x_0, before, base_rate) if x else 1 - step(x_0, before, base_rate))
        for x in (0, 1)
    ]
    return joint[1] / sum(joint)


@lightly
@given(x=bits, beta=rates, base_rate=rates)
def test_a_step_keeps_the_bit_or_redraws_it(x, beta, base_rate):
    """q(x_t|x_{t-1}) of Table C.1 with the base rate for 0.5, and q(x_t|x_0)."""
    kernel = BinomialKernel(base_rate)
    for q in (kernel.forward_step, kernel.forward_marginal):
        assert value(q(constant(x), constant(beta)).logit) == pytest.approx(logit(step(x, beta, base_rate)), abs=1e-8)


@lightly
@given(x_0=bits, x_t=bits, beta=rates, before=rates, base_rate=rates)
def test_posterior_is_bayes_rule_by_enumeration(x_0, x_t, beta, before, base_rate):
    """q(x_{t-1}|x_t,x_0) from the four products of Table C.1's rates (Eq. 47)."""
    beta_bar = 1 - (1 - beta) * (1 - before)
    q = BinomialKernel(base_rate).posterior(*map(constant, (x_0, x_t, beta, beta_bar, before)))
    assert expit(value(q.logit)) == pytest.approx(bayes(x_0, x_t, beta, before, base_rate), rel=1e-7)


def test_posterior_at_the_first_step_is_x_0():
    """beta_bar_0 = 0: q(x_0|x_1,x_0) is x_0, whatever x_1."""
    x_0, x_t = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    q = BinomialKernel(0.2).posterior(*map(constant, (x_0, x_t, 0.1, 0.1, 0.0)))
    np.testing.assert_array_equal(np.sign(value(q.logit)), 2 * x_0 - 1)
    assert np.all(np.abs(value(q.logit)) > 75)


@lightly
@given(q=logits, p=logits)
def test_kl_and_entropy_are_scipys(q, p):
    """D_KL(q || p) (Eq. 14) and log p(x) by scipy.stats.bernoulli."""
    kernel, dist_q, dist_p = BinomialKernel(), stats.bernoulli(expit(q)), stats.bernoulli(expit(p))
    expected = sum(dist_q.pmf(x) * (dist_q.logpmf(x) - dist_p.logpmf(x)) for x in (0, 1))
    kl = value(kernel.kl(Bernoulli(constant(q)), Bernoulli(constant(p))))
    assert float(kl) == pytest.approx(expected, rel=1e-7, abs=1e-12)
    log_p = value(kernel.log_prob(Bernoulli(constant(p)), constant([0.0, 1.0])))
    np.testing.assert_allclose(log_p, dist_p.logpmf([0, 1]), rtol=1e-7)


@lightly
@given(x=bits, beta=rates, base_rate=rates)
def test_entropies_are_scipys(x, beta, base_rate):
    """H_q(X_t|X_0), H_q(X_t|X_{t-1}) of each x and H_p(X_T) (Eq. 14 and 23)."""
    kernel = BinomialKernel(base_rate)
    expected = stats.bernoulli(step(x, beta, base_rate)).entropy()
    assert float(value(kernel.entropy_marginal(constant(beta), constant(x)))) == pytest.approx(expected, abs=1e-12)
    assert float(value(kernel.entropy_step(constant(beta), constant(x)))) == pytest.approx(expected, abs=1e-12)
    assert kernel.prior_entropy() == pytest.approx(stats.bernoulli(base_rate).entropy(), abs=1e-12)


@pytest.mark.parametrize("method", ["entropy_marginal", "entropy_step"])
def test_entropies_ask_for_the_bit_before(method):
    with pytest.raises(InputError, match="x_0: got None; expected bits"):
        getattr(BinomialKernel(), method)(constant(0.5))


@pytest.mark.parametrize("base_rate", [0.5, 0.2])
@pytest.mark.parametrize("x_0", [0.0, 1.0])
def test_composed_steps_are_the_marginal(x_0, base_rate):
    """The paper's schedule beta_t = 1 / (T - t + 1) (2.4.1): products of 2 x 2 matrices (Eq. 3), pi at T (Eq. 4)."""
    kernel, betas = BinomialKernel(base_rate), erase_equally(10)
    rate = x_0
    for t, beta in enumerate(betas, 1):
        to_one = expit(value(kernel.forward_step(constant([0.0, 1.0]), constant(beta)).logit))
        rate = (1 - rate) * to_one[0] + rate * to_one[1]
        beta_bar = 1 - np.prod(1 - betas[:t])
        marginal = kernel.forward_marginal(constant(x_0), constant(beta_bar))
        assert expit(value(marginal.logit)) == pytest.approx(rate, rel=1e-12)
    assert rate == pytest.approx(base_rate, rel=1e-12)


@pytest.mark.parametrize("base_rate", [1e-7, 1 - 1e-7])
def test_float32_keeps_small_rates(base_rate):
    """Rates of 1e-9 and of 1 - 1e-9 after a step, to float32's own precision: neither is 1 minus the other."""
    x = np.float32(base_rate > 0.5)
    q = BinomialKernel(base_rate).forward_step(pt.constant(x), pt.constant(np.float32(0.01)))
    rare = float(np.float32(0.01)) * min(base_rate, 1 - base_rate)
    assert abs(float(value(q.logit))) == pytest.approx(-np.log(rare), rel=1e-6)


@pytest.mark.thorough
@lightly
@given(b=logits, x_t=bits, beta=rates, before=rates, base_rate=rates)
def test_mixture_is_the_posteriors_mean_over_x_0(b, x_t, beta, before, base_rate):
    """sum over x_0 of q(x_{t-1}=1|x_t,x_0) b(x_0), directly in rates; and its complement, so that the tails count."""
    rates = [constant(r) for r in (beta, 1 - (1 - beta) * (1 - before), before)]
    p = value(BinomialKernel(base_rate).mixture(constant(b), constant(x_t), *rates).logit)
    given_1, given_0 = (bayes(x_0, x_t, beta, before, base_rate) for x_0 in (1, 0))
    assert expit(p) == pytest.approx(expit(b) * given_1 + expit(-b) * given_0, rel=1e-6)
    assert expit(-p) == pytest.approx(expit(b) * (1 - given_1) + expit(-b) * (1 - given_0), rel=1e-6)


def test_mixture_of_the_base_rate_is_the_null_kernel():
    """b by Bayes' rule for bits of the base rate: the forward step reversed in equilibrium, x_{t-1} given x_t."""
    kernel, beta, before, x_t = BinomialKernel(0.2), 0.3, 0.4, constant([0.0, 1.0])
    beta_bar = 1 - (1 - beta) * (1 - before)
    p_0 = kernel.forward_marginal(x_t, constant(beta_bar))  # in equilibrium the chain is the same in both directions
    p = kernel.mixture(p_0.logit, x_t, constant(beta), constant(beta_bar), constant(before))
    np.testing.assert_allclose(value(p.logit), value(kernel.forward_step(x_t, constant(beta)).logit), rtol=1e-12)


def all_bits(size):
    return np.array(list(itertools.product([0.0, 1.0], repeat=size)))


def test_perturbing_by_a_product_over_bits_is_exact():
    """p(x) r(x) by enumeration of all x, r a product of a factor for each bit (Eq. 21, Table C.1)."""
    p = np.array([[0.3, -2.0, 1.0], [4.0, 0.0, -0.1]])
    log_factors = np.array([[0.2, -1.3], [3.0, 0.5], [-2.0, 1.0]])  # (bit, value)

    def log_r(x):
        return (x * log_factors[:, 1] + (1 - x) * log_factors[:, 0]).sum(axis=1)

    q = value(BinomialKernel().perturb(Bernoulli(constant(p)), log_r).logit)
    x = all_bits(3)
    for row, perturbed in zip(p, q, strict=True):
        log_product = (x * row).sum(axis=1) + log_r(x)
        expected = [logsumexp(log_product[x[:, i] == 1]) - logsumexp(log_product[x[:, i] == 0]) for i in range(3)]
        np.testing.assert_allclose(perturbed, expected, rtol=1e-10)


def test_perturbing_holds_the_other_bits_at_their_more_probable_value():
    """An r of pairs of bits: log r with the bit 1 less log r with the bit 0, the others as they most probably are."""
    p, pairs = np.array([[0.3, -2.0, 1.0], [-0.5, 0.7, 2.0]]), np.array([[0.0, 2.0, 1.0], [0.0, 0.0, -3.0], [0.0] * 3])
    at = pt.matrix("logit", dtype="float64")  # its shape is not known before it is run
    q = BinomialKernel().perturb(Bernoulli(at), lambda x: (pt.dot(x, pairs) * x).sum(axis=1), constant([1.0, 0.5]))
    likely, expected = (p > 0).astype(float), p.copy()
    for n, i in itertools.product(range(2), range(3)):
        one, zero = likely[n].copy(), likely[n].copy()
        one[i], zero[i] = 1, 0
        expected[n, i] += (1.0, 0.5)[n] * (one @ pairs @ one - zero @ pairs @ zero)
    np.testing.assert_allclose(q.logit.eval({at: p}, mode="FAST_COMPILE"), expected, rtol=1e-12)


def test_samples_have_the_rate_of_the_logit():
    """1e5 draws of each logit within 4 standard errors; certain bits at both ends of the noise; the float type kept."""
    kernel, rng, p = BinomialKernel(), np.random.default_rng(3), np.array([-3.0, -0.5, 0.0, 2.0])
    draws = value(kernel.sample(Bernoulli(constant(p)), constant(rng.random((100_000, 4)))))
    assert np.all(np.abs(draws.mean(axis=0) - expit(p)) < 4 * (expit(p) * expit(-p) / 1e5) ** 0.5)
    for dtype in ("float32", "float64"):
        certain = Bernoulli(pt.constant(np.array([-1e4, 1e4, 1e4, -1e4], dtype=dtype)))
        noise = pt.constant(np.array([0, 0, 1 - 2**-24, 1 - 2**-24], dtype=dtype))
        sample = value(kernel.sample(certain, noise))
        np.testing.assert_array_equal(sample, [0, 1, 1, 0])
        assert sample.dtype == dtype


@pytest.mark.thorough
def test_every_method_and_its_gradient_is_finite_at_the_largest_logits():
    """Logits of +-1e4, beta = 1 and beta_bar_{t-1} = 0 in float32: no NaN and no infinity."""
    kernel = BinomialKernel(0.2)
    with Engine("auto", "float32") as engine:
        l_q, l_p, x, N = (pt.tensor(dtype="float32", shape=(4, 9)) for _ in range(4))
        beta, before = (pt.tensor(dtype="float32", shape=(4, 1)) for _ in range(2))
        beta_bar = 1 - (1 - beta) * (1 - before)
        p, q = Bernoulli(l_p), Bernoulli(l_q)
        outputs = [
            kernel.kl(q, p),
            kernel.log_prob(p, x),
            kernel.entropy_marginal(beta_bar, pt.sigmoid(l_p)),
            kernel.entropy_step(beta, pt.sigmoid(l_p)),
            kernel.entropy(p),
            kernel.posterior(pt.sigmoid(l_p), x, beta, beta_bar, before).logit,
            kernel.mixture(l_p, x, beta, beta_bar, before).logit,
            kernel.multiply(p, x, beta).logit,
            kernel.log_normalizer(p, pt.sigmoid(l_q), 1e4 * beta),
            kernel.perturb(p, lambda x: (x * l_q).sum(axis=1)).logit,
            kernel.sample(p, N),
        ]
        wrt = [l_q, l_p, beta, before]
        gradients = pytensor.grad(sum(o.sum() for o in outputs), wrt)
        function = engine.function([l_q, l_p, x, N, beta, before], [*outputs, *gradients])
        pairs = np.array(list(itertools.product([-1e4, 0.0, 1e4], repeat=2)))
        grids = [np.tile(a, (4, 1)) for a in (pairs[:, 0], pairs[:, 1], np.arange(9) % 2, np.linspace(0, 0.99, 9))]
        inputs = [*grids, np.array([[0.1], [1.0], [1.0], [0.5]]), np.array([[0.0], [0.0], [0.5], [0.5]])]
        for result in function(*map(engine.asarray, inputs)):
            assert result.dtype == "float32"
            assert np.all(np.isfinite(result))
        kl = function(*map(engine.asarray, inputs))[0]
        np.testing.assert_allclose(kl[0, [0, 2, 6, 8]], [0, 1e4, 1e4, 0], rtol=1e-5)


def test_mixture_and_perturbation_at_the_largest_logits_agree_on_each_engine(engine_name):
    """Each engine rewrites exponentials differently: float32, t = 1, certain and wrong predictions of x_0."""
    kernel = BinomialKernel(0.2)
    with Engine(engine_name, "float32") as engine:
        b, x = (pt.tensor(dtype="float32", shape=(2, 3)) for _ in range(2))
        p = kernel.mixture(b, x, *(pt.constant(np.float32(rate)) for rate in (0.1, 0.1, 0.0)))
        q = kernel.perturb(p, lambda z: (z * [1.0, 2.0, 3.0]).sum(axis=1).astype("float32"))
        function = engine.function([b, x], [p.logit, q.logit, pytensor.grad(p.logit.sum(), b)])
        logits = engine.asarray([[-1e4, 1e4, 0], [-200, 200, 3]])
        mixed, perturbed, slope = function(logits, engine.asarray([[0, 0, 1], [1, 1, 0]]))
    np.testing.assert_allclose(mixed[:, 2], [0, 3], atol=2e-5)  # at t = 1 it is the prediction
    assert np.all(np.sign(mixed[:, :2]) == [-1, 1])
    np.testing.assert_allclose(perturbed - mixed, [[1, 2, 3]] * 2, atol=2e-5)
    np.testing.assert_allclose(slope, [[0, 0, 1]] * 2, atol=1e-6)


@pytest.mark.parametrize("base_rate", [0, 1, -0.1, 1.5, float("nan")])
def test_a_base_rate_outside_the_open_interval_is_refused(base_rate):
    with pytest.raises(InputError, match=rf"base_rate: got {base_rate}; expected .* above 0 and below 1"):
        BinomialKernel(base_rate)


def entropy(p):
    p = p[p > 0]
    return -np.sum(p * np.log(p))


def reverse_entropies(data, base_rate, T=6):
    """Return the lower bound, H_q(X_{t-1}|X_t) and the upper bound of Eq. 23 at t = 2..T, nats per example, (T - 1, 3).

    data: the probability of each vector of bits. The bounds are the kernel's, the entropy by enumeration of all pairs.
    """
    x = all_bits(int(np.log2(len(data))))
    kernel, betas = BinomialKernel(base_rate), erase_equally(T)
    beta_bar = np.concatenate([[0], 1 - np.cumprod(1 - betas)])

    def marginal(t):
        one = step(x[:, None], beta_bar[t], base_rate)
        return data @ np.where(x == 1, one, 1 - one).prod(axis=-1)

    def mean(method, rate, weights):
        return weights @ value(method(constant(rate), constant(x))).sum(axis=1)

    rows = []
    for t in range(2, T + 1):
        one = step(x[:, None], betas[t - 1], base_rate)
        joint = marginal(t - 1)[:, None] * np.where(x == 1, one, 1 - one).prod(axis=-1)
        upper = mean(kernel.entropy_step, betas[t - 1], marginal(t - 1))
        before, after = (mean(kernel.entropy_marginal, beta_bar[s], data) for s in (t - 1, t))
        rows.append([upper + before - after, entropy(joint) - entropy(joint.sum(axis=0)), upper])
    return np.array(rows)


HEARTBEAT = np.zeros(8)
HEARTBEAT[[1, 2, 4]] = 1 / 3  # one bit of three: each has the rate 1/3, and they depend on each other


@pytest.mark.parametrize(
    ("data", "base_rate"),
    [(HEARTBEAT, 0.5), (np.arange(8) / 28, 0.5), (np.eye(8)[3], 0.5), (HEARTBEAT, 1 / 3)],
    ids=["one of three", "uneven", "one vector", "one of three at its own rate"],
)
def test_the_entropy_of_a_reverse_step_is_within_its_bounds(data, base_rate):
    """Eq. 23: H(X_t|X_{t-1}) + H(X_{t-1}|X_0) - H(X_t|X_0) <= H(X_{t-1}|X_t) <= H(X_t|X_{t-1})."""
    lower, exact, upper = reverse_entropies(data, base_rate).T
    assert np.all(lower <= exact + 1e-12)
    assert np.all(exact <= upper + 1e-12)


def test_the_upper_bound_needs_data_of_the_base_rate():
    """Appendix A's "without qualification" is for the base rate 0.5: bits of rate 1/2 that diffuse to 0.1 lose entropy
    at each step, and a reverse step has more than the upper bound of Eq. 23. The lower bound still holds."""
    lower, exact, upper = reverse_entropies(np.full(8, 1 / 8), 0.1).T
    assert np.all(lower <= exact + 1e-12)
    assert np.all(exact > upper + 0.01)
