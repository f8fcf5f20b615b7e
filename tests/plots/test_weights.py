"""Test tiles of weights: each value at its place and in its color, and what the picture says about the rest."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from dpm.base.errors import InputError
from dpm.plots import weights
from dpm.plots.charts import PERCENTILE, make_figure, symmetric_limit

GRAY = to_rgb(weights.GAP)


def tiles_of(values, row="filter", column="channel"):
    """Return the axes and the RGB image of drawn tiles."""
    _, axes = make_figure(4, 4, 1, 1)
    weights.draw_tiles(axes, values, row, column)
    return axes, np.asarray(axes.images[0].get_array())


def color(value, limit):
    return colormaps["RdBu_r"]((value / limit + 1) / 2)[:3]


def test_the_gap_is_no_color_of_a_value():
    colors = colormaps["RdBu_r"](np.linspace(0, 1, 1001))[:, :3]
    assert np.abs(colors - GRAY).max(axis=1).min() > 0.15


def test_each_value_has_its_place_and_color():
    """Two filters of two channels: with one row per filter, channels next to each other, gaps of one pixel."""
    values = np.arange(16.0).reshape(2, 2, 2, 2) - 8
    _, picture = tiles_of(np.tile(values, (1, 3, 1, 1)))
    assert picture.shape == (7, 19, 3)
    limit = symmetric_limit(np.tile(values, (1, 3, 1, 1)))
    for unit in range(2):
        for channel in range(2):
            tile = picture[1 + 3 * unit : 3 + 3 * unit, 1 + 3 * channel : 3 + 3 * channel]
            expected = [color(v, limit) for v in values[unit, channel].ravel()]
            np.testing.assert_allclose(tile.reshape(-1, 3), expected, atol=1e-9)
    np.testing.assert_allclose(picture[::3].reshape(-1, 3), np.tile(GRAY, (3 * 19, 1)))
    np.testing.assert_allclose(picture[:, ::3].reshape(-1, 3), np.tile(GRAY, (7 * 7, 1)))


def test_maps_of_one_channel_are_in_reading_order_and_zero_is_white():
    values = np.zeros((5, 1, 1, 1))
    values[3] = 1
    axes, picture = tiles_of(values)
    assert picture.shape == (5, 7, 3)
    np.testing.assert_allclose(picture[3, 1], color(1, 1), atol=1e-9)
    np.testing.assert_allclose(picture[1, 1], color(0, 1), atol=1e-9)
    np.testing.assert_allclose(picture[3, 5], GRAY)  # the sixth place is empty
    assert axes.get_xlabel() == "filter 0 to 4 in reading order"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_magenta_and_do_not_count(bad):
    _, picture = tiles_of(np.array([1.0, bad]).reshape(1, 2, 1, 1))
    assert picture[1, 3].tolist() == [1, 0, 1]
    np.testing.assert_allclose(picture[1, 1], color(1, 1), atol=1e-9)


def test_few_outliers_do_not_stretch_the_scale_and_are_counted():
    """numpy's percentile of 1..1000 and one value of a million; the color bar has pointed ends."""
    values = np.append(np.arange(1.0, 1000), 1e6)
    assert symmetric_limit(-values) == np.percentile(values, PERCENTILE, method="higher") < 1000
    axes, _ = tiles_of(values.reshape(10, 10, 2, 5))
    (bar,) = axes.figure.axes[1:]
    assert bar.get_ylabel() == "value; 4 of 1,000 beyond"
    assert tiles_of(np.ones((2, 2, 1, 1)))[0].figure.axes[1].get_ylabel() == "value"


@pytest.mark.parametrize(("values", "limit"), [([], 1), ([0.0, 0.0], 1), ([0.0] * 999 + [-7.0], 7)])
def test_the_scale_of_few_values_other_than_zero_shows_them(values, limit):
    assert symmetric_limit(np.array(values)) == limit


@pytest.mark.parametrize(
    ("shape", "title", "ylabel"),
    [
        ((784, 500), "first 100 of 500 units", ""),
        ((48, 7), "all 7 units", ""),
        ((128, 64, 3, 3), "first 100 of 128 filters", "filter"),
        ((20, 20, 3, 3), "all 20 filters", "filter"),
    ],
)
def test_the_title_says_what_was_left_out(shape, title, ylabel):
    figure = weights.draw_receptive_fields(np.ones(shape), 100, "layer.W")
    assert figure.get_suptitle() == f"layer.W\n{title}"
    assert figure.axes[0].get_ylabel() == ylabel


def test_a_dense_unit_of_color_images_has_channels_first():
    """The weight from (channel 2, row 1, column 3) of 3 x 4 x 4 inputs."""
    values = np.zeros((48, 2))
    values[np.ravel_multi_index((2, 1, 3), (3, 4, 4)), 1] = 5
    fields, row, column = weights.select_fields(values)
    assert (row, column) == ("unit", "color")
    assert np.argwhere(fields).tolist() == [[1, 2, 1, 3]]


@pytest.mark.parametrize("shape", [(500, 20), (9,), (4, 1, 3, 5), (2, 2, 2), (9, 0)])
def test_weights_of_other_shapes_raise_an_error(shape):
    with pytest.raises(InputError, match=r"weights: .*\(" + str(shape)[1:-1]):
        weights.select_fields(np.zeros(shape))


def test_a_bias_with_a_value_per_place_is_drawn_as_maps():
    """(filters, h, w) of a convolution; of a dense layer (width, width, channels), as regression.apply_dense_lower."""
    bias = np.random.default_rng(0).normal(size=(4, 4, 3))
    np.testing.assert_array_equal(weights.select_maps(bias, None), bias)
    np.testing.assert_array_equal(weights.select_maps(bias.ravel(), 4), bias.transpose(2, 0, 1))
    assert weights.select_maps(bias.ravel(), 5) is None
    assert weights.select_maps(bias.ravel(), None) is None
    figure = weights.draw_parameter(bias, "b")
    assert figure.axes[0].get_xlabel() == "map 0 to 3 in reading order"


def test_channels_name_what_is_shown():
    values = np.random.default_rng(0).normal(size=(6, 70, 5, 5))
    figure = weights.draw_channels(values, "conv at t = 500")
    assert figure.get_suptitle() == "conv at t = 500\nfirst 4 of 6 images; first 64 of 70 channels"
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("channel", "image")
    labels = [int(text.get_text()) for text in figure.axes[0].get_xticklabels()]
    assert labels == list(range(0, 64, 2))
