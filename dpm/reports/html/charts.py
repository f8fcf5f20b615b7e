"""The charts of the page: Bokeh figures as JSON, which bokeh.js in the page draws."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import BoxZoomTool, ColumnDataSource, HoverTool, PanTool, ResetTool, SaveTool, WheelZoomTool
from bokeh.models.annotations import TeeHead, Whisker
from bokeh.plotting import figure

from dpm.reports.html.runs import BOUND_COLUMNS, MAX_RUNS, RunFiles

if TYPE_CHECKING:
    from dpm.reports.html.model import Divergences

# The palette of Okabe and Ito, distinguishable with every common kind of color blindness; the pale colors come last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#F0E442")
STYLES = {
    "test_K_minus_L_null": ("test", "solid"),
    "train_K_minus_L_null": ("training", "dashed"),
    "ceiling": ("ceiling", "dotted"),
    "truth": ("exact log likelihood", "dotdash"),
}
MAX_MARKERS = 30  # points of a curve that get a marker each
assert len(COLORS) == MAX_RUNS

Chart = tuple[str, Any]  # title, Bokeh figure as JSON


def make_bound_chart(runs: Sequence[RunFiles], numbers: Sequence[int]) -> Chart:
    """Draw K - L_null by epoch for runs of one unit, and their learning rates if any is above 0.

    Args:
        runs: runs of one unit.
        numbers: their positions on the page; they select the color and the name of the data source, "log0", "log1", ...
    """
    sources = [ColumnDataSource(clean(run.columns()), name=f"log{i}") for run, i in zip(runs, numbers, strict=True)]
    bound = _make_figure(f"K - L_null ({runs[0].unit})", "epoch", height=360)
    rate = _make_figure("learning rate", "epoch", height=200, x_range=bound.x_range, y_axis_type="log")
    any_rate = False
    for run, number, source in zip(runs, numbers, sources, strict=True):
        for name, (label, dash) in STYLES.items():
            if name in BOUND_COLUMNS or any(name in row for row in run.rows):
                _draw_line(bound, source, name, f"{run.name}, {label}", COLORS[number], dash, len(run.rows))
        any_rate |= any(value and value > 0 for value in source.data["learning_rate"])
        _draw_line(rate, source, "learning_rate", run.name, COLORS[number], "solid", len(run.rows))
    title = f"K - L_null, {runs[0].unit}"
    if not any_rate:
        return title, json_item(bound)
    return f"{title}, and learning rate", json_item(column([bound, rate], sizing_mode="stretch_width"))


def make_divergence_chart(
    divergences: Iterable["Divergences"], runs: Sequence[RunFiles], numbers: Sequence[int]
) -> Chart:
    """Draw KL_t of Eq. 14 over t with standard errors, for runs of one unit.

    Args:
        divergences: KL_t of each run.
        runs: runs of one unit.
        numbers: their positions on the page.
    """
    chart = _make_figure(f"KL_t ({runs[0].unit})", "t", height=320, y_axis_type="log")
    for terms, run, number in zip(divergences, runs, numbers, strict=True):
        kl, error = terms.kl, terms.error
        # A log axis cannot show 0 or less: bars that reach there end at a tenth of the value.
        low = np.array([max(k - e, k / 10) for k, e in zip(kl, error, strict=True)])
        columns = {"t": terms.t, "kl": kl, "low": low, "high": kl + error, "first": terms.first, "last": terms.last}
        source = ColumnDataSource(clean({name: values.astype(float).tolist() for name, values in columns.items()}))
        _draw_line(chart, source, "kl", run.name, COLORS[number], "solid", MAX_MARKERS, x="t")
        whisker = Whisker(source=source, base="t", upper="high", lower="low", line_color=COLORS[number])
        whisker.upper_head = whisker.lower_head = TeeHead(size=4)
        chart.add_layout(whisker)
    return f"KL_t of Eq. 14, {runs[0].unit}", json_item(chart)


def clean(columns: Mapping[str, Iterable[float]]) -> dict[str, list[float | None]]:
    """Replace numbers that are not finite by None, as JSON has no NaN."""
    return {name: [v if math.isfinite(v) else None for v in values] for name, values in columns.items()}


def _make_figure(ylabel: str, xlabel: str, **more: Any) -> Any:
    zoom = BoxZoomTool()
    tools = [zoom, PanTool(), WheelZoomTool(), ResetTool(), SaveTool()]
    chart = figure(
        sizing_mode="stretch_width", min_width=200, tools=tools, active_drag=zoom, toolbar_location="above",
        x_axis_label=xlabel, y_axis_label=ylabel, output_backend="svg", **more,
    )  # fmt: skip
    chart.toolbar.logo = None
    chart.axis.axis_label_text_font_style = "normal"
    chart.xaxis.minor_tick_line_color = None  # epochs and t are whole numbers
    chart.min_border_left = 75  # aligns the horizontal axes of charts below each other
    return chart


def _draw_line(
    chart: Any, source: ColumnDataSource, y: str, label: str, color: str, dash: str, points: int, x: str = "epoch"
) -> None:
    line = chart.line(x, y, source=source, color=color, line_dash=dash, line_width=2)
    if points <= MAX_MARKERS:
        chart.scatter(x, y, source=source, color=color, size=4)
    tips = [("run", _escape_tooltip(label)), (x, f"@{x}"), ("value", f"@{y}{{0.00000}}")]
    chart.add_tools(HoverTool(renderers=[line], tooltips=tips, visible=False, mode="mouse"))


def _escape_tooltip(label: str) -> str:
    """Replace @ and $, which refer to columns in a tooltip."""
    return label.replace("@", "(at)").replace("$", "(dollar)")
