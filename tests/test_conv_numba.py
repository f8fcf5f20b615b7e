"""The patches that Numba's convolution multiplies, against numpy; the whole of it is in test_conv.py."""

import numba
import numpy as np
import pytest

from dpm.conv_numba import fill_patches


@numba.njit
def filled(picture, k, padded, patches):
    """fill_patches is compiled to be called from compiled code alone."""
    fill_patches(picture, k, padded, patches)


@pytest.mark.parametrize(("height", "width", "channels", "k"), [(4, 4, 2, 3), (1, 1, 1, 3), (3, 5, 1, 5), (2, 3, 4, 1)])
def test_a_patch_is_the_neighbourhood_with_zeros_outside(height, width, channels, k):
    picture = np.random.default_rng(0).standard_normal((height, width, channels))
    padded = np.zeros((height + k - 1, (width + k - 1) * channels))
    patches = np.full((height * width, k * k * channels), np.nan)
    for _ in range(2):  # the buffers are used again for the next picture
        filled(picture, k, padded, patches)
    around = np.pad(picture, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    expected = [around[y : y + k, x : x + k].ravel() for y in range(height) for x in range(width)]
    np.testing.assert_array_equal(patches, expected)
