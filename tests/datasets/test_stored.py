"""Images on the disk equal the same images in memory."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import H5PYDataset, Scaling, to_unit_range, write_hdf5
from dpm.datasets.images import channel_first
from dpm.datasets.stored import PreparedImages, StoredImages

SHAPES = {"channel first": (9, 3, 6, 6), "channel last": (9, 6, 6, 3), "gray": (9, 6, 6)}


def stored(folder, images, large=False, **keywords):
    write_hdf5(folder / "x.hdf5", {"train": {"features": images}}, **keywords)
    return StoredImages(H5PYDataset(folder / "x.hdf5", ("train",), sources=("features",)), large)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("request_", [slice(2, 7), np.array([5, 0, 5]), slice(None)], ids=str)
def test_stored_images_equal_the_array(tmp_path, shape, request_):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    whole, here = channel_first(images, "x"), stored(tmp_path, images)
    assert (here.shape, here.ndim, here.size, here.dtype) == (whole.shape, 4, whole.size, whole.dtype)
    np.testing.assert_array_equal(here[request_], whole[request_])


def test_axis_labels_of_the_file_are_used(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 3), np.uint8)
    labels = {"features": ("batch", "height", "width", "channel")}
    np.testing.assert_array_equal(stored(tmp_path, images, axis_labels=labels)[:], images.transpose(0, 3, 1, 2))


def test_images_must_be_square_unless_large(tmp_path):
    images = np.zeros((4, 1, 5, 8), np.uint8)
    with pytest.raises(InputError, match=r"x\.hdf5, train: images of shape \(4, 1, 5, 8\); accepted are square"):
        stored(tmp_path, images)
    assert stored(tmp_path, images, large=True).shape == (4, 1, 5, 8)


def test_images_of_different_shapes_are_refused_with_a_fix(golden):
    dataset = H5PYDataset(golden / "fuel" / "vlen.hdf5", ("train",), sources=("image_features",))
    with pytest.raises(InputError, match=r"the images differ in shape.*export"):
        StoredImages(dataset)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["levels", "unit", "continuous"])
def test_prepared_batches_are_bit_exact_with_preparing_all_images(tmp_path, kind, dtype):
    levels = np.random.default_rng(1).integers(0, 256, (20, 1, 4, 4), np.uint8)
    images = {"levels": levels, "unit": (levels / 255).astype(np.float32), "continuous": levels * 0.37 - 11}[kind]
    unit, quantized = to_unit_range(images, dtype="float32")
    scaling = Scaling.fit(unit)
    expected = scaling.forward(unit).astype(dtype)
    factor = {"levels": 1, "unit": 255, "continuous": None}[kind]
    assert quantized == (factor is not None)
    prepared = PreparedImages(stored(tmp_path, images), factor, scaling, dtype)
    for request in (slice(None), np.array([3, 3, 19])):
        assert prepared[request].dtype == dtype
        np.testing.assert_array_equal(prepared[request], expected[request])
