"""Images in HDF5 files of other programs: names, MATLAB's order of axes, and the refusal of what has no images."""

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.formats.plain_hdf5 import images_first, read_image_sets

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (5, 6, 7, 3), np.uint8)
GRAY = COLOR[..., 0]


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


@pytest.mark.parametrize(
    ("arrays", "train", "test"),
    [
        ({"data": COLOR}, "data", None),
        ({"x_train": COLOR, "x_test": GRAY, "y_train": np.arange(5)}, "x_train", "x_test"),
        ({"set__images": COLOR, "set__labels": np.arange(5)}, "set/images", None),
        ({"volume": COLOR, "fourier": np.ones(4, complex), "names": np.bytes_("x")}, "volume", None),
    ],
)
def test_names_decide_or_the_only_images(tmp_path, arrays, train, test):
    path = write(tmp_path / "x.h5", **arrays)
    found = read_image_sets(path)
    np.testing.assert_array_equal(found["train"], arrays[train.replace("/", "__")])
    assert set(found) == ({"train", "test"} if test else {"train"})
    if test:
        np.testing.assert_array_equal(found["test"], arrays[test])


def test_key_names_an_array_and_a_wrong_one_lists_all(tmp_path):
    path = write(tmp_path / "x.h5", a=COLOR, group__b=GRAY, other=np.arange(3))
    np.testing.assert_array_equal(read_image_sets(path, "group/b")["train"], GRAY)
    np.testing.assert_array_equal(read_image_sets(path, "/group/b")["train"], GRAY)
    listed = r"it has a \(5, 6, 7, 3\) uint8, group/b \(5, 6, 7\) uint8, other \(3,\) int64; name one with --key"
    with pytest.raises(InputError, match=rf"x\.h5: its names do not determine .*; {listed}"):
        read_image_sets(path)
    with pytest.raises(InputError, match=rf"has no array c; {listed}"):
        read_image_sets(path, "c")


def test_other_byte_orders_become_native(tmp_path):
    found = read_image_sets(write(tmp_path / "x.h5", data=GRAY.astype(">f4")))["train"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, GRAY)


@pytest.mark.parametrize("content", [{}, {"text": np.bytes_("hello")}, {"number": 3.0}])
def test_file_without_arrays_is_an_error(tmp_path, content):
    with pytest.raises(InputError, match=r"it has no arrays of numbers; name one"):
        read_image_sets(write(tmp_path / "x.h5", **content))


def test_fuel_and_damaged_files_are_named(tmp_path, fuel):
    with pytest.raises(InputError, match=r"mnist\.hdf5: is a data set in Fuel's layout already; train on it as it is"):
        read_image_sets(fuel / "mnist.hdf5")
    path = write(tmp_path / "x.h5", data=COLOR)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged or incomplete"):
        read_image_sets(path)


def save_matlab(path, name, array):
    """Write an array as MATLAB 7.3: a user block, the axes in reverse, and the class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = array.T
        file[name].attrs["MATLAB_class"] = np.bytes_(str(array.dtype))
        file["#refs#/a"] = array.T
        file["caption"] = np.arange(5, dtype=np.uint16)[:, None]
        file["caption"].attrs["MATLAB_class"] = np.bytes_("char")
    with open(path, "r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (COLOR.transpose(1, 2, 3, 0), COLOR.transpose(0, 3, 1, 2)),  # h, w, c, n: as SVHN is published
        (GRAY.transpose(1, 2, 0), GRAY),  # h, w, n
        (GRAY[:, :, :6].transpose(1, 2, 0), GRAY[:, :, :6]),
        (COLOR, COLOR),  # n, h, w, c
        (GRAY[:, :, :6], GRAY[:, :, :6]),  # n, w, w
    ],
)
def test_axes_of_matlab_are_put_in_order(tmp_path, array, expected):
    """MATLAB saves in column-major order, so that HDF5 has the axes in reverse."""
    np.testing.assert_array_equal(images_first(array), expected)
    found = read_image_sets(save_matlab(tmp_path / "x.mat", "photos", array))
    np.testing.assert_array_equal(found["train"], expected)
