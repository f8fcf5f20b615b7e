"""The same tests for both kernels: every method against sums over all values of x, or over a grid of numbers."""

import inspect
from dataclasses import dataclass, field

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from dpm.base.noise import DRAWS
from dpm.engines.engine import Engine
from dpm.graph.kernels import Bernoulli, BinomialKernel, FullGaussianKernel, Gaussian, GaussianKernel, Kernel
from tests.helpers.graphs import constant, value

rates = st.floats(0.05, 0.95)
units = st.floats(0, 1)


@dataclass
class Case:
    """A kernel, all values of x, the weight of each in a sum, and maps from [0, 1] to values and distributions."""

    kernel: object
    points: np.ndarray = field(repr=False)
    weight: float

    def x(self, unit):
        return float(unit > 0.5) if isinstance(self.kernel, BinomialKernel) else 4 * unit - 2

    def p(self, a, b=0.5):
        """A distribution from numbers in [0, 1]."""
        a, b = np.asarray(a), np.asarray(b)
        if isinstance(self.kernel, BinomialKernel):
            return Bernoulli(constant(8 * a - 4))
        return Gaussian(constant(4 * a - 2), constant(0.2 + 0.5 * b))

    def log_table(self, p):
        """log p(x) at every x, the last axis."""
        p = type(p)(*(f[..., None] for f in p))
        return value(self.kernel.log_prob(p, constant(self.points)))

    def normalized(self, log_p):
        return log_p - logsumexp(log_p + np.log(self.weight), axis=-1, keepdims=True)

    def sum(self, table):
        return (table * self.weight).sum(axis=-1)


GRID = np.linspace(-8, 8, 801)
CASES = {
    "gaussian": Case(GaussianKernel(), GRID, GRID[1] - GRID[0]),
    "half": Case(BinomialKernel(), np.array([0.0, 1.0]), 1.0),
    "fifth": Case(BinomialKernel(0.2), np.array([0.0, 1.0]), 1.0),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
lightly = settings(deadline=None, max_examples=12)


def arrays(p):
    return [value(f) for f in p]


def arguments(method):
    """Return the name, kind and default of each argument of a method, except self."""
    parameters = inspect.signature(method).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters if p.name != "self"]


def test_the_kernels_have_the_same_methods_with_the_same_arguments():
    def methods(kernel):
        return {name: arguments(m) for name, m in inspect.getmembers(kernel, callable) if name[0] != "_"}

    bits = methods(BinomialKernel())
    del bits["mixture"]  # only for reverse kernels of bits
    assert bits == methods(GaussianKernel())


@pytest.mark.parametrize("kernel", [GaussianKernel(), FullGaussianKernel(), BinomialKernel()])
def test_the_kernels_have_the_documented_interface(kernel):
    """Each attribute and method of `Kernel`, with its arguments; each method of `Kernel` has a docstring."""
    assert all(hasattr(kernel, name) for name in Kernel.__annotations__)
    methods = {name: m for name, m in vars(Kernel).items() if name[0] != "_" and inspect.isfunction(m)}
    assert {"check", "posterior", "kl", "sample", "prior", "multiply"} <= methods.keys()
    for name, method in methods.items():
        assert method.__doc__.startswith(("Return ", "Raise "))
        assert arguments(getattr(kernel, name)) == arguments(method), name


@pytest.mark.thorough
@each
@lightly
@given(x_0=units, x_t=units, beta=rates, before=rates)
def test_posterior_is_bayes_rule(case, x_0, x_t, beta, before):
    """q(x_{t-1}|x_t,x_0) is q(x_t|x_{t-1}) q(x_{t-1}|x_0), normalized (Eq. 47)."""
    kernel, x_0, x_t = case.kernel, constant(case.x(x_0)), constant(case.x(x_t))
    beta_bar = constant(1 - (1 - beta) * (1 - before))
    step = kernel.forward_step(constant(case.points), constant(beta))
    prior = kernel.forward_marginal(x_0, constant(before))
    log_joint = value(kernel.log_prob(step, x_t) + kernel.log_prob(prior, constant(case.points)))
    q = kernel.posterior(x_0, x_t, constant(beta), beta_bar, constant(before))
    np.testing.assert_allclose(case.log_table(q), case.normalized(log_joint), rtol=1e-7, atol=1e-9)


@each
@lightly
@given(q=st.tuples(units, units), p=st.tuples(units, units))
def test_kl_is_the_mean_log_ratio(case, q, p):
    """D_KL(q || p) (Eq. 14), 0 of a distribution and itself, and log p(x) itself sums to one."""
    q, p = case.p(*q), case.p(*p)
    log_q, log_p = case.log_table(q), case.log_table(p)
    assert case.sum(np.exp(log_q)) == pytest.approx(1, abs=1e-12)
    expected = case.sum(np.exp(log_q) * (log_q - log_p))
    assert float(value(case.kernel.kl(q, p))) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert float(value(case.kernel.kl(q, q))) == pytest.approx(0, abs=1e-12)


