"""Test the plots of the entropies of reverse steps and their bounds (Eq. 23)."""

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.plots import bounds
from dpm.plots.charts import BLUE, DARK, ORANGE

TIMES = np.arange(2, 60)
UPPER = np.log2(TIMES / 60)


def colors(path):
    with Image.open(path) as image:
        assert image.width > 600
        return {tuple(c) for c in np.asarray(image.convert("RGB")).reshape(-1, 3)}


def rgb(color):
    return tuple(bytes.fromhex(color[1:]))


def test_all_three_lines_are_drawn_and_the_same_numbers_give_the_same_bytes(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        assert bounds.plot_entropy_bounds(TIMES, UPPER - 0.5, UPPER, UPPER - 0.2, path, "bits/example") == path
    assert {rgb(color) for color in (BLUE, ORANGE, DARK)} <= colors(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_entropy_outside_its_bounds_is_marked_unless_the_error_explains_it(tmp_path, drawn):
    """Of five steps one is above and one below; the third is outside by one standard error only."""
    t, lower = np.array([2, 10, 100, 500, 1000]), np.zeros(5)
    entropy = np.array([0.5, 1.5, 0.5, -0.3, 1.1])
    error = np.array([0.1, 0.1, 0.1, 0.1, 0.1])
    bounds.plot_entropy_bounds(t, lower, lower + 1, entropy, tmp_path / "a.png", error=error)
    bounds.plot_entropy_bounds(t, lower, lower + 1, lower + 0.5, tmp_path / "b.png", error=error)
    steps, differences = drawn[0].axes
    (marks,) = [line for line in steps.lines if line.get_label() == bounds.OUTSIDE]
    assert marks.get_xdata().tolist() == [10, 500]
    assert marks.get_ydata().tolist() == [1.5, -0.3]
    (marks,) = [line for line in differences.lines if line.get_label() == bounds.OUTSIDE]
    np.testing.assert_allclose(marks.get_ydata(), [1.0, -0.8])
    legend = [text.get_text() for text in drawn[1].axes[0].get_legend().get_texts()]
    assert len(legend) == 3, "nothing is outside"


def test_t_is_on_a_logarithmic_axis_and_the_band_is_between_the_bounds(tmp_path, drawn):
    bounds.plot_entropy_bounds(TIMES, UPPER - 0.5, UPPER, UPPER - 0.2, tmp_path / "a.png")
    bounds.plot_terms(TIMES, 1 / TIMES, 0.1 / TIMES, 2 / TIMES, tmp_path / "b.png")
    assert {axes.get_xscale() for figure in drawn for axes in figure.axes} == {"log"}
    corners = drawn[0].axes[0].collections[0].get_paths()[0].vertices
    at_10 = corners[corners[:, 0] == 10, 1]
    np.testing.assert_allclose([at_10.min(), at_10.max()], [UPPER[8] - 0.5, UPPER[8]])


def test_an_entropy_of_nan_leaves_the_bounds(tmp_path):
    path = tmp_path / "a.png"
    bounds.plot_entropy_bounds(TIMES, UPPER - 0.5, UPPER, np.full(len(TIMES), np.nan), path)
    assert {rgb(color) for color in (BLUE, DARK)} <= colors(path)


def test_another_file_ending_raises_an_error(tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        bounds.plot_entropy_bounds(TIMES, UPPER, UPPER, UPPER, tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_the_sum_of_the_terms_ends_at_K_minus_L_null(tmp_path, monkeypatch):
    """The gap less KL_t, summed over t (Eq. 14): a t without draws counts 0, as in the estimate."""
    drawn, plot_curve = [], bounds.plot_curve

    def record(axes, x, y, **style):
        drawn.append(y)
        plot_curve(axes, x, y, **style)

    monkeypatch.setattr(bounds, "plot_curve", record)
    kl = np.where(TIMES % 3 == 0, np.nan, 1 / TIMES)
    bounds.plot_terms(TIMES, kl, 0.1 * kl, 2 / TIMES, tmp_path / "a.png")
    assert drawn[-1][-1] == pytest.approx(np.sum(2 / TIMES) - np.nansum(kl))


def test_terms_and_the_gap_of_the_bounds_are_drawn_without_missing_values(tmp_path):
    kl = 1 / TIMES
    kl[3:6] = np.nan
    path = bounds.plot_terms(TIMES, kl, 0.1 * kl, 2 / TIMES, tmp_path / "a.png")
    assert {rgb(color) for color in (BLUE, ORANGE, DARK)} <= colors(path)
    bounds.plot_terms(TIMES[:1], np.array([0.1]), np.array([np.nan]), np.array([0.2]), tmp_path / "b.png")
    with pytest.raises(InputError, match=r"\.png"):
        bounds.plot_terms(TIMES, kl, kl, kl, tmp_path / "a.gif")
