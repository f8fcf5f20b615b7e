"""Draw K of the test examples over the time of training, a panel for each row of a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from dpm.base.atomic import atomic_write
from dpm.plots.charts import ORANGE, make_figure, plot_curve, render_png
from dpm.plots.training_curves import find_limits
from dpm.reports.tables.plan import Plan
from dpm.reports.tables.rows import Row

COLUMN = "test_K_minus_L_null"
COLUMNS = 3  # panels side by side


class Curve(NamedTuple):
    """K - L_null after each epoch of a row's run.

    Attributes:
        title: name of the row.
        unit: of K.
        minutes: of training without evaluation (n,).
        values: K - L_null of the test examples (n,), an estimate.
        errors: standard error of the draws of t and noise of each (n,). It is larger after epochs with few draws.
    """

    title: str
    unit: str
    minutes: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]


def make_curves(rows: Sequence[Row], records: Sequence[Mapping[str, Any]], plan: Plan) -> str | None:
    """Draw the curves of the rows that are there; return the name of the image in the results, or None without any.

    Args:
        rows: rows of the table.
        records: their records.
        plan: options of the command.
    """
    made = [(row, record) for row, record in zip(rows, records, strict=True) if "missing" not in record]
    if not (curves := [read_curve(row, record) for row, record in made if record["curve"]["minutes"]]):
        return None
    name = f"{plan.what}_curves.png"
    with atomic_write(plan.results / name) as temporary:
        temporary.write_bytes(render_png(draw_curves(curves)))
    return name


def read_curve(row: Row, record: Mapping[str, Any]) -> Curve:
    """Return the curve in the record of a row."""
    keys = "minutes", "K_minus_L_null", "draws_error"
    return Curve(row.name, row.unit, *(np.array(record["curve"][key], np.float64) for key in keys))


def draw_curves(curves: Sequence[Curve]) -> Figure:
    """Return the figure, with bands of two standard errors; as in the log's plot, first values may be off the axis."""
    height = math.ceil(len(curves) / COLUMNS)
    figure, axes = make_figure(11, 2.6 * height, height, COLUMNS, squeeze=False)
    for curve, panel in zip(curves, axes.flat, strict=False):
        plot_curve(panel, curve.minutes, curve.values, color=ORANGE)
        band = curve.values - 2 * curve.errors, curve.values + 2 * curve.errors
        panel.fill_between(curve.minutes, *band, color=ORANGE, alpha=0.2, linewidth=0)
        low, high, note = find_limits([(curve.minutes, {COLUMN: curve.values})])
        panel.set(
            title=curve.title,
            xlim=(0, None),
            ylim=(low, high),
            xlabel="minutes",
            ylabel=rf"$K - L_\mathrm{{null}}$, {curve.unit}",
        )
        panel.text(0.01, 0.02, note, transform=panel.transAxes, fontsize=7, va="bottom")
        panel.grid(alpha=0.3)
    for panel in axes.flat[len(curves) :]:
        panel.set_visible(False)
    return figure
