"""Toolbox of the plots: figures as PNG bytes, curves, histograms, and files written all or none.

Figures are matplotlib objects without pyplot: no display, no global state, nothing that accumulates over thousands of
plots. The same input gives the same bytes.
"""

import io
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from PIL import Image

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError

StrPath = str | os.PathLike[str]

BLUE, ORANGE, DARK = "#0072B2", "#D55E00", "#444444"  # distinct for every common kind of color blindness
GREEN, GRAY = "#009E73", "#999999"
COLORS_OF_VALUES = "RdBu_r"  # blue below 0, white at 0, red above
PERCENTILE = 99.5  # of the magnitudes, where a color scale ends
DPI = 128  # a power of two: whole pixels stay whole when converted to inches and back


def check_target(path: StrPath, suffix: str) -> Path:
    """Return the path if a file of this kind can be written there.

    Args:
        path: file to write.
        suffix: required ending with its dot, in lower case: ".png".

    Raises:
        InputError: if the path has another ending, is a folder, or its folder does not exist.
    """
    target = Path(path)
    if target.suffix.lower() != suffix:
        raise InputError(f"{target}: got the ending {target.suffix!r}; expected {suffix!r}; rename the file")
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise InputError(f"{target}: got a folder; expected the name of a file")
    return target


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write all files or none of them.

    Each file is complete in memory before it is put in place in one step, so a reader never sees half of it.

    Raises:
        OSError: if a file cannot be written; then every old file stays as it was.
    """
    with ExitStack() as stack:
        partial = {path: stack.enter_context(atomic_write(path)) for path in files}
        for path, content in files.items():
            partial[path].write_bytes(content)


def make_figure(width: float, height: float, *panels: Any, **layout: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes.

    Args:
        width: in inches.
        height: in inches.
        *panels: number of rows and of columns, as ``Figure.subplots`` takes them.
        **layout: further arguments of ``Figure.subplots``.

    Returns:
        (figure, axes): axes as ``Figure.subplots`` returns them.
    """
    figure = Figure((width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    return figure, figure.subplots(*panels, **layout)


def render_png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG, without a date or a version in it."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def render_gif(frames: Sequence[Image.Image], fps: float) -> bytes:
    """Return frames as the bytes of a GIF that repeats forever; the last frame stays for 2 seconds.

    Args:
        frames: images of one size, gray or with a palette.
        fps: frames per second, 0.1 to 50, rounded to what GIF can store (steps of 10 ms); equal neighbors are stored as
            one longer frame.

    Raises:
        InputError: for other rates.
    """
    if not 0.1 <= fps <= 50:
        raise InputError(f"fps: got {fps}; expected 0.1 to 50 frames per second")
    durations = [10 * round(100 / fps)] * (len(frames) - 1) + [2000]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return buffer.getvalue()


def plot_curve(axes: Axes, x: npt.NDArray[Any], y: npt.NDArray[np.float64], **style: Any) -> None:
    """Draw a line through the finite points (n,), with markers if there are 30 points or fewer."""
    finite = np.isfinite(x) & np.isfinite(y)
    axes.plot(x[finite], y[finite], marker="o" if finite.sum() <= 30 else "", markersize=4, **style)


def symmetric_limit(values: npt.NDArray[Any]) -> float:
    """Return the limit of a color scale symmetric about 0 that a few outliers do not stretch.

    It is the magnitude at the PERCENTILE-th percentile, or the largest one if that is 0, or 1 if all are 0.

    Args:
        values: finite values of any shape; may be empty.
    """
    magnitudes = np.abs(values)
    limit = np.percentile(magnitudes, PERCENTILE, method="higher") if magnitudes.size else 0
    return float(limit or magnitudes.max(initial=0) or 1.0)


def add_color_bar(axes: Axes, colors: ScalarMappable, values: npt.NDArray[Any], limit: float) -> None:
    """Add the color bar of finite values; pointed ends, and its label, say that some are beyond its limit."""
    beyond = int((np.abs(values) > limit).sum())
    bar = axes.figure.colorbar(colors, ax=axes, extend="both" if beyond else "neither")
    bar.set_label(f"value; {beyond:,} of {values.size:,} beyond" if beyond else "value")


def plot_matrix(axes: Axes, matrix: npt.NDArray[np.float64]) -> None:
    """Draw a matrix (rows, columns) in colors symmetric about 0; values that are not finite are magenta."""
    finite = np.isfinite(matrix)
    limit = symmetric_limit(matrix[finite])
    # Averaging keeps a matrix larger than the panel free of aliasing, but would blur a small one.
    smooth = "nearest" if max(matrix.shape) <= 300 else "auto"
    colors = colormaps[COLORS_OF_VALUES].with_extremes(bad="magenta")
    masked = np.ma.masked_where(~finite, matrix)
    image = axes.imshow(masked, cmap=colors, vmin=-limit, vmax=limit, aspect="auto", interpolation=smooth)
    rows, columns = np.nonzero(~finite)
    axes.plot(columns, rows, "s", markersize=3, color="magenta")  # a marker: one cell can be less than a pixel
    add_color_bar(axes, image, matrix[finite], limit)
    axes.set(xlabel="column", ylabel="row")
    axes.xaxis.set_major_locator(integer_ticks())
    axes.yaxis.set_major_locator(integer_ticks())


def plot_histogram(axes: Axes, values: npt.NDArray[np.float64]) -> None:
    """Draw the histogram of finite values (n,) in 50 bins; n may be 0."""
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    largest = max(abs(low), abs(high))
    if high - low <= max(1e-6 * largest, 1e-290):  # too narrow for 50 bins with distinct labels
        margin = 0.1 * largest if largest > 1e-290 else 1.0
        low, high = low - margin, high + margin
    axes.hist(values, bins=50, range=(low, high), color=BLUE)
    axes.set(xlabel="value", ylabel="count")


def integer_ticks() -> MaxNLocator:
    """Return a locator of up to nine ticks at whole numbers."""
    return MaxNLocator(9, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)


def set_log_time(axes: Axes) -> None:
    """Make the horizontal axis log t, with ticks at 1, 2 and 5 of each decade as plain numbers."""
    # Most of the bits are in the first steps, which a linear axis of t = 2..T squeezes into its left edge.
    axes.set(xlabel="t", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def column_values(rows: Sequence[Mapping[str, Any]], key: str) -> npt.NDArray[np.float64]:
    """Return the values under the key as floats (len(rows),), NaN where a row has none or an empty one."""
    return np.array([math.nan if row.get(key) in (None, "") else float(row[key]) for row in rows], np.float64)