@pytest.mark.thorough
@each
@lightly
@given(x=units, beta=rates)
def test_entropies_are_mean_negative_logs(case, x, beta):
    """H_q(X_t|X_0) and H_q(X_t|X_{t-1}) of a given x (Eq. 14 and 23), and the entropy of any distribution."""
    x, beta, kernel = constant(case.x(x)), constant(beta), case.kernel
    log_q = case.log_table(kernel.forward_marginal(x, beta))
    expected = -case.sum(np.exp(log_q) * log_q)
    assert float(value(kernel.entropy_marginal(beta, x))) == pytest.approx(expected, abs=1e-12)
    assert float(value(kernel.entropy_step(beta, x))) == pytest.approx(expected, abs=1e-12)
    assert float(value(kernel.entropy(kernel.forward_marginal(x, beta)))) == pytest.approx(expected, abs=1e-12)


@each
def test_the_prior_is_kept_by_every_step(case):
    """pi(y) = integral of T(y | y'; beta) pi(y') (Eq. 1), and its entropy H_p(X_T) (Eq. 14) is a number."""
    log_pi = case.log_table(case.kernel.prior(constant(0.0)))
    assert isinstance(case.kernel.prior_entropy(), float)
    assert case.kernel.prior_entropy() == pytest.approx(-case.sum(np.exp(log_pi) * log_pi), abs=1e-12)
    for beta in (0.1, 0.5, 1.0):
        step = case.log_table(case.kernel.forward_step(constant(case.points), constant(beta)))
        inner = np.abs(case.points) < 4  # the grid is truncated, which changes values near its ends
        after = case.weight * np.exp(log_pi) @ np.exp(step)
        np.testing.assert_allclose(after[inner], np.exp(log_pi)[inner], rtol=1e-9)


@each
@pytest.mark.parametrize("unit", [0.1, 0.9])
def test_composed_steps_are_the_marginal(case, unit):
    """q(x_t|x_0) is the sum over the states between of the product of the steps (Eq. 3)."""
    betas, x_0 = [0.05, 0.3, 0.1, 0.6], constant(case.x(unit))
    law = np.exp(case.log_table(case.kernel.forward_step(x_0, constant(betas[0]))))
    for beta in betas[1:]:
        step = case.kernel.forward_step(constant(case.points), constant(beta))
        law = case.weight * law @ np.exp(case.log_table(step))
    marginal = case.kernel.forward_marginal(x_0, constant(1 - np.prod(1 - np.array(betas))))
    np.testing.assert_allclose(law, np.exp(case.log_table(marginal)), rtol=1e-9, atol=1e-12)


@each
def test_draws_step_by_step_have_the_marginals_mean_and_variance(case):
    """1e5 draws through 20 steps, against q(x_t|x_0) within 4 standard errors (Eq. 3), from the kernel's noise."""
    n, betas, rng = 100_000, np.linspace(0.01, 0.15, 20), np.random.default_rng(7)
    x_0 = case.x(0.8)
    x, beta, N = pt.dvector(), pt.dscalar(), pt.dvector()
    step = pytensor.function([x, beta, N], case.kernel.sample(case.kernel.forward_step(x, beta), N))
    draws = np.full(n, x_0)
    for rate in betas:
        draws = step(draws, rate, DRAWS[case.kernel.noise](rng, n))
    log_q = case.log_table(case.kernel.forward_marginal(constant(x_0), constant(1 - np.prod(1 - betas))))
    mean = case.sum(np.exp(log_q) * case.points)
    powers = [case.sum(np.exp(log_q) * (case.points - mean) ** k) for k in (2, 4)]
    assert abs(draws.mean() - mean) < 4 * (powers[0] / n) ** 0.5
    squares = (draws - mean) ** 2
    assert abs(squares.mean() - powers[0]) < 4 * ((powers[1] - powers[0] ** 2) / n) ** 0.5


@pytest.mark.thorough
@each
@lightly
@given(p=st.tuples(units, units), observed=st.floats(-2, 2), precision=st.floats(0, 30))
def test_product_with_an_observation_and_its_normalizer(case, p, observed, precision):
    """p(x) r(x) and its sum, r(x) = exp(-precision (x - observed)^2 / 2) (Eq. 21 and 52)."""
    p, r = case.p(*p), (constant(observed), constant(precision))
    log_product = case.log_table(p) - 0.5 * precision * (case.points - observed) ** 2
    log_Z = float(value(case.kernel.log_normalizer(p, *r)))
    assert log_Z == pytest.approx(logsumexp(log_product + np.log(case.weight)), abs=1e-9)
    table = case.log_table(case.kernel.multiply(p, *r))
    np.testing.assert_allclose(table, log_product - log_Z, rtol=1e-9, atol=1e-9)


