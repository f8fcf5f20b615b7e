"""The conditional mixture compared with Gaussian fields whose density has a closed form."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from dpm.likelihood.conditional_mixture import (
    ConditionalMixture,
    causal_neighborhood,
    draw_patches,
    extract_patches,
)
from dpm.likelihood.density_models import KINDS, choose_model


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def separable(places, down, across):
    """Covariance of an autoregressive field at places (row, column), down^|rows apart| across^|columns apart|."""
    apart = np.abs(np.subtract.outer(np.array(places)[:, 0], np.array(places)[:, 0]))
    aside = np.abs(np.subtract.outer(np.array(places)[:, 1], np.array(places)[:, 1]))
    return down**apart * across**aside


def grid(height, width):
    return [(row, column) for row in range(height) for column in range(width)]


def mixture(components, radius):
    """The patches of a mixture of autoregressive fields: (weight, mean, variance, down, across) of each."""
    places = [*causal_neighborhood(radius), (0, 0)]
    weights, means, variances, down, across = zip(*components, strict=True)
    return SimpleNamespace(
        weights_=np.array(weights),
        means_=np.array([np.full(len(places), mean) for mean in means]),
        covariances_=np.array([v * separable(places, d, a) for v, d, a in zip(variances, down, across, strict=True)]),
    )


def test_neighborhoods_are_the_pixels_before_in_raster_order():
    assert causal_neighborhood(1) == [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
    assert len(causal_neighborhood(2)) == 12
    assert all((row, column) < (0, 0) for row, column in causal_neighborhood(3))


def test_patches_end_in_their_pixel_and_lack_what_is_outside(rng):
    images = rng.standard_normal((3, 2, 4, 5))
    patches = extract_patches(images, 1)
    assert patches.shape == (3, 4, 5, 5, 2)
    np.testing.assert_array_equal(patches[..., -1, :], images.transpose(0, 2, 3, 1))
    assert np.isnan(patches[:, 0, :, :3]).all()
    assert np.isnan(patches[:, :, 0, 3]).all()
    expected = [images[1, :, 2 + row, 3 + column] for row, column in causal_neighborhood(1)]
    np.testing.assert_array_equal(patches[1, 2, 3, :-1], expected)


def test_drawn_patches_are_all_of_those_inside_once(rng):
    images = rng.standard_normal((3, 2, 6, 7))
    drawn = draw_patches(images, 2, rng)
    whole = extract_patches(images, 2).reshape(-1, 26)
    inside = whole[~np.isnan(whole).any(axis=1)]
    assert drawn.shape == (3 * 4 * 3, 26)
    np.testing.assert_array_equal(np.unique(drawn, axis=0), np.unique(inside, axis=0))
    assert len(draw_patches(images, 2, rng, most=5)) == 5


@pytest.mark.parametrize("radius", [1, 2])
def test_one_component_equals_the_gaussian_autoregressive_field(rng, radius):
    """Given all pixels before it, a pixel of the separable field depends on the three nearest, at borders on one."""
    cov = 1.7 * separable(grid(5, 6), 0.8, 0.6)
    X = stats.multivariate_normal(np.full(30, 0.3), cov).rvs(8, random_state=rng)
    model = ConditionalMixture(mixture([(1, 0.3, 1.7, 0.8, 0.6)], radius), (1, 5, 6), radius)
    expected = stats.multivariate_normal(np.full(30, 0.3), cov).logpdf(X)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-10)


FIELDS = [(0.2, -1.0, 0.5, 0.9, 0.3), (0.5, 0.4, 1.5, 0.2, 0.7), (0.3, 2.0, 0.1, 0.5, 0.5)]


def test_chain_rule_equals_the_joint_density_where_the_neighborhood_is_everything(rng):
    """In 2 x 2 pixels the neighborhood of radius 1 has all pixels before, so the product is the mixture itself."""
    X = 2 * rng.standard_normal((20, 4))
    model = ConditionalMixture(mixture(FIELDS, 1), (1, 2, 2), 1)
    joint = [
        np.log(weight) + stats.multivariate_normal(np.full(4, mean), v * separable(grid(2, 2), d, a)).logpdf(X)
        for weight, mean, v, d, a in FIELDS
    ]
    np.testing.assert_allclose(model.score_samples(X), logsumexp(joint, axis=0), rtol=1e-10)


@pytest.mark.parametrize("shape", [(1, 2, 1), (1, 1, 2), (2, 1, 1)], ids=["2x1", "1x2", "two colors"])
def test_density_integrates_to_one(rng, shape):
    """By the trapezoidal rule on a plane that holds all of the mass, for any mixture: these patches have no field."""
    size = 5 * shape[0]
    A = rng.standard_normal((2, size, size))
    patches = SimpleNamespace(
        weights_=np.array([0.3, 0.7]),
        means_=rng.standard_normal((2, size)),
        covariances_=A @ A.transpose(0, 2, 1) / size + 0.3 * np.eye(size),
    )
    line = np.linspace(-12, 12, 241)
    X = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    density = np.exp(ConditionalMixture(patches, shape, 1).score_samples(X))
    assert density.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=1e-6)


def test_blocks_of_images_do_not_change_their_densities(rng, monkeypatch):
    X = rng.standard_normal((7, 12))
    model = ConditionalMixture(mixture(FIELDS, 1), (1, 3, 4), 1)
    whole = model.score_samples(X)
    monkeypatch.setattr("dpm.likelihood.conditional_mixture.NUMBERS", 2 * 12 * 5)
    np.testing.assert_array_equal(model.score_samples(X), whole)


def test_fitted_to_an_autoregressive_field_it_nearly_has_minus_the_entropy(rng):
    """Parameters estimated from 60,000 patches cost a thousandth of a nat; three standard errors are of the images."""
    pytest.importorskip("sklearn")
    field = stats.multivariate_normal(np.zeros(64), separable(grid(8, 8), 0.7, 0.5))
    X, test = field.rvs(1500, random_state=rng), field.rvs(500, random_state=rng)
    kind = KINDS["conditional-mixture"].for_images((1, 8, 8))
    model = kind.fit(X, rng, radius=1, floor=1e-6, components=1)
    apart = (model.score_samples(test) - field.logpdf(test)) / 64
    assert abs(apart.mean()) < 1e-3 + 3 * stats.sem(apart)


def test_number_of_components_is_chosen_on_held_out_images(rng):
    """Images of one of two constant grays with noise: one Gaussian does not have two grays, three do not fit better."""
    pytest.importorskip("sklearn")
    gray = 5 * rng.choice([-1, 1], (600, 1))
    X = gray + 0.1 * rng.standard_normal((600, 16))
    kind = KINDS["conditional-mixture"].for_images((1, 4, 4))
    assert kind.axes["radius"] == (1,)
    model, choice = choose_model(kind, X, 500, rng, lambda *_: None)
    assert choice["components"] == 2
    # One bit for the gray, and the entropy of the noise of each pixel.
    expected = -np.log(2) - 16 * stats.norm(scale=0.1).entropy()
    values = model.score_samples(X)
    assert values.mean() == pytest.approx(expected, abs=1.0)
