"""Figures of parameters and of what a network computes: tiles of one color scale, matrices, lines and histograms."""

import math
import textwrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure

from dpm.base.errors import InputError
from dpm.plots.charts import (
    BLUE,
    COLORS_OF_VALUES,
    add_color_bar,
    integer_ticks,
    make_figure,
    plot_curve,
    plot_histogram,
    plot_matrix,
    symmetric_limit,
)

Values = npt.NDArray[Any]
GAP = "#808080"  # between tiles: gray, which is no color of a value
NUMBERED = 40  # rows or columns of tiles that get a number each


def draw_tiles(axes: Axes, tiles: Values, row: str, column: str) -> None:
    """Draw maps (n, c, h, w) as tiles on one color scale, symmetric about 0, with a color bar.

    The c maps of one n stand next to each other; with c = 1, or room for more, several n stand in a row. Gaps are gray,
    and values that are not finite are magenta.

    Args:
        axes: axes to draw on.
        tiles: the maps.
        row: name of the first axis of `tiles`, such as "filter".
        column: name of the second one.
    """
    n, c, h, w = tiles.shape
    finite = np.isfinite(tiles)
    limit = symmetric_limit(tiles[finite])
    colors = ScalarMappable(Normalize(-limit, limit), colormaps[COLORS_OF_VALUES])
    pixels = colors.to_rgba(np.where(finite, tiles, 0))[..., :3]
    pixels[~finite] = to_rgb("magenta")
    across = count_across(n, c)
    axes.imshow(_arrange(pixels, across), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    if across == 1 and c > 1:
        for axis, count, size, name in ((axes.yaxis, n, h + 1, row), (axes.xaxis, c, w + 1, column)):
            every = -(-count // NUMBERED)
            axis.set_ticks(size * np.arange(0, count, every) + 0.5 * size, labels=np.arange(0, count, every))
            axis.set_label_text(name)
            axis.set_tick_params(length=0, labelsize=6)
    else:
        order = f"{row} 0 to {n - 1} in reading order"
        axes.set_xlabel(order if c == 1 else f"{order}, each {c} tiles: {column} 0 to {c - 1}")
    add_color_bar(axes, colors, tiles[finite], limit)


def count_across(n: int, c: int) -> int:
    """Return how many n of c tiles each stand in a row, so that all are as near to square as their number allows."""
    return math.ceil(math.sqrt(n)) if c == 1 else max(1, round(math.sqrt(n / c)))


def _arrange(pixels: Values, across: int) -> Values:
    """Return RGB tiles (n, c, h, w, 3) as one image with `across` n in each row."""
    n, c, h, w, _ = pixels.shape
    rows, wide = -(-n // across), 2 if c > 1 and across > 1 else 0  # further pixels between the n of a row
    cells = np.empty((rows * across, h + 1, c * (w + 1) + wide, 3))
    cells[:] = to_rgb(GAP)
    padded = np.empty((n, h, c, w + 1, 3))
    padded[:] = to_rgb(GAP)
    padded[..., :w, :] = pixels.transpose(0, 2, 1, 3, 4)
    cells[:n, :h, : c * (w + 1)] = padded.reshape(n, h, c * (w + 1), 3)
    grid = cells.reshape(rows, across, *cells.shape[1:]).swapaxes(1, 2).reshape(rows * (h + 1), -1, 3)
    framed = np.empty((grid.shape[0] + 1, grid.shape[1] + 1, 3))
    framed[:] = to_rgb(GAP)
    framed[1:, 1:] = grid
    return framed


def draw_channels(values: Values, name: str, images: int = 4, channels: int = 64) -> Figure:
    """Return a figure of what a network computes for the first images: a row for each, a column for each channel.

    Args:
        values: (n, channels, h, w).
        name: what it is, for the title.
        images: number of images shown.
        channels: number of channels shown.
    """
    shown = values[:images, :channels].astype(np.float64)
    figure, axes = make_figure(*_figure_size(shown), 1, 1)
    draw_tiles(axes, shown, "image", "channel")
    parts = [count_shown(len(shown), len(values), "images"), count_shown(shown.shape[1], values.shape[1], "channels")]
    figure.suptitle(f"{textwrap.fill(name, 100)}\n{'; '.join(parts)}", fontsize=10, parse_math=False)
    return figure


def draw_receptive_fields(weights: Values, max_units: int, name: str = "") -> Figure:
    """Return the figure of viz.show_receptive_fields."""
    fields, row, column = select_fields(weights)
    shown = fields[:max_units].astype(np.float64)
    figure, axes = make_figure(*_figure_size(shown), 1, 1)
    draw_tiles(axes, shown, row, column)
    title = count_shown(len(shown), len(fields), f"{row}s")
    figure.suptitle(f"{textwrap.fill(name, 90)}\n{title}" if name else title, fontsize=10, parse_math=False)
    return figure


def count_shown(shown: int, total: int, name: str) -> str:
    """Return "first 64 of 128 filters", or "all 20 filters"."""
    return f"all {total} {name}" if shown == total else f"first {shown} of {total} {name}"


def select_fields(weights: Values) -> tuple[Values, str, str]:
    """Return weights as maps (units, channels, h, w), with the names of the first two axes.

    Raises:
        InputError: for a shape that has no receptive fields.
    """
    shape = weights.shape
    if weights.ndim == 4 and shape[2] == shape[3]:
        return weights, "filter", "input channel"
    for channels in (1, 3):  # no number is both a square and three times a square
        side = math.isqrt(shape[0] // channels) if weights.ndim == 2 else 0
        if side and side**2 * channels == shape[0] and weights.size:
            return weights.T.reshape(-1, channels, side, side), "unit", "color"
    expected = "(inputs, units) with h*h or 3*h*h inputs, or (filters, channels, k, k)"
    raise InputError(f"weights: got shape {shape}; expected {expected}")


def draw_parameter(array: Values, name: str, side: int | None = None) -> Figure:
    """Return the figure of viz.plot_parameter's `_raw.png`; values that are not finite are NaN in `array`."""
    finite = np.isfinite(array)
    good = array[finite]
    figure, (left, right) = make_figure(10, 4.5, 1, 2, width_ratios=[3, 2])
    maps = select_maps(array, side)
    if maps is not None:
        draw_tiles(left, maps[:, None], "map", "")
    elif array.ndim >= 2:
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


def select_maps(array: Values, side: int | None) -> Values | None:
    """Return a bias that has one value per place as maps (n, h, w), or None.

    That is (n, h, w) of a convolution, or a vector of side * side * n values, channel last, of a dense layer whose
    output is images.
    """
    if array.ndim == 3:
        return array
    if array.ndim == 1 and side and side > 1 and array.size and array.size % side**2 == 0:
        return array.reshape(side, side, -1).transpose(2, 0, 1)
    return None


def _figure_size(tiles: Values) -> tuple[float, float]:
    """Return width and height in inches of a figure whose tiles fill it."""
    n, c, h, w = tiles.shape
    across = count_across(n, c)
    width, height = across * c * (w + 1), -(-n // across) * (h + 1)
    longest = (10 if max(width, height) > 500 else 7) / max(width, height)  # many small tiles need more pixels
    return max(4.0, width * longest + 1.6), max(2.2, height * longest + 1.0)
