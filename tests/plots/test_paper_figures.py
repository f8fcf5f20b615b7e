"""Test Figures 1 and 2: one panel per state, and none is empty."""

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.plots import paper_figures
from dpm.plots.charts import BLUE, DARK, ORANGE


def color_in(path, color):
    rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
    with Image.open(path) as image:
        return (np.asarray(image)[..., :3] == rgb).all(axis=2)


def marked_columns(mask, parts):
    """Return for each of `parts` equal columns of an image whether it has marked pixels."""
    return [part.any() for part in np.array_split(mask, parts, axis=1)]


def test_figure_1_shows_data_model_and_drift_at_each_time(tmp_path):
    rng = np.random.default_rng(0)
    forward, reverse = ([rng.standard_normal((300, 2)) for _ in range(3)] for _ in range(2))
    points = rng.uniform(-2, 2, (20, 2))
    path = paper_figures.plot_figure_1(forward, reverse, [(points, -points)] * 3, [0, 20, 40], tmp_path / "f.png")
    assert path == tmp_path / "f.png"
    data, model, drift = (color_in(path, c) for c in (BLUE, ORANGE, DARK))
    for mask in (data, model, drift):
        assert marked_columns(mask, 3) == [True] * 3
    rows = [np.flatnonzero(mask.any(axis=1)) for mask in (data, model)]
    assert rows[0].max() < rows[1].min()  # the data above the model


def test_outliers_do_not_change_the_axes(tmp_path):
    """One stray sample must not shrink the figure: the axes are the same at all times."""
    states, drift = [np.zeros((5, 2))] * 2, [(np.zeros((1, 2)), np.ones((1, 2)))] * 2
    stray = [np.array([[0.0, 0], [1e6, 1e6], [0, 0], [0, 0], [0, 0]])] * 2
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, reverse in zip(paths, (states, stray), strict=True):
        paper_figures.plot_figure_1(states, reverse, drift, [0, 1], path)
    first, second = (np.asarray(Image.open(path)) for path in paths)
    assert (first != second).mean() < 1e-4  # except for the rounding at the edges of markers


def test_figure_2_shows_the_data_the_trajectory_and_the_rates(tmp_path):
    data = np.zeros((50, 20))
    data[:, ::5] = 1
    path = paper_figures.plot_figure_2(data, {2000: 1 - data, 0: data}, tmp_path / "f.png")
    assert color_in(path, "#000000").any()
    assert marked_columns(color_in(path, BLUE), 3) == [True] * 3
    again = paper_figures.plot_figure_2(data, {2000: data, 0: data}, tmp_path / "g.png")
    assert again.read_bytes() != path.read_bytes()


def test_another_file_ending_raises_an_error(tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        paper_figures.plot_figure_2(np.zeros((2, 4)), {0: np.zeros((2, 4))}, tmp_path / "f.txt")
