"""Test the files of vectors: the arrays are exact, and the plot shows each number at its place."""

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.plots.charts import BLUE
from dpm.plots.vectors import ROWS, save_vectors


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)[..., :3].astype(int)


def blue(path):
    """Return a mask of the pixels in the color of the data, up to the blending at edges."""
    rgb = [int(BLUE[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(pixels(path) - rgb).max(axis=2) < 8


@pytest.mark.parametrize("size", [2, 5])
def test_the_arrays_are_saved_exactly_with_their_plot(tmp_path, size):
    X = np.random.default_rng(0).standard_normal((6, size)).astype("float32")
    paths = save_vectors(X, tmp_path / "v_t0010.5", log_Z=-1.5)
    assert paths == (tmp_path / "v_t0010.5.npz", tmp_path / "v_t0010.5.png")
    with np.load(paths[0]) as file:
        assert sorted(file) == ["X", "log_Z"]
        assert file["X"].dtype == np.float32
        np.testing.assert_array_equal(file["X"], X)
        assert file["log_Z"] == -1.5
    assert pixels(paths[1]).min() < 255


def test_vectors_of_two_numbers_are_points(tmp_path):
    """One point is far right, one is at the top, and both axes have the same units."""
    _, path = save_vectors(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), tmp_path / "points")
    rows, columns = np.nonzero(blue(path))
    middle = (columns.min() + columns.max()) / 2
    assert (columns > middle).any()
    width, height = np.ptp(columns), np.ptp(rows)
    assert width / height == pytest.approx(2, rel=0.05)


def test_sequences_are_rows_from_white_to_black_above_their_means(tmp_path):
    """With a 1 in the first of four elements, the first quarter is black and its mean is the only bar."""
    X = np.zeros((10, 4))
    X[:, 0] = 1
    _, path = save_vectors(X, tmp_path / "sequences")
    shown = pixels(path).sum(axis=2)
    line = shown[shown.shape[0] // 3] < 60  # a line of pixels through the rows
    black, width = np.flatnonzero(line), shown.shape[1]
    quarter = black[black < width / 2]
    assert len(quarter) == pytest.approx((black.max() - black.min()) / 4, rel=0.05)
    assert np.ptp(quarter) == len(quarter) - 1
    assert len(black) - len(quarter) < 5  # the frame on the right
    rows, columns = np.nonzero(blue(path))
    assert columns.max() < width / 2
    assert rows.min() > shown.shape[0] / 2


def test_only_the_first_rows_are_shown_and_the_means_are_of_all_rows(tmp_path):
    """Beyond the rows shown, the row of a single 1 does not change the plot, but its presence does."""

    def plot(*ones):
        X = np.zeros((2 * ROWS, 4))
        X[list(ones), 0] = 1
        return save_vectors(X, tmp_path / "v")[1].read_bytes()

    assert plot(ROWS) == plot(ROWS + 1)
    assert plot(ROWS - 1) != plot(ROWS)
    assert plot(ROWS, ROWS + 1) != plot(ROWS)


def test_one_vector_and_equal_values_can_be_plotted(tmp_path):
    for name, X in (("one", np.ones((1, 2))), ("zeros", np.zeros((3, 4)))):
        assert pixels(save_vectors(X, tmp_path / name)[1]).min() < 255


def test_an_absent_folder_raises_an_error_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        save_vectors(np.zeros((2, 2)), tmp_path / "nowhere" / "v")
    assert list(tmp_path.iterdir()) == []
