"""Export of HDF5 data sets to numpy files and PNG images."""

import os

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.datasets import write_hdf5
from dpm.datasets.exporting import export_npz, export_png

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 6), np.uint8)


def save(folder, **members):
    write_hdf5(folder / "x.hdf5", {"train": members})
    return folder / "x.hdf5"


def test_npz_has_every_source_of_every_set(tmp_path):
    path = save(tmp_path, features=IMAGES, targets=np.arange(4)[:, None])
    export_npz(path, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        assert sorted(file) == ["train_features", "train_targets"]
        np.testing.assert_array_equal(file["train_features"], IMAGES)


@pytest.mark.parametrize(
    "convert", [lambda x: x, lambda x: x / 255, lambda x: x[:, 0]], ids=["color", "floats", "gray"]
)
def test_png_files_have_the_pixels(tmp_path, convert):
    export_png(save(tmp_path, features=convert(IMAGES)), tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out" / "train")) == [f"0000{i}.png" for i in range(4)]
    with Image.open(tmp_path / "out" / "train" / "00002.png") as image:
        expected = IMAGES[2].transpose(1, 2, 0)
        np.testing.assert_array_equal(np.asarray(image), expected[..., 0] if image.mode == "L" else expected)


def test_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists"):
        export_png(save(tmp_path, features=IMAGES), tmp_path / "out")


def test_missing_parent_folder_is_an_error(tmp_path):
    path = save(tmp_path, features=IMAGES)
    with pytest.raises(InputError, match="cannot be written"):
        export_png(path, tmp_path / "none" / "out")
    with pytest.raises(InputError, match="cannot be written"):
        export_npz(path, tmp_path / "none" / "x.npz")


def test_values_that_are_not_pixels_leave_nothing_behind(tmp_path):
    path = save(tmp_path, features=np.full((2, 1, 4, 4), 3.5))
    with pytest.raises(InputError, match=r"00000\.png: values 3\.5\.\.3\.5 are not pixels"):
        export_png(path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.hdf5"]
