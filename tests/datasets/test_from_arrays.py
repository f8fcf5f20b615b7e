"""Image data from arrays: layout, checks and messages as for files, and the split of a test set."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import image_data_from_arrays, load, write_hdf5
from dpm.datasets.from_arrays import split_test_set

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 3), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_arrays_get_the_layout_of_the_model_and_keep_their_values(dtype):
    array = (PIXELS / 255).astype(dtype) if np.dtype(dtype).kind == "f" else PIXELS.astype(dtype)
    data = image_data_from_arrays(array, array[:4])
    assert (data.name, data.note) == ("arrays", "")
    assert data.train.dtype == data.test.dtype == dtype
    np.testing.assert_array_equal(data.train, array.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.test, array[:4].transpose(0, 3, 1, 2))


def test_gray_arrays_get_a_color_axis():
    gray = PIXELS[..., 0]
    for array in (gray, gray[:, None], gray[..., None], gray.tolist()):
        np.testing.assert_array_equal(image_data_from_arrays(array, array).train, gray[:, None])


def test_array_in_the_right_layout_is_not_copied():
    array = np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2))
    assert np.shares_memory(image_data_from_arrays(array, array[:4]).train, array)


def test_missing_test_set_is_split_off_by_share_and_seed():
    data, again, other = (image_data_from_arrays(PIXELS, test_share=0.25, seed=seed) for seed in (3, 3, 4))
    assert (len(data.train), len(data.test)) == (15, 5)
    np.testing.assert_array_equal(data.test, again.test)
    assert not np.array_equal(data.test, other.test)
    both = np.concatenate([data.train, data.test]).transpose(0, 2, 3, 1)
    assert sorted(map(np.ndarray.tobytes, both)) == sorted(map(np.ndarray.tobytes, PIXELS))


def test_images_need_not_be_square_for_crops():
    oblong = PIXELS[:, :, :4]
    with pytest.raises(InputError, match=r"^arrays \(train\): images of shape \(20, 6, 4, 3\); accepted are square"):
        image_data_from_arrays(oblong)
    assert image_data_from_arrays(oblong, large=True).train.shape == (18, 3, 6, 4)


def changed(value):
    array = (PIXELS / 255).copy()
    array[3, 1, 2, 0] = value
    return array


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (np.zeros((20, 36)), None, r"^mine \(train\): images of shape \(20, 36\)"),
        (np.zeros((0, 6, 6)), None, r"^mine \(train\): holds no images"),
        (np.full((9, 6, 6), 7), None, r"^mine \(train\): every value is 7"),
        (changed(np.nan), None, r"^mine \(train\): the value at index \(3, 0, 1, 2\) is nan"),
        (PIXELS, changed(np.inf), r"^mine \(test\): the value at index \(3, 0, 1, 2\) is inf"),
        (PIXELS.astype(int) - 300, None, r"^mine \(train\): integers -300\.\.-45"),
        (np.full((9, 6, 6), "a"), None, r"^mine \(train\): .*accepted are arrays of numbers"),
        (PIXELS, PIXELS[:, :5, :5], r"training images are \(3, 6, 6\), test images \(3, 5, 5\)"),
        (PIXELS, PIXELS + 0.3, r"^mine: only one of train and test is 8-bit pixels"),
        (PIXELS[:1], None, r"^test_share: 0\.1 of 1 image;"),
    ],
)
def test_unusable_arrays_are_errors_as_for_files(train, test, words):
    with pytest.raises(InputError, match=words) as caught:
        image_data_from_arrays(train, test, "mine")
    assert "\n" not in str(caught.value)


def test_arrays_and_a_file_with_them_give_the_same_images(tmp_path):
    labels = {"features": ("batch", "height", "width", "channel")}
    write_hdf5(tmp_path / "x.hdf5", {"train": {"features": PIXELS}, "test": {"features": PIXELS[:4]}}, labels)
    ours, theirs = image_data_from_arrays(PIXELS, PIXELS[:4]), load(tmp_path / "x.hdf5")
    np.testing.assert_array_equal(ours.train, theirs.train)
    np.testing.assert_array_equal(ours.test, theirs.test)


def test_groups_of_examples_stay_in_one_set():
    sets = split_test_set(np.arange(30), 0.3, seed=1, group=3)
    assert {part: len(rows) for part, rows in sets.items()} == {"train": 21, "test": 9}
    for rows in sets.values():
        np.testing.assert_array_equal(rows.reshape(-1, 3) - rows[::3, None], [[0, 1, 2]] * (len(rows) // 3))


@pytest.mark.parametrize("share", [0, 1, -0.5, 2, 0.99])
def test_share_that_leaves_a_set_empty_is_refused(share):
    with pytest.raises(InputError, match=rf"^test_share: {share} of 5 images"):
        split_test_set(np.arange(5), share)
