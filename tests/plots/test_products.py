"""Test plots of products p(x) r(x): data, samples and contours of r."""

import numpy as np
import pytest

from dpm.plots.products import Product, draw_points, draw_sequences

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(200, 2))


def gaussian(x):
    """log r of an observation x_1 = 0.5 with deviation 0.2; nothing is known of x_2."""
    return -((x[:, 0] - 0.5) ** 2) / (2 * 0.2**2)


def test_contours_are_where_r_is_one_two_and_three_deviations_from_its_mean():
    figure = draw_points(DATA[:50], Product(gaussian, DATA))
    (axes,) = figure.axes
    lines = np.concatenate([path.vertices[:, 0] for path in axes.collections[0].get_paths()])
    distance = np.abs(lines - 0.5) / 0.2
    for k in (1, 2, 3):
        assert (np.abs(distance - k) < 0.1).any()
    assert np.abs(distance - np.rint(distance)).max() < 0.1, "up to the grid"
    assert distance.max() < 3.1


def test_samples_are_drawn_over_the_data_and_the_legend_names_both():
    figure = draw_points(DATA[:50], Product(gaussian, DATA))
    (axes,) = figure.axes
    assert [len(line.get_xdata()) for line in axes.lines] == [200, 50]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["data", "samples of p(x) r(x)", "r(x) / its largest value: 0.61, 0.14, 0.01"]  # exp(-k^2 / 2)
    assert len(draw_points(DATA, Product(gaussian)).axes[0].lines) == 1


def test_triangles_mark_the_bits_that_r_observes():
    """log r of bit 2 being 1 and bit 5 being 0, each wrong with probability 0.001."""

    def log_r(x):
        agree = np.stack([x[:, 2], 1 - x[:, 5]])
        return np.log(0.001 + 0.998 * agree).sum(axis=0)

    bits = (RNG.random((60, 8)) < 0.3).astype(float)
    figure = draw_sequences(bits[:10], Product(log_r, bits))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["data, 40 of 60", "samples of p(x) r(x), 10 of 10"]
    marks = {line.get_label(): line.get_xdata().tolist() for line in figure.axes[3].lines}
    assert marks == {"r prefers 1": [2], "r prefers 0": [5]}
    bars = [patch.get_height() for patch in figure.axes[2].patches]
    assert bars == pytest.approx(bits.mean(axis=0))
