"""Plots of vectors: points of the plane, or sequences as rows."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from dpm.plots import products
from dpm.plots.charts import BLUE, StrPath, check_target, integer_ticks, make_figure, render_png, write_files
from dpm.plots.products import ROWS, Product


def save_vectors(
    X: npt.NDArray[Any], stem: StrPath, product: Product | None = None, **more: npt.ArrayLike
) -> tuple[Path, Path]:
    """Write `<stem>.npz`, the vectors under the key X and further arrays, and their plot `<stem>.png`.

    Vectors of two numbers are points. Longer ones are rows, the first 40, from white at the smallest value (0 or
    below) to black at the largest (1 or above), above the means of all vectors. Samples of a product are drawn next to
    the data and r(x), if they are points or bits.

    Args:
        X: vectors (n, size) in data units.
        stem: path of both files without their endings.
        product: r(x) and the data, for samples of a product with r(x).
        **more: further arrays for the .npz, by key.

    Returns:
        The paths of the .npz and of the .png.

    Raises:
        InputError: if the folder does not exist; then neither file is written.
    """
    arrays, plot = check_target(f"{stem}.npz", ".npz"), check_target(f"{stem}.png", ".png")
    buffer = io.BytesIO()
    np.savez(buffer, X=X, **more)  # type: ignore[arg-type]
    points = X.shape[1] == 2
    if product is not None and (points or np.isin(X, (0, 1)).all()):
        figure = products.draw_points(X, product) if points else products.draw_sequences(X, product)
    else:
        figure = _plot_points(X) if points else _plot_sequences(X)
    write_files({arrays: buffer.getvalue(), plot: render_png(figure)})
    return arrays, plot


def _plot_points(X: npt.NDArray[Any]) -> Figure:
    figure, axes = make_figure(5, 5, 1, 1)
    axes.plot(*X.T, ".", color=BLUE, markersize=2)
    low, high = X.min(), X.max()
    margin = 0.05 * (high - low) + 0.01
    limits = low - margin, high + margin  # the same for both axes, so that a narrow cloud looks narrow
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return figure


def _plot_sequences(X: npt.NDArray[Any]) -> Figure:
    figure, (rows, means) = make_figure(5, 6, 2, 1, height_ratios=[4, 1], sharex=True)
    low, high = min(0.0, X.min()), max(1.0, X.max())
    rows.imshow(X[:ROWS], cmap="gray_r", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    rows.set(ylabel="samples", yticks=[])
    means.bar(np.arange(X.shape[1]), X.mean(axis=0), color=BLUE)
    means.set(xlabel="element", ylabel="mean", ylim=(low, high))
    means.xaxis.set_major_locator(integer_ticks())
    return figure
