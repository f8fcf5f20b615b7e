"""CIFAR-10 is found in the data path and read as real Fuel wrote it."""

import numpy as np
import pytest

from dpm.datasets.fuel.datasets import CIFAR10


@pytest.mark.parametrize("which", ["train", "test"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_photographs_of_a_file_of_fuel(fuel, monkeypatch, which, in_memory):
    monkeypatch.setenv("FUEL_DATA_PATH", str(fuel))
    expected = np.load(fuel / "cifar10_expected.npz")[which]
    cifar = CIFAR10((which,), load_in_memory=in_memory, sources=("features",))
    np.testing.assert_array_equal(cifar.get_data(request=slice(None))[0].reshape(expected.shape), expected)
    assert (cifar.data_sources is None) == (not in_memory)
    scaled = cifar.apply_default_transformers(cifar.get_example_stream())
    (first,) = next(scaled.get_epoch_iterator())
    assert first.dtype == np.float64
    assert first.min() >= 0
    assert first.max() <= 1
