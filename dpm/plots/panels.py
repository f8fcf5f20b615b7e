"""Grids of images next to each other, such as data and samples, or an image, its damaged input and its restoration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dpm.plots.charts import ORANGE, StrPath, check_target, make_figure, render_png, write_files
from dpm.plots.pixels import hole_grid, image_grid

MOST = 36  # images of a panel
WIDTH = 3.6  # inches of a panel


class Panel(NamedTuple):
    """One grid of images.

    Attributes:
        title: what the images are.
        images: floats (n, c, h, w) in [0, 1]; the first MOST are shown.
        hole: bool array that broadcasts to the images, True where pixels were drawn, which is outlined; or None.
    """

    title: str
    images: npt.NDArray[Any]
    hole: npt.NDArray[np.bool_] | None = None


def plot_panels(panels: Sequence[Panel], path: StrPath, title: str = "") -> Path:
    """Write panels next to each other as PNG.

    Args:
        panels: the grids.
        path: ends in ``.png``.
        title: above all of them.

    Returns:
        The path.

    Raises:
        InputError: as viz.plot_images.
    """
    target = check_target(path, ".png")
    grids = [image_grid(panel.images[:MOST]) for panel in panels]
    height = WIDTH * max(grid.shape[0] / grid.shape[1] for grid in grids) + (0.8 if title else 0.4)
    figure, axes = make_figure(WIDTH * len(panels), height, 1, len(panels), squeeze=False)
    for chart, panel, grid in zip(axes[0], panels, grids, strict=True):
        chart.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        chart.set_title(panel.title, fontsize=10)
        chart.set_axis_off()
        if panel.hole is not None and panel.hole.any():
            each = np.broadcast_to(panel.hole, panel.images.shape)[:MOST]  # the images may have holes of their own
            holes = hole_grid(each, each.shape)
            chart.contour(holes.astype(float), levels=[0.5], colors=ORANGE, linewidths=1)
    if title:
        figure.suptitle(title, fontsize=10)
    write_files({target: render_png(figure)})
    return target


def plot_restoration(
    original: npt.NDArray[Any] | None,
    start: npt.NDArray[Any],
    result: npt.NDArray[Any],
    path: StrPath,
    hole: npt.NDArray[np.bool_] | None = None,
) -> Path:
    """Write in-painting or denoising as PNG: the original, what the reverse chain starts at, and its result.

    As in Figure 5, with the hole outlined in orange.

    Args:
        original: images (n, c, h, w) in [0, 1]; None where it is not known.
        start: x_T: the images with noise in the hole, or the noisy images.
        result: in-painted or denoised images.
        path: ends in ``.png``.
        hole: True where pixels were drawn; None for denoising.

    Returns:
        The path.

    Raises:
        InputError: as viz.plot_images.
    """
    names = ("noisy input", "denoised") if hole is None else ("input, noise in the hole", "in-painted")
    panels = [] if original is None else [Panel("original", original, hole)]
    panels += [Panel(names[0], start, hole), Panel(names[1], result, hole)]
    shown = min(len(result), MOST)
    return plot_panels(panels, path, "" if shown == len(result) else f"first {shown} of {len(result)} images")
