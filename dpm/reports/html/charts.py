"""The charts of the page: Bokeh figures as JSON, which bokeh.js in the page draws."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColumnDataSource,
    HoverTool,
    LogTicker,
    NumeralTickFormatter,
    PanTool,
    PrintfTickFormatter,
    Range1d,
    ResetTool,
    SaveTool,
    WheelZoomTool,
)
from bokeh.models.annotations import Legend, LegendItem, TeeHead, Title, Whisker
from bokeh.plotting import figure

from dpm.plots.training_curves import CURVES, Limits, find_limits
from dpm.reports.html.runs import BOUND_COLUMNS, MAX_RUNS, RunFiles

if TYPE_CHECKING:
    from dpm.reports.html.model import Divergences

# The palette of Okabe and Ito, distinguishable with every common kind of color blindness; the pale colors come last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#F0E442")
MAX_MARKERS = 30  # points of a curve that get a marker each
assert len(COLORS) == MAX_RUNS

Chart = tuple[str, Any]  # title, Bokeh figure as JSON


def make_bound_chart(runs: Sequence[RunFiles], numbers: Sequence[int]) -> Chart:
    """Draw K - L_null by epoch for runs of one unit, and their learning rates if any is above 0.

    The axis fits the last halves of the runs (`find_bound_limits`); a line below it counts the values that are off it.

    Args:
        runs: runs of one unit.
        numbers: their positions on the page; they select the color and the name of the data source, "log0", "log1", ...
            The first is in the names "limits0" and "note0" of the axis and of the line below it.
    """
    sources = [ColumnDataSource(clean(run.columns()), name=f"log{i}") for run, i in zip(runs, numbers, strict=True)]
    low, high, note = find_bound_limits(runs)
    y_range = Range1d(start=low, end=high, name=f"limits{numbers[0]}")
    bound = _make_figure(f"K - L_null ({runs[0].unit})", "epoch", height=380, y_range=y_range)
    lines: dict[str, list[Any]] = {name: [] for name in CURVES}
    for run, number, source in zip(runs, numbers, sources, strict=True):
        for name, (label, dash) in CURVES.items():
            if name in BOUND_COLUMNS or any(name in row for row in run.rows):
                line = _draw_line(bound, source, name, f"{run.name}, {label}", COLORS[number], dash, len(run.rows))
                lines[name].append(line)
    kinds = [(CURVES[name][0], _style_sample(bound, drawn, CURVES[name][1])) for name, drawn in lines.items() if drawn]
    _add_legend(bound, [*kinds, *_name_runs(runs, lines["test_K_minus_L_null"])], "center_left")
    bound.add_layout(Title(text=note, text_font_style="normal", name=f"note{numbers[0]}"), "below")
    title = f"K - L_null, {runs[0].unit}"
    if not any(value and value > 0 for source in sources for value in source.data["learning_rate"]):
        return title, json_item(bound)
    rate = _make_rate_figure(runs, numbers, sources, bound.x_range)
    return f"{title}, and learning rate", json_item(column([bound, rate], sizing_mode="stretch_width"))


def _make_rate_figure(
    runs: Sequence[RunFiles], numbers: Sequence[int], sources: Sequence[ColumnDataSource], x_range: Any
) -> Any:
    rate = _make_figure("learning rate", "epoch", height=220, x_range=x_range, y_axis_type="log")
    rate.yaxis.ticker = LogTicker(desired_num_ticks=3, num_minor_ticks=0)
    rate.yaxis.formatter = PrintfTickFormatter(format="%.1e")
    for run, number, source in zip(runs, numbers, sources, strict=True):
        _draw_line(rate, source, "learning_rate", run.name, COLORS[number], "solid", len(run.rows))
    return rate


def find_bound_limits(runs: Sequence[RunFiles]) -> Limits:
    """Return the limits of the axis of K - L_null for runs of one unit."""
    columns = [{name: np.array(values, dtype=np.float64) for name, values in run.columns().items()} for run in runs]
    return find_limits([(each["epoch"], {name: each[name] for name in CURVES}) for each in columns])


def make_divergence_chart(
    divergences: Iterable["Divergences"], runs: Sequence[RunFiles], numbers: Sequence[int]
) -> Chart:
    """Draw KL_t of Eq. 14 over log t with standard errors, for runs of one unit.

    Args:
        divergences: KL_t of each run.
        runs: runs of one unit.
        numbers: their positions on the page.
    """
    chart = _make_figure(f"KL_t ({runs[0].unit})", "t", height=340, x_axis_type="log", y_axis_type="log")
    chart.xaxis.ticker = LogTicker(mantissas=[1, 2, 5], num_minor_ticks=0)
    chart.xaxis.formatter = NumeralTickFormatter(format="0")
    lines = []
    for terms, run, number in zip(divergences, runs, numbers, strict=True):
        kl, error = terms.kl, terms.error
        # A log axis cannot show 0 or less: bars that reach there end at a tenth of the value.
        low = np.array([max(k - e, k / 10) for k, e in zip(kl, error, strict=True)])
        columns = {"t": terms.t, "kl": kl, "low": low, "high": kl + error, "first": terms.first, "last": terms.last}
        source = ColumnDataSource(clean({name: values.astype(float).tolist() for name, values in columns.items()}))
        place = "@first to @last"
        lines.append(_draw_line(chart, source, "kl", run.name, COLORS[number], "solid", MAX_MARKERS, "t", place))
        whisker = Whisker(source=source, base="t", upper="high", lower="low", line_color=COLORS[number])
        whisker.upper_head = whisker.lower_head = TeeHead(size=4)
        chart.add_layout(whisker)
    _add_legend(chart, _name_runs(runs, lines), "top_right")
    return f"KL_t of Eq. 14, {runs[0].unit}", json_item(chart)


def _style_sample(chart: Any, drawn: Sequence[Any], dash: str) -> Any:
    """Return what a legend shows of a kind of curve: the curve itself, or a black line where several runs have it."""
    if len(drawn) == 1:
        return drawn[0]
    return chart.line([math.nan], [math.nan], color="black", line_dash=dash, line_width=2)  # a legend needs a point


def _name_runs(runs: Sequence[RunFiles], lines: Sequence[Any]) -> list[tuple[str, Any]]:
    """Return the legend entries of the colors of several runs; the head of the page names a single one."""
    return [(run.name, line) for run, line in zip(runs, lines, strict=True)] if len(runs) > 1 else []


def _add_legend(chart: Any, entries: Sequence[tuple[str, Any]], location: str) -> None:
    """Add a legend of (label, curve) inside a chart; outside of it Bokeh takes height from the chart, or all of it."""
    if entries:
        items = [LegendItem(label={"value": label}, renderers=[drawn]) for label, drawn in entries]
        style: dict[str, Any] = {"location": location, "background_fill_alpha": 0.7}
        style |= {"label_text_font_size": "8pt", "label_height": 10, "glyph_height": 10, "padding": 4, "spacing": 1}
        chart.add_layout(Legend(items=items, **style))


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
    chart.xaxis.minor_tick_line_color = None
    if "x_axis_type" not in more:  # epochs are whole numbers
        chart.xaxis.ticker = BasicTicker(min_interval=1)
    chart.min_border_left = 75  # aligns the horizontal axes of charts below each other
    return chart


def _draw_line(
    chart: Any,
    source: ColumnDataSource,
    y: str,
    label: str,
    color: str,
    dash: str,
    points: int,
    x: str = "epoch",
    place: str = "",
) -> Any:
    line = chart.line(x, y, source=source, color=color, line_dash=dash, line_width=2)
    if points <= MAX_MARKERS:
        chart.scatter(x, y, source=source, color=color, size=4)
    tips = [("run", _escape_tooltip(label)), (x, place or f"@{x}"), ("value", f"@{y}{{0.00000}}")]
    chart.add_tools(HoverTool(renderers=[line], tooltips=tips, visible=False, mode="mouse"))
    return line


def _escape_tooltip(label: str) -> str:
    """Replace @ and $, which refer to columns in a tooltip."""
    return label.replace("@", "(at)").replace("$", "(dollar)")
