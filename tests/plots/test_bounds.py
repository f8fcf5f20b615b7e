"""The picture of reverse steps' entropies and their bounds (Eq. 23)."""

import numpy as np
import pytest
from PIL import Image

from dpm.base.errors import InputError
from dpm.plots import bounds as viz_bounds
from dpm.viz import BLUE, DARK, ORANGE

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
        assert viz_bounds.plot_entropy_bounds(TIMES, UPPER - 0.5, UPPER, UPPER - 0.2, path, "bits/example") == path
    assert {rgb(color) for color in (BLUE, ORANGE, DARK)} <= colors(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_entropy_that_is_no_number_leaves_the_bounds(tmp_path):
    path = tmp_path / "a.png"
    viz_bounds.plot_entropy_bounds(TIMES, UPPER - 0.5, UPPER, np.full(len(TIMES), np.nan), path)
    assert {rgb(color) for color in (BLUE, DARK)} <= colors(path)


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        viz_bounds.plot_entropy_bounds(TIMES, UPPER, UPPER, UPPER, tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_terms_are_drawn_beside_the_distance_of_the_bounds_and_gaps_are_left_out(tmp_path):
    kl = 1 / TIMES
    kl[3:6] = np.nan
    path = viz_bounds.plot_terms(TIMES, kl, 0.1 * kl, 2 / TIMES, tmp_path / "a.png")
    assert {rgb(color) for color in (BLUE, ORANGE, DARK)} <= colors(path)
    viz_bounds.plot_terms(TIMES[:1], np.array([0.1]), np.array([np.nan]), np.array([0.2]), tmp_path / "b.png")
    with pytest.raises(InputError, match=r"\.png"):
        viz_bounds.plot_terms(TIMES, kl, kl, kl, tmp_path / "a.gif")
