"""The neighbors that Numba's convolution multiplies, against numpy; the whole of it is in test_conv.py."""

import numba
import numpy as np
import pytest

from dpm.engines.numba.convolution import fill_neighbors


@numba.njit
def filled(picture, k, neighbors):
    """fill_neighbors is compiled to be called from compiled code alone."""
    fill_neighbors(picture, k, neighbors)


@pytest.mark.parametrize(("height", "width", "channels", "k"), [(4, 4, 2, 3), (1, 1, 1, 3), (3, 5, 1, 5), (2, 3, 4, 1)])
def test_a_pixel_has_its_neighbors_in_its_row_with_zeros_outside(height, width, channels, k):
    picture = np.random.default_rng(0).standard_normal((height, width, channels))
    neighbors = np.zeros((height, width, k * channels))
    for _ in range(2):  # the buffer is used again for the next picture
        filled(picture, k, neighbors)
    around = np.pad(picture, ((0, 0), (k // 2, k // 2), (0, 0)))
    expected = [[around[y, x : x + k].ravel() for x in range(width)] for y in range(height)]
    np.testing.assert_array_equal(neighbors, expected)
