"""The sum over devices as a node of a graph where there is one device; jax/test_device_sums.py has several."""

import numpy as np
import pytensor
import pytensor.tensor as pt

from dpm.engines.device_sums import sum_over_devices


def test_one_device_has_the_sums_already():
    """Scalars and vectors come back in their order and shapes, in PyTensor's own implementation."""
    given = [pt.scalar("a"), pt.tensor("v", shape=(3,)), pt.scalar("b"), pt.tensor("w", shape=(1,))]
    function = pytensor.function(given, sum_over_devices(given), mode="FAST_COMPILE")
    values = [1.0, np.arange(3.0), 2.0, np.array([7.0])]
    for found, expected in zip(function(*values), values, strict=True):
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_array_equal(found, expected)
