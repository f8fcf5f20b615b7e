"""Test the animations of vectors: a frame for each time, and each number at its place in it."""

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.plots.animations import animate_vectors
from dpm.plots.charts import BLUE


def frames(path):
    """Return the frames of a GIF, (n, height, width, 3)."""
    with Image.open(path) as image:
        assert image.format == "GIF"
        pixels = []
        for number in range(image.n_frames):
            image.seek(number)
            pixels.append(np.asarray(image.convert("RGB")).astype(int))
        return np.array(pixels)


def blue_center(frame):
    """Return (row, column), the middle of the pixels in the color of the points."""
    rgb = [int(BLUE[i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = np.nonzero(np.abs(frame - rgb).max(axis=2) < 40)
    return (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2


def test_points_move_over_axes_that_stay(tmp_path):
    """A point goes right by the same number of pixels in each step, and then as many up."""
    path = np.array([[[-1.0, -1.0]], [[0.0, -1.0]], [[1.0, -1.0]], [[1.0, 1.0]]])
    shown = frames(animate_vectors(path, [30, 20, 10, 0], tmp_path / "a.gif"))
    assert len(shown) == 4
    centers = np.array([blue_center(frame) for frame in shown])
    steps = np.diff(centers, axis=0)
    np.testing.assert_allclose(steps[0], steps[1], atol=1)
    np.testing.assert_allclose(steps[0][0], 0, atol=1)
    assert steps[0][1] > 50
    np.testing.assert_allclose(steps[2], [-2 * steps[0][1], 0], atol=2)


def test_sequences_are_rows_from_white_to_black(tmp_path):
    """In each frame the share of black of the panel is the share of ones, up to its border."""
    states = np.zeros((3, 8, 20))
    states[1, :, :10] = states[2] = 1
    shown = frames(animate_vectors(states, [2, 1, 0], tmp_path / "a.gif"))
    panel = shown[:, 60:430, 90:480].mean(axis=-1)
    assert [float((frame < 128).mean().round(1)) for frame in panel] == [0.0, 0.5, 1.0]
    assert panel[1][:, :150].max() < 50
    assert panel[1][:, 250:].min() > 200


def test_times_are_written_above_the_frames(tmp_path):
    """Frames of equal states differ in their titles only."""
    shown = frames(animate_vectors(np.zeros((2, 3, 2)), [12, 0], tmp_path / "a.gif"))
    rows = np.nonzero((shown[0] != shown[1]).any(axis=(1, 2)))[0]
    assert 0 < rows.min() <= rows.max() < 42


@pytest.mark.parametrize(
    ("states", "times", "fps", "words"),
    [
        (np.zeros((2, 3, 2)), [1], 10, "for 1 times"),
        (np.zeros((2, 3, 1)), [1, 0], 10, "vectors of 2 or more"),
        (np.zeros((2, 3, 2)), [1, 0], 99, "fps: got 99"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path, states, times, fps, words):
    with pytest.raises(InputError, match=words):
        animate_vectors(states, times, tmp_path / "a.gif", fps)
    assert list(tmp_path.iterdir()) == []
