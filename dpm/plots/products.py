"""Samples of a product p(x) r(x) over the data: points of the plane with contours of r(x), or sequences as rows."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dpm.plots.charts import BLUE, GRAY, ORANGE, integer_ticks, make_figure

Values = npt.NDArray[Any]

GRID = 81  # points of an axis at which r is evaluated
DEVIATIONS = (3, 2, 1)  # contours: where a Gaussian r would be that many deviations from its mean
ROWS = 40


class Product(NamedTuple):
    """What is drawn with the samples of a product.

    Attributes:
        log_r: function of examples (n, size) in data units that returns log r(x) in nats, (n,).
        data: examples (m, size) in data units, m >= 1; or None.
    """

    log_r: Callable[[Values], Values]
    data: Values | None = None


def draw_points(samples: Values, product: Product) -> Figure:
    """Return a figure of samples (n, 2) in blue over the data in gray, with contours of r(x) in orange."""
    figure, axes = make_figure(6, 5.6, 1, 1)
    points = samples if product.data is None else np.concatenate([samples, product.data])
    low, high = points.min(), points.max()
    margin = 0.05 * (high - low) + 0.01
    limits = low - margin, high + margin
    handles = []
    for X, color, name in ((product.data, GRAY, "data"), (samples, BLUE, "samples of p(x) r(x)")):
        if X is not None:
            handles += axes.plot(*X.T, ".", color=color, markersize=3, label=name, alpha=0.7)
    levels = _contours(axes, product.log_r, limits)
    names = ", ".join(f"{np.exp(level):.2f}" for level in levels[::-1])
    handles.append(Line2D([], [], color=ORANGE, label=f"r(x) / its largest value: {names}"))
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8)
    return figure


def _contours(axes: Axes, log_r: Callable[[Values], Values], limits: tuple[float, float]) -> list[float]:
    """Draw contours of r within the limits; return their levels of log r less its largest value."""
    axis = np.linspace(*limits, GRID)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values = np.asarray(log_r(grid), np.float64).reshape(GRID, GRID)
    levels = [-0.5 * k**2 for k in DEVIATIONS]
    axes.contour(axis, axis, values - values.max(), levels=levels, colors=ORANGE, linewidths=1.2, linestyles="solid")
    return levels


def draw_sequences(samples: Values, product: Product) -> Figure:
    """Return a figure of bits: data and samples (n, size) as rows, above the shares of ones and what r prefers.

    A triangle points up where r(x) is larger with a 1 than with a 0 in that bin, all others 0, and down where it is
    smaller.
    """
    size = samples.shape[1]
    panels = [] if product.data is None else [("data", product.data, GRAY)]
    panels.append(("samples of p(x) r(x)", samples, BLUE))
    bins = np.arange(size)
    values = np.asarray(product.log_r(np.concatenate([np.zeros((1, size)), np.eye(size)])), np.float64)
    gain = values[1:] - values[0]
    figure, axes = make_figure(4.5 * len(panels), 6, 2, len(panels), height_ratios=[4, 1], sharex=True, squeeze=False)
    for (rows, shares), (name, X, color) in zip(axes.T, panels, strict=True):
        rows.imshow(X[:ROWS], cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        rows.set(title=f"{name}, {min(len(X), ROWS)} of {len(X):,}", yticks=[])
        shares.bar(bins, X.mean(axis=0), color=color)
        shares.set(xlabel="bin", ylim=(0, 1.25), yticks=[0, 0.5, 1])
        shares.xaxis.set_major_locator(integer_ticks())
        for chosen, marker, label in ((gain > 0, "^", "r prefers 1"), (gain < 0, "v", "r prefers 0")):
            if chosen.any():
                shares.plot(bins[chosen], np.full(chosen.sum(), 1.1), marker, color=ORANGE, label=label, linestyle="")
    axes[1, 0].set_ylabel("share of ones")
    figure.legend(*axes[1, -1].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    return figure
