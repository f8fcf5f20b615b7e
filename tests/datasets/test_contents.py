"""Inspection of data files: sources, tables, sizes, gray values."""

import hashlib

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import write_hdf5
from dpm.datasets.contents import first_images, open_sets, read_gray_values, size_in_bytes, summarize

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 3, 6, 6), np.uint8)


def idx(array):
    return b"\0\0\x08\x03" + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def test_sources_of_a_set_are_opened_by_name(tmp_path):
    targets = np.arange(9)[:, None]
    write_hdf5(tmp_path / "x.hdf5", {"train": {"features": IMAGES, "targets": targets}, "test": {"features": IMAGES}})
    sets = open_sets(tmp_path / "x.hdf5")
    assert {part: list(members) for part, members in sets.items()} == {
        "train": ["features", "targets"],
        "test": ["features"],
    }
    np.testing.assert_array_equal(sets["train"]["features"][2:4], IMAGES[2:4])
    np.testing.assert_array_equal(sets["train"]["targets"][:], targets)


def test_arrays_and_idx_files_are_opened_under_their_names(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES, scale=np.float64(2.0))
    (tmp_path / "b").write_bytes(idx(IMAGES[:, 0]))
    sets = open_sets(tmp_path / "a.npz")
    assert {name: array.shape for name, array in sets["a"].items()} == {"x": (9, 3, 6, 6), "scale": (1,)}
    np.testing.assert_array_equal(open_sets(tmp_path / "b")["b"]["features"], IMAGES[:, :1])


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: there is no such file"):
        open_sets(tmp_path / "none.npz")


def test_table_has_shape_type_range_and_hash(golden):
    array = IMAGES.astype(np.float32) / 2
    table = summarize({"train": {"features": array, "names": np.array([b"a", b"b"])}})
    digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
    span = f"{array.min():g}..{array.max():g}"
    assert table[0] == ("set", "source", "examples", "each", "type", "range", "sha256")
    assert table[1] == ("train", "features", "9", "3 x 6 x 6", "float32", span, digest)
    assert table[2][:6] == ("train", "names", "2", "1", "|S1", "none")
    variable = summarize(open_sets(golden / "fuel" / "vlen.hdf5"))
    assert variable[1][2:4] == ("4", "variable")


def test_size_of_a_file_and_of_a_folder(tmp_path):
    (tmp_path / "a").write_bytes(bytes(10))
    (tmp_path / "b").write_bytes(bytes(5))
    (tmp_path / "c").mkdir()
    assert size_in_bytes(tmp_path / "a") == 10
    assert size_in_bytes(tmp_path) == 15


@pytest.mark.parametrize(("shape", "found"), [((9, 3, 6, 6), True), ((9, 6, 6, 3), False), ((9, 36), False)], ids=str)
def test_first_images_have_the_color_axis_first(shape, found):
    array = np.zeros(shape)
    assert (first_images({"train": {"targets": np.zeros((9, 1)), "features": array}}) is array) == found


def test_gray_values_are_pixels_in_the_unit_range(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    np.testing.assert_array_equal(read_gray_values(tmp_path / "a.npy"), IMAGES.ravel() / 255)


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.arange(5), "holds no images"), (np.linspace(0, 9.5, 36).reshape(1, 6, 6), "no 8-bit pixels")],
)
def test_gray_values_need_8_bit_images(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=rf"^intensities: .*a\.npy {words}|^intensities: .*a\.npy holds {words}"):
        read_gray_values(tmp_path / "a.npy")
