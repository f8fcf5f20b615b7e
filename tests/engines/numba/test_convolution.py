"""The neighbors that Numba's convolution multiplies, against numpy; all of it is in tests/graph/test_same_conv.py."""

import numba
import numpy as np
import pytest

from dpm.engines.numba.convolution import fill_neighbors


@numba.njit
def fill(image, k, neighbors):
    """Call fill_neighbors, which can be called only from compiled code."""
    fill_neighbors(image, k, neighbors)


@pytest.mark.parametrize(("height", "width", "channels", "k"), [(4, 4, 2, 3), (1, 1, 1, 3), (3, 5, 1, 5), (2, 3, 4, 1)])
def test_a_pixel_has_its_neighbors_in_its_row_with_zeros_outside(height, width, channels, k):
    image = np.random.default_rng(0).standard_normal((height, width, channels))
    neighbors = np.zeros((height, width, k * channels))
    for _ in range(2):  # the buffer is used again for the next image
        fill(image, k, neighbors)
    around = np.pad(image, ((0, 0), (k // 2, k // 2), (0, 0)))
    expected = [[around[y, x : x + k].ravel() for x in range(width)] for y in range(height)]
    np.testing.assert_array_equal(neighbors, expected)
