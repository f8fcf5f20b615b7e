"""Image layout: color axis first, square, equal shapes of training and test images."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import ImageData
from dpm.datasets.images import channel_first

COUNT = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)


def test_color_axis_is_moved_to_the_front():
    np.testing.assert_array_equal(channel_first(COUNT, "x"), COUNT)
    np.testing.assert_array_equal(channel_first(COUNT.transpose(0, 2, 3, 1), "x"), COUNT)
    np.testing.assert_array_equal(channel_first(COUNT[:, 0], "x"), COUNT[:, :1])
    np.testing.assert_array_equal(channel_first(COUNT[:, 0, :, :, None], "x"), COUNT[:, :1])
    assert channel_first(COUNT.transpose(0, 2, 3, 1), "x").flags.c_contiguous


def test_axis_labels_resolve_ambiguous_shapes():
    small = np.arange(2 * 27).reshape(2, 3, 3, 3)
    labels = ("batch", "height", "width", "channel")
    np.testing.assert_array_equal(channel_first(small, "x"), small)
    np.testing.assert_array_equal(channel_first(small, "x", labels), small.transpose(0, 3, 1, 2))
    permuted = COUNT.transpose(3, 2, 1, 0)
    np.testing.assert_array_equal(channel_first(permuted, "x", ("width", "height", "channel", "batch")), COUNT)
    np.testing.assert_array_equal(
        channel_first(COUNT[:, 0].transpose(1, 2, 0), "x", ("height", "width", "batch")), COUNT[:, :1]
    )


@pytest.mark.parametrize(
    "shape",
    [
        (2, 4, 8, 8),
        (2, 8, 8, 4),
        (2, 2, 8, 8),
        (2, 1, 8, 6),
        (2, 8, 6),
        (2, 8, 6, 3),
        (2, 784),
        (0, 1, 8, 8),
        (5,),
    ],
    ids=str,
)
def test_other_shapes_are_refused_with_their_shape(shape):
    with pytest.raises(InputError) as caught:
        channel_first(np.zeros(shape), "file x")
    assert str(caught.value).startswith("file x: ")
    assert str(shape) in str(caught.value)
    assert "square" in str(caught.value)


def test_different_training_and_test_shapes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\(1, 4, 4\).*\(3, 4, 4\)"):
        ImageData("MNIST", tmp_path, np.zeros((3, 1, 4, 4)), np.zeros((3, 3, 4, 4)))
