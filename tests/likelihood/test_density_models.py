"""Simple density models compared with their closed forms, and the choice among them."""

import numpy as np
import pytest
from scipy import stats

from dpm.base.errors import InputError
from dpm.likelihood.density_models import KINDS, choose_model, climb, feasible_axes

pytest.importorskip("sklearn")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ------------------------------------------------------------------ the models


def correlated(rng, n, dimension=6):
    """(examples of a Gaussian, its law)."""
    A = rng.standard_normal((dimension, dimension))
    law = stats.multivariate_normal(np.arange(dimension), A @ A.T + 0.1 * np.eye(dimension))
    return law.rvs(n, random_state=rng), law


def test_a_gaussian_on_gaussian_data_has_minus_their_entropy(rng):
    """Test log likelihood -H less D (D + 3) / 4n, what the estimation of mean and covariance costs (0.0007 here)."""
    X, law = correlated(rng, 20_000)
    test = law.rvs(200_000, random_state=rng)
    model, choice = choose_model(KINDS["gaussian"], X, 16_000, rng, lambda *_: None)
    values = model.score_samples(test)
    assert choice == {"floor": 1e-6}
    assert values.mean() == pytest.approx(-law.entropy(), abs=0.0007 + 4 * stats.sem(values))


@pytest.mark.parametrize("floor", [1e-6, 0.1])
def test_a_gaussian_has_mean_and_covariance_of_its_data_and_the_floor(rng, floor):
    X, _ = correlated(rng, 100)
    law = stats.multivariate_normal(X.mean(axis=0), np.cov(X.T, bias=True) + floor * np.eye(6))
    model = KINDS["gaussian"].fit(X, rng, floor=floor)
    np.testing.assert_allclose(model.score_samples(X), law.logpdf(X), rtol=1e-9)


def test_ppca_is_the_gaussian_of_tipping_and_bishop(rng):
    """C = U_q (L_q - s^2 I) U_q^T + s^2 I, s^2 the mean of the other eigenvalues of the sample covariance."""
    X, _ = correlated(rng, 300)
    values, vectors = np.linalg.eigh(np.cov(X.T))
    s2 = values[:4].mean()
    top = vectors[:, 4:]
    law = stats.multivariate_normal(X.mean(axis=0), top @ np.diag(values[4:] - s2) @ top.T + s2 * np.eye(6))
    model = KINDS["ppca"].fit(X, rng, directions=2)
    np.testing.assert_allclose(model.score_samples(X), law.logpdf(X), rtol=1e-9)


@pytest.mark.parametrize("kind", ["mixture", "diagonal-mixture"])
def test_a_mixture_finds_that_of_its_data(rng, kind):
    """Two Gaussians far apart, 1/3 and 2/3: the density is the true one but for the estimation of its parameters."""
    laws = [stats.multivariate_normal([-5, 0], np.diag([1, 4])), stats.multivariate_normal([5, 3], np.diag([0.5, 0.1]))]
    X = np.concatenate([law.rvs(n, random_state=rng) for law, n in zip(laws, (3000, 6000), strict=True)])
    model = KINDS[kind].fit(X, rng, floor=1e-6, components=2)
    expected = np.log(laws[0].pdf(X) / 3 + laws[1].pdf(X) * 2 / 3)
    assert model.score_samples(X).mean() == pytest.approx(expected.mean(), abs=10 / 9000)


def test_components_are_chosen_by_examples_that_were_not_fitted(rng):
    """Five narrow clusters: more components gain nothing on new examples."""
    centers = 10 * rng.standard_normal((5, 3))
    X = centers[rng.integers(0, 5, 1200)] + 0.1 * rng.standard_normal((1200, 3))
    told = []
    _, choice = choose_model(KINDS["mixture"], X, 1000, rng, lambda *a: told.append(a))
    assert choice["components"] == 5
    best = max(told, key=lambda a: a[1])
    assert best[0] == choice
    # Entropy of a choice of five and of three numbers of deviation 0.1.
    assert best[1] == pytest.approx(-np.log(5) - 1.5 * np.log(2 * np.pi * np.e * 0.01), abs=0.15)


# ------------------------------------------------------------------ the choice


def test_climbing_finds_the_top_of_a_hill():
    axes = {"a": tuple(range(10)), "b": tuple(range(8))}
    seen = []

    def hill(choice):
        seen.append(choice)
        return -((choice["a"] - 6) ** 2) - (choice["b"] - choice["a"] / 2) ** 2

    assert climb(hill, axes) == (0, {"a": 6, "b": 3})
    assert len(seen) < 40


def test_climbing_stays_at_the_simplest_of_equals():
    assert climb(lambda choice: 1.0, {"a": (1, 2), "b": (3, 4)}) == (1.0, {"a": 1, "b": 3})


def test_climbing_reaches_the_end_of_every_axis():
    axes = {"a": (1, 2, 3), "b": (1, 2)}
    assert climb(lambda c: c["a"] + c["b"], axes) == (5, {"a": 3, "b": 2})


def test_axes_end_where_examples_dimension_or_memory_do():
    assert feasible_axes(KINDS["mixture"], 30, 4)["components"] == (2, 5, 10)
    assert feasible_axes(KINDS["mixture"], 10**6, 4000)["components"] == (2, 5)
    assert feasible_axes(KINDS["ppca"], 50, 12)["directions"] == (1, 2, 5, 10)
    with pytest.raises(InputError, match="3 examples of 9 numbers are too few for components 2"):
        feasible_axes(KINDS["diagonal-mixture"], 3, 9)
