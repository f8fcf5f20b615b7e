"""Pictures of images, trajectories, parameters and training curves.

Every writer builds the whole file in memory and puts it in place in one step, so a reader never sees half
a picture and a failure leaves nothing behind. Figures are matplotlib objects without pyplot: no display, no
global state, nothing that grows over thousands of plots. The same input gives the same bytes.
"""

import io
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError

StrPath = str | os.PathLike[str]
Pixels = npt.NDArray[np.uint8]

MID_GRAY = 128
WHITE = 255
MAGENTA = (255, 0, 255)
BLUE, ORANGE, DARK = "#0072B2", "#D55E00", "#444444"  # apart for every common kind of color blindness
DPI = 128  # a power of two: whole pixels stay whole on their way through inches


def is_square(shape: int) -> bool:
    """Whether `shape` numbers make a square image of one or three channels: 784 and 3072 do, 500 does not."""
    return any(shape > 0 and shape % c == 0 and math.isqrt(shape // c) ** 2 * c == shape for c in (1, 3))


def image_grid(images: npt.ArrayLike, *, rows: int | None = None, gap: int = 1, background: int = MID_GRAY) -> Pixels:
    """Lay images out in reading order on a grid, as near to square as their number allows.

    images: floats (n, c, h, w), n >= 1, c 1 or 3; 0 is black, 1 white, values outside are clipped. A pixel
    with a NaN or an infinity is magenta. rows: number of rows; gap: pixels between images and around the
    grid; background: gray level 0..255 of gaps and of empty places.

    Returns uint8 (H, W) for finite gray images, else (H, W, 3); H = rows * (h + gap) + gap, W likewise.
    Raises InputError for other shapes, for integers (8-bit pixels must be divided by 255), rows < 1, gap < 0.
    """
    x = _images(images)
    n, _, h, w = x.shape
    gap = _whole(gap, "gap", 0)
    columns = math.isqrt(n - 1) + 1 if rows is None else -(-n // _whole(rows, "rows", 1))
    rows = -(-n // columns) if rows is None else rows

    finite = np.isfinite(x).all(axis=1)
    shown = np.where(finite[:, None], x, 0)
    pixels = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
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
    """Write images (n, c, h, w) in [0, 1] as one PNG, laid out by `image_grid`; return its path.

    Each image pixel becomes scale x scale pixels; by default the longer side is about 800. The title is kept
    as the PNG's text entry "Title". Raises InputError as `image_grid` does, and for a path that does not end
    in .png or whose folder does not exist.
    """
    target = _target(path, ".png")
    _write({target: _png(_enlarged(image_grid(images), scale), title)})
    return target


def save_images(images: npt.ArrayLike, stem: StrPath) -> tuple[Path, Path]:
    """Write `<stem>.npz`, the images as they are under the key X, and their picture `<stem>.png`.

    images: floats (n, c, h, w) in [0, 1] data units; the .npz keeps type and values, unclipped.
    Returns both paths. Raises InputError as `plot_images` does; then neither file is written.
    """
    arrays, picture = _target(f"{os.fspath(stem)}.npz", ".npz"), _target(f"{os.fspath(stem)}.png", ".png")
    buffer = io.BytesIO()
    np.savez(buffer, X=_images(images))
    _write({arrays: buffer.getvalue(), picture: _png(_enlarged(image_grid(images)))})
    return arrays, picture


def plot_trajectory(states: Sequence[npt.ArrayLike], times: Sequence[float], path: StrPath, columns: int = 10) -> Path:
    """Write a diffusion trajectory as PNG: one row for each time, "t = ..." at its left; return the path.

    states: for each of times, in the order to be drawn, images (n, c, h, w) in [0, 1], all of one shape; a
    row shows the first `columns` of them. Raises InputError as `plot_images` does, and for states that are
    none, of unequal shapes or not as many as times.
    """
    target = _target(path, ".png")
    slices = _states(states)
    if len(times) != len(slices):
        raise InputError(f"times: {len(times)} given for {len(slices)} states; one time per state is accepted")
    columns = _whole(columns, "columns", 1)
    grid = image_grid(np.concatenate([s[:columns] for s in slices]), rows=len(slices))
    picture = Image.fromarray(_enlarged(grid)).convert("RGB")
    width, height = picture.size

    labels = [f"t = {float(time):.10g}" for time in times]
    margin, left = 8, 9 * max(map(len, labels)) + 24
    total_width, total_height = left + width + margin, height + 2 * margin
    figure = Figure((total_width / DPI, total_height / DPI), dpi=DPI)
    figure.figimage(np.asarray(picture), left, margin)
    row_height = height / len(slices)
    every = math.ceil(16 / row_height)  # rows lower than a line of text are not all labeled
    for row in range(0, len(slices), every):
        y = 1 - (margin + (row + 0.5) * row_height) / total_height
        figure.text((left - 10) / total_width, y, labels[row], ha="right", va="center", fontsize=8)
    _write({target: _rendered(figure)})
    return target


def show_receptive_fields(weights: npt.ArrayLike, path: StrPath, max_units: int = 100) -> Path:
    """Write the first `max_units` receptive fields or filters as a PNG grid; return its path.

    weights: (inputs, units) with inputs = c * h * w of a square image, channel first, c 1 or 3; or filters of
    a convolution (filters, channels, k, k). With 1 or 3 channels each unit is a gray or colored tile; with
    other numbers each row of the grid is a filter and each column a channel. Mid-gray is 0, and each unit is
    scaled by its own largest magnitude. Raises InputError for other shapes and as `plot_images` does.
    """
    target = _target(path, ".png")
    _write({target: _png(_enlarged(_field_grid(weights, _whole(max_units, "max_units", 1))))})
    return target


def plot_parameter(value: npt.ArrayLike, stem: StrPath, name: str) -> list[Path]:
    """Write the pictures of one parameter and return their paths.

    `<stem>_raw.png`: a matrix as an image (more axes are folded into the second) or a vector as a line,
    beside the histogram of its values, titled with name, shape, mean and standard deviation of the finite
    values and the count of the others, which are magenta; values from 1e150 count as infinite.
    `<stem>_rf.png`: see `show_receptive_fields`; only where the shape has receptive fields of more than one
    pixel. Raises InputError for an empty or non-numeric value.
    """
    array = _numbers(value, "parameter").astype(np.float64)
    array = np.where(np.abs(array) < 1e150, array, np.nan)  # beyond, the arithmetic of a plot overflows
    files = {_target(f"{os.fspath(stem)}_raw.png", ".png"): _rendered(_raw_figure(array, name))}
    shape = array.shape
    dense = array.ndim == 2 and is_square(shape[0]) and shape[0] > 3
    if dense or (array.ndim == 4 and shape[2] == shape[3] > 1):
        files[_target(f"{os.fspath(stem)}_rf.png", ".png")] = _png(_enlarged(_field_grid(array, 100)))
    _write(files)
    return list(files)


def plot_monitors(rows: Sequence[Mapping[str, Any]], path: StrPath, unit: str = "bits/pixel") -> Path:
    """Write the training curves as PNG and return its path.

    rows: one mapping per logged epoch; used are `epoch`, `train_K_minus_L_null` and `test_K_minus_L_null`
    (in `unit`), `learning_rate`, and where they are `truth` and `ceiling` beside `test_K`. An absent, empty or
    non-finite value is left out of its curve.
    Raises InputError if no row has an epoch, and for a path as `plot_images` does.
    """
    target = _target(path, ".png")
    epochs = _column(rows, "epoch")
    if not np.isfinite(epochs).any():
        raise InputError(f"monitors: none of {len(rows)} rows has an epoch; at least one is needed")
    figure, (bound, rate) = _charts(7, 5, 2, 1, sharex=True, height_ratios=[3, 1])
    _curve(bound, epochs, _column(rows, "train_K_minus_L_null"), label="train", color=BLUE)
    _curve(bound, epochs, _column(rows, "test_K_minus_L_null"), label="test", color=ORANGE, linestyle="--")
    null = _column(rows, "test_K") - _column(rows, "test_K_minus_L_null")
    for name, style in (("truth", "-"), ("ceiling", ":")):
        if any(name in row for row in rows):
            _curve(bound, epochs, _column(rows, name) - null, label=name, color=DARK, linestyle=style)
    bound.set(ylabel=rf"$K - L_\mathrm{{null}}$ ({unit})")
    bound.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    rates = _column(rows, "learning_rate")
    _curve(rate, epochs, rates, color=DARK)
    if (rates > 0).any():
        rate.set_yscale("log")
    rate.set(xlabel="epoch", ylabel="learning rate")
    rate.xaxis.set_major_locator(_whole_ticks())
    for axes in (bound, rate):
        axes.grid(alpha=0.3)
    _write({target: _rendered(figure)})
    return target


def animate(states: Sequence[npt.ArrayLike], path: StrPath, fps: float = 10) -> Path:
    """Write states as an endless GIF, one grid of images a frame, and return its path.

    states: images (n, c, h, w) in [0, 1], all of one shape. fps: frames a second, 0.1 to 50, rounded to what
    GIF can hold (10 ms steps; 256 colors a frame). The last frame stays for 2 seconds; equal neighbors are
    stored as one longer frame. Raises InputError for other states or rates, and for a path that does not end
    in .gif.
    """
    target = _target(path, ".gif")
    if not 0.1 <= fps <= 50:
        raise InputError(f"fps: {fps} given; 0.1 to 50 frames a second are accepted")
    grids = [_enlarged(image_grid(state), side=400) for state in _states(states)]
    frames = [Image.fromarray(grid) for grid in grids]
    if any(frame.mode == "RGB" for frame in frames):
        frames = [frame.convert("RGB").quantize(256) for frame in frames]
    durations = [10 * round(100 / fps)] * (len(frames) - 1) + [2000]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    _write({target: buffer.getvalue()})
    return target


def _numbers(value: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(f"{what}: {array.dtype} of shape {array.shape} given; a non-empty real array is accepted")
    return array


def _images(value: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.ndim != 4 or array.size == 0 or array.shape[1] not in (1, 3):
        raise InputError(f"images: shape {array.shape} given; (n, 1, h, w) and (n, 3, h, w) are accepted")
    if array.dtype.kind not in "fb":
        raise InputError(f"images: {array.dtype} given; floats from 0 to 1 are accepted (divide 8-bit by 255)")
    return array


def _states(states: Sequence[npt.ArrayLike]) -> list[npt.NDArray[Any]]:
    arrays = [_images(state) for state in states]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise InputError(f"states: shapes {shapes} given; one or more of the same shape (n, c, h, w) are accepted")
    return arrays


def _whole(value: int, what: str, least: int) -> int:
    if not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{what}: {value!r} given; whole numbers from {least} are accepted")
    return int(value)


def _target(path: StrPath, suffix: str) -> Path:
    target = Path(path)
    if target.suffix.lower() != suffix:
        raise InputError(f"{target}: only names that end in {suffix} are accepted here")
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give the name of a file")
    return target


def _write(files: Mapping[Path, bytes]) -> None:
    """Write all files or none of them."""
    with ExitStack() as stack:
        partial = {path: stack.enter_context(atomic_write(path)) for path in files}
        for path, content in files.items():
            partial[path].write_bytes(content)


def _png(pixels: Pixels, title: str | None = None) -> bytes:
    text = PngInfo()
    if title is not None:
        text.add_text("Title", title)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def _enlarged(grid: Pixels, scale: int | None = None, side: int = 800) -> Pixels:
    """Repeat pixels, by default until the longer side is about `side`."""
    if scale is None:
        scale = max(1, round(side / max(grid.shape[:2])))
    scale = _whole(scale, "scale", 1)
    return grid.repeat(scale, axis=0).repeat(scale, axis=1)


def _field_grid(weights: npt.ArrayLike, max_units: int) -> Pixels:
    array = _numbers(weights, "weights")
    shape = array.shape
    if array.ndim == 2 and is_square(shape[0]):
        # No number is both a square and three times a square, so the inputs tell the channels.
        channels = 1 if math.isqrt(shape[0]) ** 2 == shape[0] else 3
        side = math.isqrt(shape[0] // channels)
        fields = array.T.reshape(-1, channels, side, side)
    elif array.ndim == 4 and shape[2] == shape[3]:
        fields = array
    else:
        accepted = "(inputs, units) with h*h or 3*h*h inputs and (filters, channels, k, k) are accepted"
        raise InputError(f"weights: shape {shape} given; {accepted}")
    fields = fields[:max_units].astype(np.float64)
    finite = np.where(np.isfinite(fields), fields, 0)
    largest = np.abs(finite).max(axis=(1, 2, 3), keepdims=True)
    fields = 0.5 + 0.5 * (fields / np.where(largest > 0, largest, 1))
    rows = None
    if fields.shape[1] not in (1, 3):
        rows = len(fields)
        fields = fields.reshape(-1, 1, *fields.shape[2:])
    return image_grid(fields, rows=rows, background=WHITE)  # mid-gray would hide the edge of a field of zeros


def _charts(width: float, height: float, *panels: Any, **layout: Any) -> tuple[Figure, Any]:
    figure = Figure((width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    return figure, figure.subplots(*panels, **layout)


def _rendered(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _raw_figure(array: npt.NDArray[np.float64], name: str) -> Figure:
    finite = np.isfinite(array)
    good = array[finite]
    figure, (left, right) = _charts(9, 4, 1, 2, width_ratios=[3, 2])
    if array.ndim >= 2:
        _matrix(left, array.reshape(len(array), -1))
    else:
        _curve(left, np.arange(array.size), array.ravel(), color=BLUE)
        bad = np.flatnonzero(~finite)
        left.plot(bad, np.full(bad.shape, 0.03), "x", color="magenta", transform=left.get_xaxis_transform())
        left.set(xlabel="index", ylabel="value")
        left.xaxis.set_major_locator(_whole_ticks())
    _histogram(right, good)

    summary = f"shape {array.shape}"
    if good.size:
        summary += f"   mean {good.mean():.4g}   std {good.std():.4g}"
    if good.size < array.size:
        summary += f"   {array.size - good.size} not finite"
    figure.suptitle(f"{textwrap.fill(name, 90)}\n{summary}", fontsize=10, parse_math=False)
    return figure


def _whole_ticks() -> MaxNLocator:
    return MaxNLocator(9, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)


def _matrix(axes: Axes, matrix: npt.NDArray[np.float64]) -> None:
    finite = np.isfinite(matrix)
    limit = np.abs(matrix[finite]).max(initial=0) or 1.0
    # Averaging keeps a matrix larger than the panel free of aliasing, but would blur a small one.
    smooth = "nearest" if max(matrix.shape) <= 300 else "auto"
    colors = colormaps["RdBu_r"].with_extremes(bad="magenta")
    shown = np.ma.masked_where(~finite, matrix)
    image = axes.imshow(shown, cmap=colors, vmin=-limit, vmax=limit, aspect="auto", interpolation=smooth)
    rows, columns = np.nonzero(~finite)
    axes.plot(columns, rows, "s", markersize=3, color="magenta")  # a mark: one cell can be less than a pixel
    axes.figure.colorbar(image, ax=axes)
    axes.set(xlabel="column", ylabel="row")
    axes.xaxis.set_major_locator(_whole_ticks())
    axes.yaxis.set_major_locator(_whole_ticks())


def _histogram(axes: Axes, values: npt.NDArray[np.float64]) -> None:
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    largest = max(abs(low), abs(high))
    if high - low <= max(1e-6 * largest, 1e-290):  # too narrow for 50 bins, and their labels would be alike
        margin = 0.1 * largest if largest > 1e-290 else 1.0
        low, high = low - margin, high + margin
    axes.hist(values, bins=50, range=(low, high), color=BLUE)
    axes.set(xlabel="value", ylabel="count")


def _curve(axes: Axes, x: npt.NDArray[Any], y: npt.NDArray[np.float64], **style: Any) -> None:
    """A line through the finite points, with markers while they are few enough to be told apart."""
    shown = np.isfinite(x) & np.isfinite(y)
    axes.plot(x[shown], y[shown], marker="o" if shown.sum() <= 30 else "", markersize=4, **style)


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> npt.NDArray[np.float64]:
    return np.array([math.nan if row.get(key) in (None, "") else float(row[key]) for row in rows], np.float64)
