"""Images, trajectories, parameters and training curves as PNG, GIF and npz files.

Every writer builds whole files in memory and puts them in place in one step: a reader never sees half a file, and a
failure leaves nothing behind. The same input gives the same bytes.
"""

import io
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dpm.base.errors import InputError
from dpm.plots.charts import (
    BLUE,
    DARK,
    DPI,
    ORANGE,
    StrPath,
    check_target,
    column_values,
    integer_ticks,
    make_figure,
    plot_curve,
    plot_histogram,
    plot_matrix,
    render_gif,
    render_png,
    write_files,
)

Pixels = npt.NDArray[np.uint8]

MID_GRAY = 128
WHITE = 255
MAGENTA = (255, 0, 255)


def is_square(shape: int) -> bool:
    """Return True if `shape` values make a square image of one or three channels.

    Args:
        shape: number of values.

    Example:
        >>> is_square(784), is_square(3072), is_square(500)
        (True, True, False)
    """
    return any(shape > 0 and shape % c == 0 and math.isqrt(shape // c) ** 2 * c == shape for c in (1, 3))


def image_grid(images: npt.ArrayLike, *, rows: int | None = None, gap: int = 1, background: int = MID_GRAY) -> Pixels:
    """Return images on a grid in reading order, by default as near to square as their number allows.

    Args:
        images: floats (n, c, h, w), n >= 1, c 1 or 3; 0 is black, 1 is white, values outside are clipped. A pixel with
            a NaN or an infinity is magenta.
        rows: number of rows.
        gap: pixels between images and around the grid.
        background: gray level 0..255 of gaps and of empty cells.

    Returns:
        uint8 (H, W) for finite gray images, else (H, W, 3); H = rows * (h + gap) + gap, and W likewise.

    Raises:
        InputError: for other shapes, for integers (divide 8-bit pixels by 255), for rows < 1 or gap < 0.
    """
    x = _check_images(images)
    n, _, h, w = x.shape
    gap = _check_whole(gap, "gap", 0)
    columns = math.isqrt(n - 1) + 1 if rows is None else -(-n // _check_whole(rows, "rows", 1))
    rows = -(-n // columns) if rows is None else rows

    finite = np.isfinite(x).all(axis=1)
    clean = np.where(finite[:, None], x, 0)
    pixels = np.rint(255 * np.clip(clean, 0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    if not finite.all():
        pixels = np.where(finite[..., None], pixels, np.array(MAGENTA, np.uint8))

    c = pixels.shape[-1]
    tiles = np.full((rows * columns, h + gap, w + gap, c), background, np.uint8)
    tiles[:n, :h, :w] = pixels
    grid = tiles.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2)
    grid = grid.reshape(rows * (h + gap), columns * (w + gap), c)
    grid = np.pad(grid, ((gap, 0), (gap, 0), (0, 0)), constant_values=background)
    return grid[..., 0] if c == 1 else grid


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
    write_files({target: _encode_png(_enlarge(image_grid(images), scale), title)})
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
    np.savez(buffer, X=_check_images(images))
    write_files({arrays: buffer.getvalue(), sheet: _encode_png(_enlarge(image_grid(images)))})
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
    slices = _check_states(states)
    if len(times) != len(slices):
        raise InputError(f"times: got {len(times)} for {len(slices)} states; expected one per state")
    columns = _check_whole(columns, "columns", 1)
    grid = image_grid(np.concatenate([s[:columns] for s in slices]), rows=len(slices))
    sheet = Image.fromarray(_enlarge(grid)).convert("RGB")
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
    """Write receptive fields or filters as a PNG grid.

    Mid-gray is 0, and each unit is scaled by its largest magnitude.

    Args:
        weights: (inputs, units) with inputs = c * h * w of a square image, channel first, c 1 or 3; or convolution
            filters (filters, channels, k, k). With 1 or 3 channels each unit is a gray or colored tile; otherwise each
            row of the grid is a filter and each column a channel.
        path: ends in ``.png``.
        max_units: number of units, the first ones.

    Returns:
        The path.

    Raises:
        InputError: for other shapes, or as :func:`plot_images`.
    """
    target = check_target(path, ".png")
    write_files({target: _encode_png(_enlarge(_field_grid(weights, _check_whole(max_units, "max_units", 1))))})
    return target


def plot_parameter(value: npt.ArrayLike, stem: StrPath, name: str) -> list[Path]:
    """Write the plots of one parameter.

    `<stem>_raw.png` shows a matrix as an image (further axes are folded into the second) or a vector as a line, next to
    the histogram of its values. The title gives name, shape, mean and standard deviation of the finite values and the
    number of the others, which are magenta; values from 1e150 count as infinite. `<stem>_rf.png` shows the receptive
    fields (:func:`show_receptive_fields`), only if the shape has fields of more than one pixel.

    Args:
        value: the parameter's value, of any shape.
        stem: path of the files without ``_raw.png`` and ``_rf.png``.
        name: the parameter's name, for the title.

    Returns:
        The paths written.

    Raises:
        InputError: for an empty or non-numeric value, or as :func:`plot_images`.
    """
    array = _check_numbers(value, "parameter").astype(np.float64)
    array = np.where(np.abs(array) < 1e150, array, np.nan)  # beyond, the arithmetic of a plot overflows
    files = {check_target(f"{os.fspath(stem)}_raw.png", ".png"): render_png(_raw_figure(array, name))}
    shape = array.shape
    dense = array.ndim == 2 and is_square(shape[0]) and shape[0] > 3
    if dense or (array.ndim == 4 and shape[2] == shape[3] > 1):
        files[check_target(f"{os.fspath(stem)}_rf.png", ".png")] = _encode_png(_enlarge(_field_grid(array, 100)))
    write_files(files)
    return list(files)


def plot_monitors(rows: Sequence[Mapping[str, Any]], path: StrPath, unit: str = "bits/pixel") -> Path:
    """Write the training curves as PNG.

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
    figure, (bound, rate) = make_figure(7, 5, 2, 1, sharex=True, height_ratios=[3, 1])
    plot_curve(bound, epochs, column_values(rows, "train_K_minus_L_null"), label="train", color=BLUE)
    plot_curve(bound, epochs, column_values(rows, "test_K_minus_L_null"), label="test", color=ORANGE, linestyle="--")
    null = column_values(rows, "test_K") - column_values(rows, "test_K_minus_L_null")
    for name, style in (("truth", "-"), ("ceiling", ":")):
        if any(name in row for row in rows):
            plot_curve(bound, epochs, column_values(rows, name) - null, label=name, color=DARK, linestyle=style)
    bound.set(ylabel=rf"$K - L_\mathrm{{null}}$ ({unit})")
    bound.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    rates = column_values(rows, "learning_rate")
    plot_curve(rate, epochs, rates, color=DARK)
    if (rates > 0).any():
        rate.set_yscale("log")
    rate.set(xlabel="epoch", ylabel="learning rate")
    rate.xaxis.set_major_locator(integer_ticks())
    for axes in (bound, rate):
        axes.grid(alpha=0.3)
    write_files({target: render_png(figure)})
    return target


def animate(states: Sequence[npt.ArrayLike], path: StrPath, fps: float = 10) -> Path:
    """Write states as a GIF that repeats forever, one grid of images per frame.

    Args:
        states: one array (n, c, h, w) in [0, 1] per frame, all of one shape.
        path: ends in ``.gif``.
        fps: frames per second, 0.1 to 50, rounded to what GIF can store (steps of 10 ms; 256 colors per frame). The
            last frame stays for 2 seconds; equal neighbors are stored as one longer frame.

    Returns:
        The path.

    Raises:
        InputError: for other states or rates, or for a path as :func:`plot_images`.
    """
    target = check_target(path, ".gif")
    grids = [_enlarge(image_grid(state), side=400) for state in _check_states(states)]
    frames = [Image.fromarray(grid) for grid in grids]
    if any(frame.mode == "RGB" for frame in frames):
        frames = [frame.convert("RGB").quantize(256) for frame in frames]
    write_files({target: render_gif(frames, fps)})
    return target


# ------------------------------------------------------------------ checks


def _check_numbers(value: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(f"{what}: got {array.dtype} of shape {array.shape}; expected a non-empty real array")
    return array


def _check_images(value: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.ndim != 4 or array.size == 0 or array.shape[1] not in (1, 3):
        raise InputError(f"images: got shape {array.shape}; expected (n, 1, h, w) or (n, 3, h, w), n at least 1")
    if array.dtype.kind not in "fb":
        raise InputError(f"images: got {array.dtype}; expected floats from 0 to 1; divide 8-bit pixels by 255")
    return array


def _check_states(states: Sequence[npt.ArrayLike]) -> list[npt.NDArray[Any]]:
    arrays = [_check_images(state) for state in states]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise InputError(f"states: got shapes {shapes}; expected one or more arrays of the same shape (n, c, h, w)")
    return arrays


def _check_whole(value: int, what: str, least: int) -> int:
    if not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{what}: got {value!r}; expected a whole number of at least {least}")
    return int(value)


# ------------------------------------------------------------------ pixels


def _encode_png(pixels: Pixels, title: str | None = None) -> bytes:
    text = PngInfo()
    if title is not None:
        text.add_text("Title", title)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def _enlarge(grid: Pixels, scale: int | None = None, side: int = 800) -> Pixels:
    """Repeat pixels, by default until the longer side is about `side`."""
    if scale is None:
        scale = max(1, round(side / max(grid.shape[:2])))
    scale = _check_whole(scale, "scale", 1)
    return grid.repeat(scale, axis=0).repeat(scale, axis=1)


def _field_grid(weights: npt.ArrayLike, max_units: int) -> Pixels:
    array = _check_numbers(weights, "weights")
    shape = array.shape
    if array.ndim == 2 and is_square(shape[0]):
        # No number is both a square and three times a square, so the number of inputs determines the channels.
        channels = 1 if math.isqrt(shape[0]) ** 2 == shape[0] else 3
        side = math.isqrt(shape[0] // channels)
        fields = array.T.reshape(-1, channels, side, side)
    elif array.ndim == 4 and shape[2] == shape[3]:
        fields = array
    else:
        expected = "(inputs, units) with h*h or 3*h*h inputs, or (filters, channels, k, k)"
        raise InputError(f"weights: got shape {shape}; expected {expected}")
    fields = fields[:max_units].astype(np.float64)
    finite = np.where(np.isfinite(fields), fields, 0)
    largest = np.abs(finite).max(axis=(1, 2, 3), keepdims=True)
    fields = 0.5 + 0.5 * (fields / np.where(largest > 0, largest, 1))
    rows = None
    if fields.shape[1] not in (1, 3):
        rows = len(fields)
        fields = fields.reshape(-1, 1, *fields.shape[2:])
    return image_grid(fields, rows=rows, background=WHITE)  # mid-gray would hide the edge of a field of zeros


def _raw_figure(array: npt.NDArray[np.float64], name: str) -> Figure:
    finite = np.isfinite(array)
    good = array[finite]
    figure, (left, right) = make_figure(9, 4, 1, 2, width_ratios=[3, 2])
    if array.ndim >= 2:
        plot_matrix(left, array.reshape(len(array), -1))
    else:
        plot_curve(left, np.arange(array.size), array.ravel(), color=BLUE)
        bad = np.flatnonzero(~finite)
        left.plot(bad, np.full(bad.shape, 0.03), "x", color="magenta", transform=left.get_xaxis_transform())
        left.set(xlabel="index", ylabel="value")
        left.xaxis.set_major_locator(integer_ticks())
    plot_histogram(right, good)

    summary = f"shape {array.shape}"
    if good.size:
        summary += f"   mean {good.mean():.4g}   std {good.std():.4g}"
    if good.size < array.size:
        summary += f"   {array.size - good.size} not finite"
    figure.suptitle(f"{textwrap.fill(name, 90)}\n{summary}", fontsize=10, parse_math=False)
    return figure
