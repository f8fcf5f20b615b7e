"""Test panels of images: titles, what they show, and the outline of a hole."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.plots.panels import MOST, Panel, plot_panels, plot_restoration

IMAGES = np.random.default_rng(0).uniform(size=(4, 1, 6, 6))


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_panels_show_their_images_under_their_titles(tmp_path, drawn):
    plot_panels([Panel("data", IMAGES), Panel("samples", 1 - IMAGES[:1])], tmp_path / "a.png", "both")
    (figure,) = drawn
    assert titles(figure) == ["data", "samples"]
    assert figure.get_suptitle() == "both"
    shown = np.asarray(figure.axes[1].images[0].get_array())
    np.testing.assert_array_equal(shown[1:7, 1:7], np.rint(255 * (1 - IMAGES[0, 0])))


def test_in_painting_has_original_input_and_result_with_the_hole_outlined(tmp_path, drawn):
    """The hole is columns 0 to 2 of each image of 6 pixels, which stand on a grid of 2 x 2 with gaps of 1."""
    hole = np.arange(6) < 3
    plot_restoration(IMAGES, IMAGES, IMAGES, tmp_path / "a.png", hole)
    (figure,) = drawn
    assert titles(figure) == ["original", "input, noise in the hole", "in-painted"]
    for axes in figure.axes:
        vertices = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
        left = vertices[vertices[:, 0] < 7]
        assert (left[:, 0].min(), left[:, 0].max()) == pytest.approx((0.5, 3.5))  # the edges of pixels 1 to 3
        assert (vertices[:, 1].min(), vertices[:, 1].max()) == pytest.approx((0.5, 13.5))


def test_denoising_has_no_outline_and_no_original_where_it_is_not_known(tmp_path, drawn):
    plot_restoration(None, IMAGES, IMAGES, tmp_path / "a.png")
    assert titles(drawn[0]) == ["noisy input", "denoised"]
    assert not any(axes.collections for axes in drawn[0].axes)


def test_what_was_left_out_is_said(tmp_path, drawn):
    many = np.zeros((MOST + 1, 3, 2, 2))
    plot_restoration(None, many, many, tmp_path / "a.png")
    assert drawn[0].get_suptitle() == f"first {MOST} of {MOST + 1} images"


def test_another_file_ending_raises_an_error(tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        plot_panels([Panel("a", IMAGES)], tmp_path / "a.gif")


def test_more_images_than_a_panel_shows_may_each_have_a_hole(tmp_path):
    """A round of training in-paints 49 images, of which a panel shows 36."""
    images = np.zeros((49, 1, 4, 4))
    hole = np.zeros(images.shape, dtype=bool)
    hole[..., :2] = True
    assert plot_restoration(images, images, images, tmp_path / "a.png", hole).is_file()
