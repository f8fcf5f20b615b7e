"""MNIST is found in the data path and read as real Fuel wrote it."""

import numpy as np
import pytest

from dpm.datasets.fuel.datasets import MNIST
from dpm.datasets.fuel.exceptions import FileNotInPathError
from dpm.datasets.fuel.schemes import SequentialScheme
from dpm.datasets.fuel.streams import DataStream


@pytest.mark.parametrize("which", ["train", "test"])
def test_digits_of_a_file_of_fuel(fuel, monkeypatch, which):
    monkeypatch.setenv("FUEL_DATA_PATH", str(fuel))
    expected = np.load(fuel / "mnist_expected.npz")[which]
    mnist = MNIST((which,))
    assert mnist.load_in_memory
    assert mnist.num_examples == len(expected)
    np.testing.assert_array_equal(mnist.get_data(request=slice(None))[0][:, 0], expected)
    stream = DataStream.default_stream(mnist, iteration_scheme=SequentialScheme(mnist.num_examples, 4))
    features, targets = next(stream.get_epoch_iterator())
    np.testing.assert_array_equal(features[:, 0], expected[:4] * (1 / 255))
    assert targets.dtype == np.uint8


def test_a_missing_file_is_reported_with_the_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path))
    with pytest.raises(FileNotInPathError, match=rf"^mnist\.hdf5: is in none of the folders {tmp_path}"):
        MNIST(("train",))
