"""The bark-like texture has full contrast and cracks along the trunk, is stationary, and differs between draws."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.made.bark_like import bark_like

N, WIDTH = 24, 128


@pytest.fixture(scope="module")
def bark():
    return bark_like(np.random.default_rng(0), N, WIDTH)[:, 0]


def correlation(images, down, across):
    """Correlation of pixels at this distance, over all images."""
    height, width = images.shape[1:]
    return np.corrcoef(images[:, : height - down, : width - across].ravel(), images[:, down:, across:].ravel())[0, 1]


def standardized(images):
    return (images - images.mean()) / images.std()


def assert_equal_within_4_standard_errors(one, other):
    """Compare paired samples with one value per image."""
    difference = one - other
    assert difference.std() > 0
    assert abs(difference.mean()) < 4 * difference.std(ddof=1) / np.sqrt(len(difference))


@pytest.mark.parametrize(("n", "width"), [(1, 1), (2, 33), (1, 256)])
def test_textures_are_8_bit_gray_images(n, width):
    textures = bark_like(np.random.default_rng(0), n, width)
    assert textures.shape == (n, 1, width, width)
    assert textures.dtype == np.uint8


def test_each_texture_has_all_levels(bark):
    for image in bark:
        share = np.bincount(image.ravel(), minlength=256) / image.size
        assert share[0] > 0.009
        assert share[255] > 0.009
        assert (share > 0).all()
        assert share.max() < 0.2


def test_cracks_run_along_the_trunk(bark):
    # The first lag at which the correlation is below 1/e.
    lags = range(1, 60)
    down = next(lag for lag in lags if correlation(bark, lag, 0) < np.exp(-1))
    across = next(lag for lag in lags if correlation(bark, 0, lag) < np.exp(-1))
    assert down > 2 * across


def test_correlation_across_falls_and_rises_with_the_crack_distance(bark):
    across = np.array([correlation(bark, 0, lag) for lag in range(60)])
    assert across[12:20].min() < -0.1
    assert across[25:35].max() > across[12:20].min() + 0.1


def test_cracks_are_dark_and_cover_the_smaller_part(bark):
    assert (bark < 64).mean() < 0.4
    assert np.median(bark) > bark.mean()


@pytest.mark.parametrize("axis", [1, 2], ids=["down", "across"])
def test_statistics_are_equal_at_the_edges_and_in_the_middle(bark, axis):
    frames = np.moveaxis(bark.astype(float), axis, 1)
    middle = frames[:, WIDTH // 2 - 8 : WIDTH // 2 + 8]
    for edge in (frames[:, :16], frames[:, -16:]):
        assert_equal_within_4_standard_errors(edge.mean((1, 2)), middle.mean((1, 2)))
        assert_equal_within_4_standard_errors(edge.std((1, 2)), middle.std((1, 2)))
        for step in (1, 2):
            details = [np.abs(np.diff(part, axis=step)).mean((1, 2)) for part in (edge, middle)]
            assert_equal_within_4_standard_errors(*details)


def test_opposite_edges_do_not_match(bark):
    images = standardized(bark.astype(float))
    assert correlation(bark, 1, 0) > 0.7
    assert correlation(bark, 0, 1) > 0.7
    assert abs((images[:, 0] * images[:, -1]).mean()) < 0.15
    assert abs((images[:, :, 0] * images[:, :, -1]).mean()) < 0.15


def test_textures_are_uncorrelated(bark):
    flat = bark.reshape(N, -1).astype(float)
    between = np.corrcoef(flat)[np.triu_indices(N, 1)]
    assert np.abs(between).max() < 0.5
    assert abs(between.mean()) < 0.05


def test_textures_depend_on_the_seed_and_not_on_n(bark):
    np.testing.assert_array_equal(bark_like(np.random.default_rng(0), 2, WIDTH)[:, 0], bark[:2])
    assert (bark_like(np.random.default_rng(1), 1, WIDTH)[0, 0] != bark[0]).mean() > 0.9


@pytest.mark.parametrize(("n", "width", "message"), [(0, 8, r"^n=0: must be 1"), (1, 0, r"^width=0: must be 1")])
def test_invalid_arguments_are_refused(n, width, message):
    with pytest.raises(InputError, match=message):
        bark_like(np.random.default_rng(0), n, width)
