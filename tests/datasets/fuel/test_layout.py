"""Fuel's layout: sets by rows and by indices, unavailable sources, examples of variable shape."""

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import H5PYDataset, write_hdf5


@pytest.mark.parametrize("in_memory", [True, False])
def test_set_defined_by_indices_comes_in_increasing_order(fuel, in_memory):
    path = fuel / "custom_indices.hdf5"
    with h5py.File(path) as file:
        assert file["valid_idx"][...].tolist() == [8, 1, 5]
        rows = file["features"][...]
    dataset = H5PYDataset(path, ("valid",), load_in_memory=in_memory)
    np.testing.assert_array_equal(dataset.get_data(request=slice(None))[0], rows[[1, 5, 8]])
    np.testing.assert_array_equal(dataset.get_data(request=[2, 0, 2])[0], rows[[8, 1, 8]])
    dataset.close(None)


def test_unavailable_source_is_not_provided(fuel):
    path = fuel / "custom_indices.hdf5"
    assert H5PYDataset(path, ("test",)).provides_sources == ("features",)
    with pytest.raises(InputError, match="'targets'"):
        H5PYDataset(path, ("test",), sources=("targets",))


def test_several_sets_are_joined_without_repeats(fuel):
    dataset = H5PYDataset(fuel / "custom_indices.hdf5", ("train", "valid"), load_in_memory=True)
    with h5py.File(fuel / "custom_indices.hdf5") as file:
        expected = file["features"][[0, 1, 2, 3, 4, 5, 6, 8]]
    np.testing.assert_array_equal(dataset.get_data(request=slice(None))[0], expected)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("which", ["train", "test"])
def test_examples_of_variable_shape_are_an_object_array(fuel, which, in_memory):
    dataset = H5PYDataset(fuel / "vlen.hdf5", (which,), load_in_memory=in_memory)
    with h5py.File(fuel / "vlen.hdf5") as file:
        first = {"train": 0, "test": 4}[which]
        shapes = file["image_features_shapes"][...]
        flat = [file["image_features"][row] for row in range(6)]
    request = [*range(dataset.num_examples - 1, -1, -1), 1]
    (images,) = dataset.get_data(request=request)
    assert images.dtype == object
    for image, row in zip(images, request, strict=True):
        assert image.dtype == np.uint8
        assert image.shape == tuple(shapes[first + row])
        np.testing.assert_array_equal(image.ravel(), flat[first + row])
    assert dataset.axis_labels == {"image_features": ("batch", "channel", "height", "width")}
    assert dataset.shapes == {"image_features": None}
    dataset.close(None)


def test_unknown_set_error_lists_the_sets(fuel):
    with pytest.raises(InputError, match=r"'valid'.*its sets: test, train"):
        H5PYDataset(fuel / "mnist.hdf5", ("valid",))


def test_interrupted_conversion_is_refused(tmp_path, sets):
    path = tmp_path / "half.hdf5"
    write_hdf5(path, sets)
    with h5py.File(path, "a") as file:
        del file["features"]
        file.create_dataset("features", (57, 3, 8, 8), np.uint8)
    with pytest.raises(InputError, match="'features' was never written"):
        H5PYDataset(path, ("train",))


def test_split_beyond_the_data_is_refused(tmp_path, sets):
    path = tmp_path / "short.hdf5"
    write_hdf5(path, sets)
    with h5py.File(path, "a") as file:
        split = file.attrs["split"]
        split["stop"] += 1
        file.attrs["split"] = split
    with pytest.raises(InputError, match=r"rows 50\.\.57 of 57"):
        H5PYDataset(path, ("test",))


def test_source_of_texts_is_refused(tmp_path):
    path = tmp_path / "x.hdf5"
    write_hdf5(path, {"train": {"features": np.zeros((3, 1, 4, 4))}})
    with h5py.File(path, "a") as file:
        del file["features"]
        file["features"] = ["one", "two", "three"]
    with pytest.raises(InputError, match="source 'features' holds texts"):
        H5PYDataset(path, ("train",))