@each
def test_an_observation_of_no_precision_changes_nothing(case):
    p = case.p([0.1, 0.7], 0.3)
    for before, after in zip(arrays(p), arrays(case.kernel.multiply(p, constant(3.0), constant(0.0))), strict=True):
        np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(value(case.kernel.log_normalizer(p, constant(3.0), constant(0.0))), [0.0, 0.0])


@each
@pytest.mark.parametrize("exponent", [None, 0.0, 0.4])
def test_perturbing_by_a_log_linear_r_is_exact(case, exponent):
    """p(x) r(x)^c where log r = a x (Eq. 21, Table C.1); a is of each example, as an observation would be."""
    a = np.array([[0.5, -1.0, 2.0], [1.5, 0.0, -0.3]])
    p = case.p(np.linspace(0.2, 0.8, 6).reshape(2, 3), np.full((2, 3), 0.3))
    c = None if exponent is None else constant([exponent, exponent])
    q = case.kernel.perturb(p, lambda x: (a * x).sum(axis=1) + 5, c)
    log_r = a[..., None] * case.points * (1 if exponent is None else exponent)
    expected = case.normalized(case.log_table(p) + log_r)
    np.testing.assert_allclose(case.log_table(q), expected, rtol=1e-9, atol=1e-9)


@each
def test_perturbing_by_an_r_that_ignores_x_changes_nothing(case):
    p = case.p([[0.2, 0.9], [0.4, 0.4]], [[0.3, 0.3], [0.1, 0.1]])
    q = case.kernel.perturb(p, lambda x: pt.zeros(2))
    for before, after in zip(arrays(p), arrays(q), strict=True):
        np.testing.assert_array_equal(after, before)


@each
def test_known_elements_are_held_and_the_others_drawn(case):
    """p(x) times a delta where known is 1 (section 2.5.3), and the choice of one of two distributions."""
    p = case.p([0.1, 0.5, 0.9], [0.5, 0.5, 0.5])
    known, x = constant([1.0, 0.0, 1.0]), constant([1.0, 0.0, 0.0])
    N = constant([0.3, 0.3, 0.3])
    drawn, held = value(case.kernel.sample(p, N)), value(case.kernel.sample(case.kernel.condition(p, known, x), N))
    np.testing.assert_array_equal(held, [1.0, drawn[1], 0.0])
    other = case.p([0.3, 0.3, 0.3], [0.1, 0.1, 0.1])
    chosen = case.kernel.choose(constant([1.0, 1.0, 0.0]), p, other)
    np.testing.assert_array_equal(value(case.kernel.sample(chosen, N))[:2], drawn[:2])
    assert value(case.kernel.sample(chosen, N))[2] == value(case.kernel.sample(other, N))[2]


@each
def test_every_method_keeps_float32_and_is_finite_at_both_ends(case):
    """beta = 1 at t = T and beta_bar_{t-1} = 0 at t = 1 give no NaN in float32."""
    kernel = case.kernel
    with Engine("auto", "float32") as engine:
        x_0, x, N = (pt.tensor(dtype="float32", shape=(4, 3)) for _ in range(3))
        beta, beta_bar, before = (pt.tensor(dtype="float32", shape=(4, 1)) for _ in range(3))
        q = kernel.posterior(x_0, x, beta, beta_bar, before)
        marginal, prior = kernel.forward_marginal(x_0, beta_bar), kernel.prior(x)
        perturbed = kernel.perturb(marginal, lambda x: (x * x_0).sum(axis=1), beta[:, 0])
        outputs = [
            *q,
            *kernel.multiply(q, x_0, before),
            *perturbed,
            *kernel.condition(q, N, x_0),
            kernel.kl(marginal, prior),
            kernel.entropy_marginal(beta_bar, x_0),
            kernel.entropy_step(beta, x),
            kernel.entropy(marginal),
            kernel.log_prob(marginal, x),
            kernel.log_normalizer(q, x_0, before),
            kernel.sample(q, N),
        ]
        function = engine.function([x_0, x, N, beta, beta_bar, before], outputs)
        column = np.array([[0.1], [0.5], [1.0], [1e-3]])
        earlier = np.array([[0.0], [0.2], [0.5], [0.999]])
        total = 1 - (1 - column) * (1 - earlier)
        bits = np.array([[0, 1, 0], [1, 0, 1], [1, 1, 0], [0, 0, 1]])
        inputs = (bits, bits[:, ::-1], np.full((4, 3), 0.25), column, total, earlier)
        for output, result in zip(outputs, function(*map(engine.asarray, inputs)), strict=True):
            assert output.dtype == result.dtype == "float32"
            assert np.all(np.isfinite(result))
