"""Images, trajectories, parameters and training curves as PNG, GIF and npz files.

Every writer builds whole files in memory and puts them in place in one step: a reader never sees half a file, and a
failure leaves nothing behind. The same input gives the same bytes.
"""

import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from dpm.base.arguments import check_index
from dpm.base.errors import InputError
from dpm.plots.charts import (
    DPI,
    StrPath,
    check_target,
    column_values,
    render_gif,
    render_png,
    write_files,
)
from dpm.plots.pixels import (
    MAGENTA,
    check_images,
    check_numbers,
    check_states,
    encode_png,
    enlarge,
    image_grid,
)
from dpm.plots.training_curves import draw_training_curves
from dpm.plots.weights import draw_channels, draw_parameter, draw_receptive_fields

__all__ = [
    "MAGENTA",
    "animate",
    "image_grid",
    "is_square",
    "plot_channels",
    "plot_images",
    "plot_monitors",
    "plot_parameter",
    "plot_trajectory",
    "save_images",
    "show_receptive_fields",
]

BAND = 20  # pixels above a frame of an animation, for its t


def is_square(shape: int) -> bool:
    """Return True if `shape` values make a square image of one or three channels.

    Args:
        shape: number of values.

    Example:
        >>> is_square(784), is_square(3072), is_square(500)
        (True, True, False)
    """
    return any(shape > 0 and shape % c == 0 and math.isqrt(shape // c) ** 2 * c == shape for c in (1, 3))


def plot_images(images: npt.ArrayLike, path: StrPath, title: str | None = None, scale: int | None = None) -> Path:
    """Write images as one PNG, laid out by :func:`image_grid`.

    Args:
        images: floats (n, c, h, w) in [0, 1].
        path: ends in ``.png``.
        title: stored as the PNG's text entry "Title".
        scale: side, in pixels of the PNG, of one image pixel; by default such that the longer side is about 800.

    Returns:
        The path.

    Raises:
        InputError: as :func:`image_grid`, or if the path has another ending or its folder does not exist.
    """
    target = check_target(path, ".png")
    write_files({target: encode_png(enlarge(image_grid(images), scale), title)})
    return target


def save_images(images: npt.ArrayLike, stem: StrPath) -> tuple[Path, Path]:
    """Write `<stem>.npz`, the images under the key X, and `<stem>.png`, the same images on a grid.

    Args:
        images: floats (n, c, h, w) in [0, 1] data units; the .npz keeps their type and values, unclipped.
        stem: path of both files without their endings.

    Returns:
        The paths of the .npz and of the .png.

    Raises:
        InputError: as :func:`plot_images`; then neither file is written.
    """
    arrays, sheet = check_target(f"{os.fspath(stem)}.npz", ".npz"), check_target(f"{os.fspath(stem)}.png", ".png")
    buffer = io.BytesIO()
    np.savez(buffer, X=check_images(images))
    write_files({arrays: buffer.getvalue(), sheet: encode_png(enlarge(image_grid(images)))})
    return arrays, sheet


def plot_trajectory(states: Sequence[npt.ArrayLike], times: Sequence[float], path: StrPath, columns: int = 10) -> Path:
    """Write a diffusion trajectory as PNG, one row per time with "t = ..." on its left.

    Args:
        states: one array (n, c, h, w) in [0, 1] per time, in plotting order, all of one shape.
        times: t of each state.
        path: ends in ``.png``.
        columns: number of images per row; a row shows the first ones.

    Returns:
        The path.

    Raises:
        InputError: as :func:`plot_images`, or if there are no states, their shapes differ or their number is not that
            of the times.
    """
    target = check_target(path, ".png")
    slices = check_states(states)
    if len(times) != len(slices):
        raise InputError(f"times: got {len(times)} for {len(slices)} states; expected one per state")
    columns = check_index("columns", columns, 1)
    grid = image_grid(np.concatenate([s[:columns] for s in slices]), rows=len(slices))
    sheet = Image.fromarray(enlarge(grid)).convert("RGB")
    width, height = sheet.size

    labels = [f"t = {float(time):.10g}" for time in times]
    margin, left = 8, 9 * max(map(len, labels)) + 24
    total_width, total_height = left + width + margin, height + 2 * margin
    figure = Figure((total_width / DPI, total_height / DPI), dpi=DPI)
    figure.figimage(np.asarray(sheet), left, margin)
    row_height = height / len(slices)
    every = math.ceil(16 / row_height)  # label only some rows if they are lower than a line of text
    for row in range(0, len(slices), every):
        y = 1 - (margin + (row + 0.5) * row_height) / total_height
        figure.text((left - 10) / total_width, y, labels[row], ha="right", va="center", fontsize=8)
    write_files({target: render_png(figure)})
    return target


def show_receptive_fields(weights: npt.ArrayLike, path: StrPath, max_units: int = 100) -> Path:
    """Write receptive fields or filters as a PNG, one tile per unit and channel.

    All tiles share one color scale, symmetric about 0, that ends at the 99.5th percentile of the magnitudes; a color
    bar shows it. Gaps between tiles are gray, which is no color of a weight. The title says how many units are shown.

    Args:
        weights: (inputs, units) with inputs = c * h * w of a square image, channel first, c 1 or 3; or convolution
            filters (filters, channels, k, k). With one channel the units are in reading order; with more, the tiles of
            a unit stand next to each other, one per channel.
        path: ends in ``.png``.
        max_units: number of units, the first ones.

    Returns:
        The path.

    Raises:
        InputError: for other shapes, or as :func:`plot_images`.
    """
    target = check_target(path, ".png")
    array = check_numbers(weights, "weights")
    write_files({target: render_png(draw_receptive_fields(array, check_index("max_units", max_units, 1)))})
    return target


def plot_channels(values: npt.ArrayLike, path: StrPath, title: str) -> Path:
    """Write what a network computes as PNG: a row for each of the first 4 images, a column for each channel.

    All tiles share one color scale, symmetric about 0. The title says how many images and channels are shown.

    Args:
        values: (n, channels, h, w).
        path: ends in ``.png``.
        title: what the values are, and at which t.

    Returns:
        The path.

    Raises:
        InputError: for another number of axes, or for a path as :func:`plot_images`.
    """
    target = check_target(path, ".png")
    array = check_numbers(values, "channels")
    if array.ndim != 4:
        raise InputError(f"channels: got shape {array.shape}; expected (n, channels, h, w)")
    write_files({target: render_png(draw_channels(array, title))})
    return target


def plot_parameter(value: npt.ArrayLike, stem: StrPath, name: str, side: int | None = None) -> list[Path]:
    """Write the plots of one parameter.

    `<stem>_raw.png` shows a matrix as an image (further axes are folded into the second), a bias with one value per
    place as maps, or a vector as a line, next to the histogram of its values. The title gives name, shape, mean and
    standard deviation of the finite values and the number of the others, which are magenta; values from 1e150 count as
    infinite. `<stem>_rf.png` shows the receptive fields (:func:`show_receptive_fields`), only if the shape has fields
    of more than one pixel.

    Args:
        value: the parameter's value, of any shape.
        stem: path of the files without ``_raw.png`` and ``_rf.png``.
        name: the parameter's name, for the title.
        side: width of the model's images: a bias of that many squared values, or a multiple, is shown as maps.

    Returns:
        The paths written.

    Raises:
        InputError: for an empty or non-numeric value, or as :func:`plot_images`.
    """
    array = check_numbers(value, "parameter").astype(np.float64)
    array = np.where(np.abs(array) < 1e150, array, np.nan)  # beyond, the arithmetic of a plot overflows
    files = {check_target(f"{os.fspath(stem)}_raw.png", ".png"): render_png(draw_parameter(array, name, side))}
    shape = array.shape
    dense = array.ndim == 2 and is_square(shape[0]) and shape[0] > 3
    if dense or (array.ndim == 4 and shape[2] == shape[3] > 1):
        files[check_target(f"{os.fspath(stem)}_rf.png", ".png")] = render_png(draw_receptive_fields(array, 100, name))
    write_files(files)
    return list(files)


def plot_monitors(rows: Sequence[Mapping[str, Any]], path: StrPath, unit: str = "bits/pixel") -> Path:
    """Write the training curves as PNG.

    The axis of the bound fits the last half of the epochs, with truth and ceiling. Earlier values that are off the axis
    are counted in the plot.

    Args:
        rows: one mapping per logged epoch. The keys used are `epoch`, `train_K_minus_L_null` and `test_K_minus_L_null`
            (in `unit`), `learning_rate`, and, if present, `truth` and `ceiling` with `test_K`. A value that is absent,
            empty or not finite is left out of its curve.
        path: ends in ``.png``.
        unit: unit of the bounds.

    Returns:
        The path.

    Raises:
        InputError: if no row has an epoch, or for a path as :func:`plot_images`.
    """
    target = check_target(path, ".png")
    epochs = column_values(rows, "epoch")
    if not np.isfinite(epochs).any():
        raise InputError(f"monitors: got no epoch in {len(rows)} rows; expected at least one row with an epoch")
    write_files({target: render_png(draw_training_curves(rows, unit))})
    return target


def animate(
    states: Sequence[npt.ArrayLike], path: StrPath, fps: float = 10, times: Sequence[int] | None = None
) -> Path:
    """Write states as a GIF that repeats forever, one grid of images per frame.

    Args:
        states: one array (n, c, h, w) in [0, 1] per frame, all of one shape.
        path: ends in ``.gif``.
        fps: frames per second, 0.1 to 50, rounded to what GIF can store (steps of 10 ms; 256 colors per frame). The
            last frame stays for 2 seconds; equal neighbors are stored as one longer frame.
        times: t of each state, which is written above its frame; None for no text.

    Returns:
        The path.

    Raises:
        InputError: for other states, rates or numbers of times, or for a path as :func:`plot_images`.
    """
    target = check_target(path, ".gif")
    grids = [enlarge(image_grid(state), side=400) for state in check_states(states)]
    frames = [Image.fromarray(grid) for grid in grids]
    if times is not None:
        if len(times) != len(frames):
            raise InputError(f"times: got {len(times)} for {len(frames)} states; expected one per state")
        frames = [_add_time(frame, t) for frame, t in zip(frames, times, strict=True)]
    if any(frame.mode == "RGB" for frame in frames):
        frames = [frame.convert("RGB").quantize(256) for frame in frames]
    write_files({target: render_gif(frames, fps)})
    return target


def _add_time(frame: Image.Image, t: int) -> Image.Image:
    """Return a frame, gray or RGB, below a white band with its t."""
    white, black = (255, 0) if frame.mode == "L" else ((255,) * 3, (0,) * 3)
    result = Image.new(frame.mode, (frame.width, frame.height + BAND), white)
    result.paste(frame, (0, BAND))
    ImageDraw.Draw(result).text((6, 4), f"t = {t}", fill=black)
    return result
