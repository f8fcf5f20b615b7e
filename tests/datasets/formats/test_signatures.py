"""Formats of files by their first bytes."""

import io

import h5py
import numpy as np
import pytest
from PIL import Image

from dpm.datasets.formats.signatures import find_format, first_bytes, is_hdf5


def write(path, kind):
    if kind in ("png", "jpeg"):
        Image.new("L", (4, 4)).save(path, kind)
    elif kind == "hdf5":
        with h5py.File(path, "w", userblock_size=2048) as file:
            file["x"] = np.arange(3)
    else:
        with open(path, "wb") as stream:
            (np.save if kind == "npy" else np.savez)(stream, np.arange(3))


@pytest.mark.parametrize("kind", ["hdf5", "png", "jpeg", "zip", "npy"])
def test_format_is_found_whatever_the_name(tmp_path, kind):
    """Files as h5py, Pillow and numpy write them; HDF5 also behind a user block."""
    write(tmp_path / "x.txt", kind)
    assert find_format(tmp_path / "x.txt") == kind
    assert is_hdf5(tmp_path / "x.txt") == (kind == "hdf5")


def test_other_files_have_no_format(tmp_path):
    (tmp_path / "x.hdf5").write_bytes(b"hello")
    assert find_format(tmp_path / "x.hdf5") is None
    assert first_bytes(tmp_path / "x.hdf5") == b"hello"
    assert not is_hdf5(tmp_path / "none")
    assert not is_hdf5(tmp_path)
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "GIF")
    (tmp_path / "x.gif").write_bytes(stream.getvalue())
    assert find_format(tmp_path / "x.gif") is None
