"""Training curves: what each is called and how its line is drawn, and the limits of their axis."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm.plots.charts import BLUE, DARK, GREEN, ORANGE, column_values, integer_ticks, make_figure, plot_curve

Values = npt.NDArray[np.float64]

# Column of the log: name and line style, the same in PNG files and in the HTML report.
CURVES = {
    "test_K_minus_L_null": ("test", "solid"),
    "train_K_minus_L_null": ("train, mean over the epoch", "dashed"),
    "ceiling": ("ceiling of K", "dotted"),
    "truth": ("exact log likelihood", "dashdot"),
}
COLORS = dict(zip(CURVES, (ORANGE, BLUE, DARK, GREEN), strict=True))
REFERENCES = ("ceiling", "truth")
MARGIN = 0.05  # of the axis, above and below the curves
WORTH_CUTTING = 3  # times the height of the last half; a lower curve is shown as a whole
FEW = 8  # epochs, which are shown as a whole too


class Limits(NamedTuple):
    """Limits of the axis of the bound.

    Attributes:
        low, high: its ends.
        note: what of the curves is off the axis, or "".
    """

    low: float
    high: float
    note: str


Run = tuple[Values, Mapping[str, Values]]  # epochs (n,), and the curves (n,) by a name of CURVES; NaN where missing


def find_limits(runs: Sequence[Run]) -> Limits:
    """Return limits that fit the last half of the epochs of each run, so that their differences can be read.

    The curves rise by orders of magnitude in the first epochs. Ceiling and truth are inside in any case. Few epochs,
    and curves that need an axis of at most WORTH_CUTTING times that height, are shown as a whole.

    Args:
        runs: the curves of each run.
    """
    everything = np.concatenate(
        [y[np.isfinite(epochs) & np.isfinite(y)] for epochs, curves in runs for y in curves.values()]
    )
    if not everything.size:
        return Limits(-1.0, 1.0, "")
    shown = np.concatenate([_select_late(*run) for run in runs])
    longest = max(np.isfinite(epochs).sum() for epochs, _ in runs)
    if not shown.size or longest <= FEW or np.ptp(everything) <= WORTH_CUTTING * np.ptp(shown):
        shown = everything
    low, high = shown.min(), shown.max()
    margin = MARGIN * (high - low) or max(MARGIN * abs(high), 1e-6)
    low, high = float(low - margin), float(high + margin)
    sides = (("below", int((everything < low).sum())), ("above", int((everything > high).sum())))
    parts = [f"{count} {side}" for side, count in sides if count]
    return Limits(low, high, f"earlier values off the axis: {' and '.join(parts)}" if parts else "")


def _select_late(epochs: Values, curves: Mapping[str, Values]) -> Values:
    """Return the values of the last half of the epochs, and all of ceiling and truth."""
    finite = np.isfinite(epochs)
    middle = (epochs[finite].min() + epochs[finite].max()) / 2 if finite.any() else 0.0
    parts = [y[np.isfinite(y) & (finite if name in REFERENCES else epochs > middle)] for name, y in curves.items()]
    return np.concatenate(parts)


def draw_training_curves(rows: Sequence[Mapping[str, Any]], unit: str) -> Figure:
    """Return the figure of viz.plot_monitors."""
    epochs = column_values(rows, "epoch")
    figure, (bound, rate) = make_figure(7, 5, 2, 1, sharex=True, height_ratios=[3, 1])
    null = column_values(rows, "test_K") - column_values(rows, "test_K_minus_L_null")
    curves = {
        name: column_values(rows, name) - (null if name in REFERENCES else 0)
        for name in CURVES
        if name not in REFERENCES or any(name in row for row in rows)
    }
    for name, values in curves.items():
        label, style = CURVES[name]
        plot_curve(bound, epochs, values, label=label, color=COLORS[name], linestyle=style)
    low, high, note = find_limits([(epochs, curves)])
    bound.set(ylabel=rf"$K - L_\mathrm{{null}}$ ({unit})", ylim=(low, high))
    bound.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    if note:
        bound.text(0.01, 0.02, note, transform=bound.transAxes, fontsize=8, va="bottom")
    rates = column_values(rows, "learning_rate")
    plot_curve(rate, epochs, rates, color=DARK)
    _scale_rates(rate, rates)
    rate.set_xlabel("epoch")
    rate.set_ylabel("learning rate\nafter the epoch", fontsize=8)
    rate.xaxis.set_major_locator(integer_ticks())
    for axes in (bound, rate):
        axes.grid(alpha=0.3)
    return figure


def _scale_rates(axes: Axes, rates: Values) -> None:
    """Choose the axis of the learning rates (n,): log for more than a decade, linear where one is 0."""
    finite = rates[np.isfinite(rates)]
    if finite.size and finite.min() > 0 and finite.max() > 10 * finite.min():  # fewer ticks of a log axis are crowded
        axes.set_yscale("log")
        return
    axes.ticklabel_format(axis="y", scilimits=(-2, 2))
    if finite.size and not finite.any():  # one epoch of a schedule that ends at 0
        axes.set(ylim=(-0.5, 1), yticks=[0])
