"""Test Figures 1 and 2: one panel per state, and none is empty."""

import numpy as np
import pytest
from matplotlib.quiver import QuiverKey
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
    forward, reverse, drift = (list(zip(times, states, strict=True)) for times, states in (
        ((0, 20, 40), forward), ((1, 20, 40), reverse), ((2, 20, 40), [(points, -points)] * 3)))  # fmt: skip
    path = paper_figures.plot_figure_1(forward, reverse, drift, tmp_path / "f.png")
    assert path == tmp_path / "f.png"
    data, model, drift = (color_in(path, c) for c in (BLUE, ORANGE, DARK))
    for mask in (data, model, drift):
        assert marked_columns(mask, 3) == [True] * 3
    rows = [np.flatnonzero(mask.any(axis=1)) for mask in (data, model)]
    assert rows[0].max() < rows[1].min()  # the data above the model


def test_outliers_do_not_change_the_axes(tmp_path):
    """One stray sample must not shrink the figure: the axes are the same at all times."""
    states, drift = [(7, np.zeros((5, 2)))] * 2, [(7, (np.zeros((1, 2)), np.ones((1, 2))))] * 2
    stray = [(7, np.array([[0.0, 0], [1e6, 1e6], [0, 0], [0, 0], [0, 0]]))] * 2
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, reverse in zip(paths, (states, stray), strict=True):
        paper_figures.plot_figure_1(states, reverse, drift, path)
    first, second = (np.asarray(Image.open(path)) for path in paths)
    assert (first != second).mean() < 1e-4  # except for the rounding at the edges of markers


def test_every_panel_of_figure_1_has_its_own_t(tmp_path, drawn):
    """The reverse trajectory ends at x_1 (sampler.generate_samples), whose last step is p(x_1 | x_2)."""
    X, arrows = np.zeros((3, 2)), (np.zeros((1, 2)), np.ones((1, 2)))
    paper_figures.plot_figure_1([(0, X), (40, X)], [(1, X), (40, X)], [(2, arrows), (40, arrows)], tmp_path / "f.png")
    titles = [axes.get_title() for axes in drawn[0].axes]
    assert titles == ["t = 0, data", "t = 40", "t = 1, samples", "t = 40", "t = 2, last step", "t = 40"]


def test_a_key_states_the_scale_of_the_arrows_of_each_panel(tmp_path, drawn):
    """On the picture, the arrow of the key is as many pixels per unit as those of the panel."""
    X, points = np.zeros((3, 2)), np.zeros((2, 2))
    drift = [(t, (points, np.array([[size, 0], [0, size / 2]]))) for t, size in ((2, 0.0031), (40, 7.0))]
    paper_figures.plot_figure_1([(0, X)] * 2, [(1, X)] * 2, drift, tmp_path / "f.png")
    keys = [[a for a in axes.get_children() if isinstance(a, QuiverKey)] for axes in drawn[0].axes[4:]]
    assert [[key.label for key in panel] for panel in keys] == [["drift of 0.002"], ["drift of 5"]]
    for (key,), (_, (_, arrows)) in zip(keys, drift, strict=True):
        assert float(key.label.split()[-1]) == key.U
        paths = [collection.get_paths()[0].vertices for collection in (key.vector, key.Q)]
        pixels = [np.ptp(vertices, axis=0).max() for vertices in paths]
        assert pixels[0] / pixels[1] == pytest.approx(key.U / arrows[0, 0])


def test_figure_2_is_shifted_to_a_common_pulse_and_a_chain_moves_as_its_sample(tmp_path, drawn):
    """All five phases of the heartbeat become the one with pulses in bins 0, 5, 10 and 15; a bit of noise follows."""
    phases = np.arange(5)
    beats = (np.arange(20) % 5 == phases[:, None]).astype(float)
    noise = np.zeros((5, 20))
    noise[phases, (phases + 3) % 20] = 1  # three bins after the first pulse of its sample
    paper_figures.plot_figure_2(beats[::-1], {100: noise, 1: beats}, tmp_path / "f.png", period=5)
    axes = drawn[0].axes
    data, first, last = (np.asarray(axes[i].images[0].get_array()) for i in range(3))
    expected = np.tile(np.arange(20) % 5 == 0, (5, 1))
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_array_equal(last, expected)
    np.testing.assert_array_equal(first, np.tile(np.arange(20) == 3, (5, 1)))
    assert [a.get_title() for a in axes[:3]] == ["data, t = 0", "t = 100", "t = 1, samples"]


def test_the_phase_of_a_damaged_heartbeat_is_that_of_most_pulses():
    X = (np.arange(20) % 5 == 2).astype(float)[None].repeat(2, axis=0)
    X[1, [2, 9]] = 0, 1
    assert paper_figures.find_phases(X, 5).tolist() == [2, 2]


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
