"""Conversion of folders of images and numpy files to training and test images."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.datasets.converting import convert_arrays, convert_bark, convert_images, convert_texture, cut_squares

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 3, 10, 10), np.uint8)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:02d}.png")
    return folder


def test_each_image_is_in_one_of_the_sets(folder):
    sets = convert_images(folder, 10, test_share=0.25)
    assert {part: images.shape for part, images in sets.items()} == {"train": (9, 3, 10, 10), "test": (3, 3, 10, 10)}
    both = np.concatenate(list(sets.values()))
    assert sorted(map(np.ndarray.tobytes, both)) == sorted(map(np.ndarray.tobytes, IMAGES))


def test_conversion_depends_on_the_seed(folder):
    first, again, other = (convert_images(folder, 4, "random", 2, seed=seed) for seed in (1, 1, 2))
    for part in ("train", "test"):
        np.testing.assert_array_equal(first[part], again[part])
        assert not np.array_equal(first[part], other[part])


@pytest.mark.parametrize(("crop", "each"), [("random", 4), ("center", 1)])
def test_bark_has_four_random_crops_or_one_central_crop_per_image(tmp_path, crop, each):
    for name in ("T01_01.png", "T04_09.png", "T05_01.png"):
        Image.fromarray(RNG.integers(0, 256, (24, 32, 3), np.uint8)).save(tmp_path / name)
    sets = convert_bark(tmp_path, 16, crop, test_share=0.5)
    assert sets["train"].shape == sets["test"].shape == (each, 1, 16, 16)


def test_folder_without_bark_is_an_error_with_the_source(folder):
    with pytest.raises(InputError, match=r"photos: holds no images named T01_\.\.\. to T04_\.\.\.; unpack T01 to T04"):
        convert_bark(folder)


def test_squares_cover_an_image_once_from_the_upper_left():
    image = np.arange(5 * 7).reshape(5, 7)
    squares = cut_squares(image, 2)
    assert squares.shape == (6, 1, 2, 2)
    np.testing.assert_array_equal(squares[[0, 2, 5], 0], [image[:2, :2], image[:2, 4:6], image[2:4, 4:6]])
    assert len(np.unique(squares)) == squares.size


def test_training_and_test_parts_of_the_photographs_do_not_overlap(monkeypatch):
    """Each pixel of these three "photographs" is unique, so a pixel in two squares would be found."""
    pixels = np.arange(3 * 512 * 512).reshape(3, 512, 512)
    names = ("brick", "grass", "gravel")
    data = SimpleNamespace(**{name: lambda i=i: pixels[i] for i, name in enumerate(names)})
    monkeypatch.setitem(sys.modules, "skimage", SimpleNamespace(data=data))
    sets = convert_texture()
    assert {part: images.shape for part, images in sets.items()} == {
        "train": (9, 1, 256, 256),
        "test": (3, 1, 256, 256),
    }
    assert len(np.unique(np.concatenate([images.ravel() for images in sets.values()]))) == pixels.size
    np.testing.assert_array_equal(sets["test"][:, 0], pixels[:, 256:, 256:])


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(
        InputError, match=r"scikit-image is not installed; take the extra: pip install -e \"\.\[figures\]\""
    ):
        convert_texture()


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (IMAGES.astype(np.uint16), np.uint16),
        (IMAGES.astype(np.uint16) * 16, np.float32),
        (IMAGES.astype(np.int16) - 128, np.float32),
        (IMAGES.astype(np.uint32) << 20, np.float64),
        (IMAGES / 255, np.float64),
    ],
    ids=["levels", "12 bits", "signed", "28 bits", "floats"],
)
def test_integers_that_are_no_pixels_become_floats_of_the_same_values(tmp_path, array, dtype):
    np.savez(tmp_path / "a.npz", x_train=array, x_test=array[:2])
    sets = convert_arrays(tmp_path / "a.npz")
    for part in ("train", "test"):
        assert sets[part].dtype == dtype
        np.testing.assert_array_equal(sets[part], array[: len(sets[part])])


def test_arrays_that_cannot_be_trained_on_are_refused_at_once(tmp_path):
    np.savez(tmp_path / "a.npz", np.where(IMAGES[3, 1, 2, 4] == IMAGES, np.nan, IMAGES))
    with pytest.raises(InputError, match=r"a\.npz \(train\): the value at index .* is nan"):
        convert_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x_train=IMAGES * 16.0, x_test=IMAGES * 1.0)
    with pytest.raises(InputError, match="only one of train and test is 8-bit pixels"):
        convert_arrays(tmp_path / "b.npz")


def test_images_of_one_gray_level_are_refused(tmp_path):
    for i in range(3):
        Image.new("L", (4, 4), 9).save(tmp_path / f"{i}.png")
    with pytest.raises(InputError, match=r"\(train\): every value is 9"):
        convert_images(tmp_path, 4)


def test_test_images_of_a_file_are_kept(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=IMAGES, x_test=IMAGES[:2])
    sets = convert_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(sets["train"], IMAGES)
    np.testing.assert_array_equal(sets["test"], IMAGES[:2])
    with pytest.raises(InputError, match=r"^test_share: .*a\.npz has test images"):
        convert_arrays(tmp_path / "a.npz", test_share=0.5)


def test_test_set_is_split_off_a_file_without_one(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, others=IMAGES)
    assert {part: len(images) for part, images in convert_arrays(tmp_path / "a.npz").items()} == {
        "train": 11,
        "test": 1,
    }
    assert len(convert_arrays(tmp_path / "a.npz", "others", test_share=0.5)["test"]) == 6
