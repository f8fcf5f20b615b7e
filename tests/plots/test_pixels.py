"""Test grids of images: places, levels, gaps and error messages."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.plots import pixels


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape)


def test_one_image_has_a_gray_frame():
    expected = [[128, 128, 128, 128], [128, 0, 255, 128], [128, 51, 102, 128], [128, 128, 128, 128]]
    grid = pixels.image_grid([[[[0.0, 1.0], [0.2, 0.4]]]])
    assert grid.dtype == np.uint8
    assert grid.tolist() == expected


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (3, 2, 2), (5, 2, 3), (49, 7, 7), (50, 7, 8)])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_images_are_in_reading_order_and_empty_cells_are_gray(n, rows, columns, gap):
    images = uniform(n, 1, 3, 2)
    grid = pixels.image_grid(images, gap=gap)
    assert grid.shape == (rows * (3 + gap) + gap, columns * (2 + gap) + gap)
    expected = np.full_like(grid, 128)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (3 + gap), gap + i % columns * (2 + gap)
        expected[top : top + 3, left : left + 2] = np.round(255 * image[0])
    np.testing.assert_array_equal(grid, expected)


def test_color_channels_stay_in_place():
    images = uniform(3, 3, 2, 4)
    grid = pixels.image_grid(images, rows=1, gap=0)
    np.testing.assert_array_equal(grid[:, 4:8], np.round(255 * images[1]).transpose(1, 2, 0))


@pytest.mark.parametrize(("rows", "shape"), [(1, (4, 16)), (2, (7, 10)), (4, (13, 7)), (9, (28, 4))])
def test_rows_can_be_chosen(rows, shape):
    assert pixels.image_grid(uniform(5, 1, 2, 2), rows=rows).shape == shape


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_eight_bit_levels_are_exact_and_values_outside_are_clipped(dtype):
    levels = (np.arange(256) / 255).astype(dtype).reshape(1, 1, 16, 16)
    np.testing.assert_array_equal(pixels.image_grid(levels, gap=0).ravel(), np.arange(256))
    assert pixels.image_grid(np.array([-0.1, 1.1, -1e4, 6e4], dtype).reshape(1, 1, 2, 2), gap=0).tolist() == [
        [0, 255],
        [0, 255],
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_pixels_are_magenta(channels, bad):
    images = np.full((2, channels, 2, 2), 0.2)
    images[1, channels - 1, 0, 1] = bad
    grid = pixels.image_grid(images, gap=0)
    expected = np.full((2, 4, 3), 51)
    expected[0, 3] = pixels.MAGENTA
    np.testing.assert_array_equal(grid, expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 28, 28)), r"\(2, 28, 28\); expected \(n, 1, h, w\) or \(n, 3, h, w\)"),
        (np.zeros((2, 28, 28, 3)), r"\(2, 28, 28, 3\); expected"),
        (np.zeros((2, 4, 8, 8)), r"\(2, 4, 8, 8\); expected"),
        (np.zeros((0, 1, 8, 8)), r"\(0, 1, 8, 8\); expected"),
        (np.zeros((1, 1, 8, 8), np.uint8), "uint8.*255"),
        (np.zeros((1, 1, 8, 8), complex), "complex128"),
    ],
)
def test_images_of_other_shapes_or_types_raise_an_error(images, message):
    with pytest.raises(InputError, match=message) as caught:
        pixels.image_grid(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [{"rows": 0}, {"rows": 1.5}, {"gap": -1}])
def test_invalid_layouts_raise_an_error(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        pixels.image_grid(np.zeros((1, 1, 2, 2)), **arguments)


def test_holes_are_where_the_images_of_a_grid_have_them():
    """As the grid of images that are white in the hole and black elsewhere, without its gaps."""
    hole = np.arange(3) < 2
    images = np.broadcast_to(hole, (4, 3, 2, 3)).astype(float)
    np.testing.assert_array_equal(pixels.hole_grid(hole, images.shape), pixels.image_grid(images)[..., 0] == 255)
