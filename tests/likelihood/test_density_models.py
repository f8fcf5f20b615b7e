"""Simple density models compared with their closed forms, and the choice of hyperparameters."""

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
    """Return examples of a Gaussian and its distribution."""
    A = rng.standard_normal((dimension, dimension))
    distribution = stats.multivariate_normal(np.arange(dimension), A @ A.T + 0.1 * np.eye(dimension))
    return distribution.rvs(n, random_state=rng), distribution


def test_gaussian_fitted_to_gaussian_data_has_minus_their_entropy(rng):
    """Test log likelihood: -H - D (D + 3) / 4n, where the last term is due to estimated parameters (0.0007 here)."""
    X, distribution = correlated(rng, 20_000)
    test = distribution.rvs(200_000, random_state=rng)
    model, choice = choose_model(KINDS["gaussian"], X, 16_000, rng, lambda *_: None)
    values = model.score_samples(test)
    assert choice == {"floor": 1e-6}
    assert values.mean() == pytest.approx(-distribution.entropy(), abs=0.0007 + 4 * stats.sem(values))


@pytest.mark.parametrize("floor", [1e-6, 0.1])
def test_gaussian_has_the_mean_and_covariance_of_its_data_plus_the_floor(rng, floor):
    X, _ = correlated(rng, 100)
    distribution = stats.multivariate_normal(X.mean(axis=0), np.cov(X.T, bias=True) + floor * np.eye(6))
    model = KINDS["gaussian"].fit(X, rng, floor=floor)
    np.testing.assert_allclose(model.score_samples(X), distribution.logpdf(X), rtol=1e-9)


def test_ppca_equals_the_gaussian_of_tipping_and_bishop(rng):
    """C = U_q (L_q - s^2 I) U_q^T + s^2 I, where s^2 is the mean of the other eigenvalues of the covariance."""
    X, _ = correlated(rng, 300)
    values, vectors = np.linalg.eigh(np.cov(X.T))
    s2 = values[:4].mean()
    top = vectors[:, 4:]
    distribution = stats.multivariate_normal(X.mean(axis=0), top @ np.diag(values[4:] - s2) @ top.T + s2 * np.eye(6))
    model = KINDS["ppca"].fit(X, rng, directions=2)
    np.testing.assert_allclose(model.score_samples(X), distribution.logpdf(X), rtol=1e-9)


@pytest.mark.parametrize("kind", ["mixture", "diagonal-mixture"])
def test_mixture_recovers_the_mixture_of_its_data(rng, kind):
    """Two Gaussians far apart, with weights 1/3 and 2/3: the density is the true one up to estimated parameters."""
    distributions = [
        stats.multivariate_normal([-5, 0], np.diag([1, 4])),
        stats.multivariate_normal([5, 3], np.diag([0.5, 0.1])),
    ]
    X = np.concatenate(
        [distribution.rvs(n, random_state=rng) for distribution, n in zip(distributions, (3000, 6000), strict=True)]
    )
    model = KINDS[kind].fit(X, rng, floor=1e-6, components=2)
    expected = np.log(distributions[0].pdf(X) / 3 + distributions[1].pdf(X) * 2 / 3)
    assert model.score_samples(X).mean() == pytest.approx(expected.mean(), abs=10 / 9000)


def test_components_are_chosen_on_held_out_examples(rng):
    """Five narrow clusters: more components do not help on new examples."""
    centers = 10 * rng.standard_normal((5, 3))
    X = centers[rng.integers(0, 5, 1200)] + 0.1 * rng.standard_normal((1200, 3))
    reported = []
    _, choice = choose_model(KINDS["mixture"], X, 1000, rng, lambda *a: reported.append(a))
    assert choice["components"] == 5
    best = max(reported, key=lambda a: a[1])
    assert best[0] == choice
    # Entropy of a choice of five, and of three numbers of deviation 0.1.
    assert best[1] == pytest.approx(-np.log(5) - 1.5 * np.log(2 * np.pi * np.e * 0.01), abs=0.15)


# ------------------------------------------------------------------ the choice


def test_climb_finds_the_top_of_a_hill():
    axes = {"a": tuple(range(10)), "b": tuple(range(8))}
    seen = []

    def hill(choices):
        for choice in choices:
            seen.append(choice)
            yield -((choice["a"] - 6) ** 2) - (choice["b"] - choice["a"] / 2) ** 2

    assert climb(hill, axes) == (0, {"a": 6, "b": 3})
    assert len(seen) < 40


def test_climb_prefers_the_simplest_of_equal_choices():
    assert climb(lambda choices: (1.0 for _ in choices), {"a": (1, 2), "b": (3, 4)}) == (1.0, {"a": 1, "b": 3})


def test_climb_reaches_the_end_of_every_axis():
    axes = {"a": (1, 2, 3), "b": (1, 2)}
    assert climb(lambda choices: (c["a"] + c["b"] for c in choices), axes) == (5, {"a": 3, "b": 2})


def test_axes_are_limited_by_examples_dimension_and_memory():
    assert feasible_axes(KINDS["mixture"], 30, 4)["components"] == (2, 5, 10)
    assert feasible_axes(KINDS["mixture"], 10**6, 4000)["components"] == (2, 5)
    assert feasible_axes(KINDS["ppca"], 50, 12)["directions"] == (1, 2, 5, 10)
    with pytest.raises(InputError, match="3 examples of 9 numbers are too few for components 2"):
        feasible_axes(KINDS["diagonal-mixture"], 3, 9)


@pytest.mark.parametrize("name", KINDS)
def test_skipping_a_fit_draws_what_the_fit_draws(rng, name):
    """So the next fit begins with the same random numbers."""
    kind = KINDS[name]
    X = (rng.random((60, 36)) < 0.5).astype(float) if kind.bits else rng.standard_normal((60, 36))
    kind = kind.for_images((1, 6, 6)) if kind.images else kind
    choices = [{axis: values[place] for axis, values in kind.axes.items()} for place in (0, 1)] if kind.axes else [{}]
    for choice in choices:
        fitted, skipped = np.random.default_rng(3), np.random.default_rng(3)
        kind.fit(X, fitted, **choice)
        kind.skip(X, skipped, **choice)
        assert fitted.bit_generator.state == skipped.bit_generator.state
