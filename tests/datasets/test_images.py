"""Images as the model wants them: colors first, square, training and test alike."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import ImageData
from dpm.datasets.images import channel_first

COUNT = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)


def test_the_color_axis_comes_first_wherever_it_was():
    np.testing.assert_array_equal(channel_first(COUNT, "x"), COUNT)
    np.testing.assert_array_equal(channel_first(COUNT.transpose(0, 2, 3, 1), "x"), COUNT)
    np.testing.assert_array_equal(channel_first(COUNT[:, 0], "x"), COUNT[:, :1])
    np.testing.assert_array_equal(channel_first(COUNT[:, 0, :, :, None], "x"), COUNT[:, :1])
    assert channel_first(COUNT.transpose(0, 2, 3, 1), "x").flags.c_contiguous


def test_axis_labels_decide_where_the_shape_does_not():
    small = np.arange(2 * 27).reshape(2, 3, 3, 3)
    labels = ("batch", "height", "width", "channel")
    np.testing.assert_array_equal(channel_first(small, "x"), small)
    np.testing.assert_array_equal(channel_first(small, "x", labels), small.transpose(0, 3, 1, 2))
    turned = COUNT.transpose(3, 2, 1, 0)
    np.testing.assert_array_equal(channel_first(turned, "x", ("width", "height", "channel", "batch")), COUNT)
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
def test_rgba_other_colors_oblong_flat_and_no_images_are_refused_with_their_shape(shape):
    with pytest.raises(InputError) as caught:
        channel_first(np.zeros(shape), "file x")
    assert str(caught.value).startswith("file x: ")
    assert str(shape) in str(caught.value)
    assert "square" in str(caught.value)


def test_gray_training_and_colored_test_images_are_refused_with_both_shapes(tmp_path):
    with pytest.raises(InputError, match=r"\(1, 4, 4\).*\(3, 4, 4\)"):
        ImageData("MNIST", tmp_path, np.zeros((3, 1, 4, 4)), np.zeros((3, 3, 4, 4)))
