"""K on a data set and term by term, compared with closed forms and sums over all trajectories."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.stats import sem

from dpm.base import noise
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.likelihood import bound
from dpm.likelihood.entropies import step_entropies
from dpm.model import DiffusionModel
from dpm.runs import checkpoint
from tests.helpers import runs
from tests.helpers.bounds import K_all_terms
from tests.likelihood.models import DEVIATION, MEAN, NONE, bits, enumerated, gaussian

ARGUMENTS = {
    "spatial_width": 4,
    "n_colors": 1,
    "trajectory_length": 12,
    "n_temporal_basis": 2,
    "n_hidden_conv": 2,
    "n_layers_conv": 1,
    "n_hidden_dense_lower": 0,
    "n_hidden_dense_upper": 3,
}


@pytest.fixture(scope="module")
def compiled():
    engine = Engine("auto", "float64")
    with engine:
        return CompiledModel(DiffusionModel(**ARGUMENTS), engine)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((23, 1, 4, 4))


@pytest.mark.thorough
def test_terms_do_not_depend_on_the_batch_size_or_on_later_examples(compiled, X):
    theta = 0.3 * np.random.default_rng(1).standard_normal(compiled.layout.size)
    whole = bound.terms(compiled, theta, X, 0)
    np.testing.assert_allclose(bound.terms(compiled, theta, X, 0, batch_size=10).kl, whole.kl, rtol=1e-5)
    np.testing.assert_allclose(bound.terms(compiled, theta, X[:7], 0).kl, whole.kl[:7], rtol=1e-5)


def test_L_null_is_the_entropy_of_the_unit_gaussian(compiled):
    """-0.5 log2(2 pi e) = -2.047 bits for each element of a pixel."""
    expected = -stats.norm.entropy() / np.log(2)
    assert bound.L_null(compiled.model) == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(-2.047, abs=1e-3)


def test_released_estimator_averages_minibatches_of_one_time(compiled, X):
    theta = np.zeros(compiled.layout.size)
    estimates = list(bound.reference_likelihood(compiled, theta, X, 0, 23, 40))
    assert len(estimates) == 40
    assert np.isnan(estimates[0].standard_error)
    # T - 1 = 11 times: minibatches differ mostly by their times.
    assert estimates[-1].standard_error > 0


# ------------------------------------------------------------------ term by term


def test_K_of_bits_with_the_base_rate_equals_the_sum_over_all_trajectories():
    """For bits that are 1 with the base rate 0.3, Eq. 14 and Eq. 12 agree on average."""
    compiled, schedule = bits()
    X = (np.random.default_rng(0).random((40_000, 2)) < 0.3).astype(float)
    expected = sum(
        0.3 ** sum(x) * 0.7 ** (2 - sum(x)) * enumerated(x, schedule)[1] for x in itertools.product([0, 1], repeat=2)
    )
    terms = bound.terms(compiled, NONE, X, 2)
    assert abs(terms.K.mean() - expected) < 4 * terms.K.std() / len(X) ** 0.5


def test_strata_estimate_the_sum_over_all_t_and_visit_large_terms_more_often():
    compiled, _ = gaussian(MEAN, DEVIATION)
    X = np.full((2000, 1), 0.1)
    whole, few = (bound.terms(compiled, NONE, X, 3, k) for k in (None, 3))
    assert few.times.shape == (2000, 3)
    assert (np.diff(few.times) >= 0).all()
    assert (few.times.min(), few.times.max()) == (2, 12)
    error = np.hypot(whole.K.std(), few.K.std()) / 2000**0.5
    assert abs(whole.K.mean() - few.K.mean()) < 4 * error
    np.testing.assert_array_equal(whole.times, np.tile(np.arange(2, 13), (2000, 1)))
    np.testing.assert_array_equal(whole.weights, 1)
    means, counts = whole.by_time().mean, few.by_time().draws
    assert np.argmax(counts) == np.argmax(means)
    assert counts.max() > 3 * counts.min()


def test_by_time_returns_mean_and_error_of_each_term():
    terms = bound.Terms(
        np.array([[2, 4], [2, 3]]), np.array([[1.0, 5.0], [3.0, 7.0]]), np.array([[1, 2], [1, 2]]), *np.zeros((3, 2)), 4
    )
    first, last, mean, error, draws = terms.by_time()
    assert first.tolist() == last.tolist() == [2, 3, 4]
    assert mean.tolist() == [2.0, 7.0, 5.0]
    assert error[0] == pytest.approx(np.sqrt(2) / np.sqrt(2))
    assert np.isnan(error[1:]).all()
    assert draws.tolist() == [2, 1, 1]
    first, last, mean, error, draws = terms.by_time(np.array([2, 3, 5]))
    assert (first.tolist(), last.tolist(), draws.tolist()) == ([2, 3], [2, 4], [2, 2])
    assert mean @ [1, 2] == pytest.approx(terms.sum_kl.mean())
    # Two draws of weight 2: their sum 2 * (5 + 7) over two examples and two times.
    assert mean[1] == pytest.approx(6)
    assert error[1] == pytest.approx(np.std([10, 14], ddof=1) * np.sqrt(2) / 4)


def test_strata_have_a_fifth_of_the_error_of_even_times_at_equal_cost():
    """Standard deviation of K of these examples over 30 seeds, next to times that are spread evenly over 2..T.

    The released schedule and network with parameters 0: KL_t falls as 1 / t, as ln(beta_bar_t / beta_bar_{t-1}) does.
    The cost of the strata includes that of measuring their density.
    """
    engine, n, k = Engine("auto", "float32"), 100, 3
    with engine:
        model = DiffusionModel(**(ARGUMENTS | {"spatial_width": 16, "trajectory_length": 1000}))
    compiled = CompiledModel(model, engine)
    theta = np.zeros(compiled.layout.size, np.float32)
    X = np.random.default_rng(2).standard_normal((n, 1, 16, 16)).astype(np.float32)
    size = bound.batch_size_of(compiled, n)
    even, ours = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        t = np.concatenate([noise.stratified_times(rng, n, 1000) for _ in range(k + 1)])
        draws = (
            np.tile(X, (k + 1, 1, 1, 1)),
            t,
            rng.standard_normal((len(t), 1, 16, 16)),
            rng.random((len(t), 1, 16, 16)),
        )
        even.append(999 * bound.compute_kl(compiled, theta, [engine.asarray(a) for a in draws], size).mean())
        ours.append(bound.terms(compiled, theta, X, seed, k).sum_kl.mean())
    assert abs(np.mean(ours) - np.mean(even)) < 4 * np.std(even) / 30**0.5
    assert np.std(ours) < np.std(even) / 5


@pytest.mark.thorough
def test_sum_over_t_agrees_with_the_plain_sum(base):
    meta, arrays = checkpoint.load_run(runs.trained(base) / "checkpoint.h5")
    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(DiffusionModel(**meta["model"]), engine)
    theta = compiled.layout.flatten(checkpoint.split(arrays)[0], "float32")
    X = np.random.default_rng(0).standard_normal((30, *compiled.model.example_shape)).astype(np.float32)
    plain = K_all_terms(compiled, theta, X, 0, 30, 3000)
    for times in (None, 4, 20):
        found = bound.estimate_bound(compiled, theta, X, 0, times)
        error = np.hypot(found.standard_error, plain.standard_error)
        assert abs(found.K_minus_L_null - plain.value) < 4 * error
        assert found.L_null == pytest.approx(bound.L_null(compiled.model))


# ------------------------------------------------------------------ sums over t and whole trajectories


def exact_terms(x, schedule):
    """Return KL_t, t = 2..T, of single examples of N(MEAN, DEVIATION^2) with the exact reverse kernel: (n, T - 1)."""
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


def test_each_term_agrees_with_the_closed_form_within_its_error():
    """The mean over q(x_t | x_0) of D_KL of two Gaussians is known in closed form (Eq. 14)."""
    compiled, schedule = gaussian(MEAN, DEVIATION)
    X = MEAN + DEVIATION * np.random.default_rng(1).standard_normal((4000, 1))
    terms = bound.terms(compiled, NONE, X, 4)
    expected = exact_terms(X[:, 0], schedule)
    z = (terms.kl - expected).mean(axis=0) / ((terms.kl - expected).std(axis=0) / len(X) ** 0.5)
    assert abs(z).max() < 4
    _, _, mean, error, _ = terms.by_time()
    assert (abs(mean - expected.mean(axis=0)) < 4 * error).all()


@pytest.mark.parametrize("times", [2, 5, 20])
def test_confidence_intervals_cover_the_exact_value(times):
    """At least 90 of 100 intervals of 95 % contain K of these examples over every t, known in closed form."""
    compiled, schedule = gaussian(MEAN, DEVIATION, T=61)
    X = MEAN + DEVIATION * np.random.default_rng(2).standard_normal((100, 1))
    exact_sum = exact_terms(X[:, 0], schedule).sum(axis=1).mean()
    z, wider = [], []
    for seed in range(100):
        terms = bound.terms(compiled, NONE, X, seed, times)
        constants = (terms.forward_T - terms.forward_1 - terms.prior).mean()
        z.append((terms.K.mean() - constants + exact_sum) / terms.draws_error)
        wider.append(terms.error)
    assert sum(abs(value) < 1.96 for value in map(float, z)) >= 90
    assert abs(np.mean(z)) < 0.4
    assert 0.7 < np.std(z) < 1.15
    assert len(set(wider)) == 100


def test_error_over_examples_equals_scipys_and_is_nan_for_one_example():
    kl = np.random.default_rng(0).random((30, 5))
    times, ones = np.tile(np.arange(2, 7), (30, 1)), np.ones((30, 5))
    terms = bound.Terms(times, kl, ones, *np.zeros((3, 30)), 6)
    assert terms.error == pytest.approx(sem(kl.sum(axis=1)))
    # Terms that differ by noise only: both errors are the same.
    assert terms.draws_error == pytest.approx(terms.error, rel=0.3)
    one = bound.Terms(times[:1], kl[:1], ones[:1], *np.zeros((3, 1)), 6)
    assert np.isnan([one.error, one.draws_error]).all()
    assert np.isnan(bound.Terms(times[:, :1], kl[:, :1], ones[:, :1], *np.zeros((3, 30)), 6).draws_error)


def test_draws_error_excludes_the_spread_between_examples():
    """Examples that differ by a constant in all their terms: their spread is not an error of the draws."""
    rng = np.random.default_rng(0)
    kl = 10 * rng.random((200, 1)) + np.linspace(0, 5, 50) + rng.standard_normal((200, 50))
    terms = bound.Terms(np.tile(np.arange(2, 52), (200, 1)), kl, np.ones(kl.shape), *np.zeros((3, 200)), 51)
    assert terms.draws_error == pytest.approx((50 / 200) ** 0.5, rel=0.1)
    assert terms.error > 10 * terms.draws_error


def test_edge_correction_agrees_with_the_closed_form():
    """-(x^2 - 1) (alpha_bar_T + beta_1) / 2 for a Gaussian; 0 on average for bits of the base rate."""
    compiled, schedule = gaussian(MEAN, DEVIATION)
    x = np.array([[-0.5], [0.7], [3.0]])
    expected = -(x[:, 0] ** 2 - 1) * (np.prod(1 - schedule) + schedule[0]) / 2
    np.testing.assert_allclose(bound.edge_correction(compiled, NONE, x), expected, atol=1e-12)
    compiled, schedule = bits()
    every = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
    weights = 0.3 ** every.sum(axis=1) * 0.7 ** (2 - every.sum(axis=1))
    assert weights @ bound.edge_correction(compiled, NONE, every) == pytest.approx(0, abs=1e-12)


def test_gap_of_the_bounds_of_eq_23_agrees_with_the_closed_form():
    """ln(beta_bar_t / beta_bar_{t-1}) / 2 for a Gaussian; their sum is H_q(X_T | X_0) - H_q(X_1 | X_0)."""
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


def test_errors_of_few_examples_are_right_on_average_and_either_may_be_the_larger():
    """Five examples of mean effects 0.3 apart, at two times each with noise of deviation 1, 1,000 times."""
    rng, n, k, T = np.random.default_rng(0), 5, 2, 101
    draws, everything = [], []
    for _ in range(1000):
        index = ((np.arange(k) + rng.random((n, k))) / k * (T - 1)).astype(int)
        kl = (1 + 0.3 * rng.standard_normal((n, 1)) + rng.standard_normal((n, k))) / (T - 1)
        zero = np.zeros(n)
        terms = bound.Terms(2 + index, kl, np.full((n, k), (T - 1) / k), zero, zero, zero, T)
        draws.append(terms.draws_error)
        everything.append(terms.error)
    assert np.mean(np.square(draws)) == pytest.approx(1 / (n * k), rel=0.1)
    assert np.mean(np.square(everything)) == pytest.approx(1 / (n * k) + 0.3**2 / n, rel=0.1)
    assert 0.3 < np.mean(np.greater(draws, everything)) < 0.5
