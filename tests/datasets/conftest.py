"""Fixtures for the tests of Fuel's layout."""

import numpy as np
import pytest

LABELS = {"features": ("batch", "channel", "height", "width"), "targets": ("batch", "index")}


@pytest.fixture
def fuel(golden):
    """The folder of files written by Fuel."""
    return golden / "fuel"


@pytest.fixture
def sets():
    """Two sets of two sources, for write_hdf5."""
    rng = np.random.default_rng(0)
    return {
        name: {
            "features": rng.integers(0, 256, (n, 3, 8, 8), np.uint8),
            "targets": rng.integers(0, 10, (n, 1), np.uint8),
        }
        for name, n in (("train", 50), ("test", 7))
    }
