"""The page's charts: Bokeh figures as JSON, which bokeh.js in the page draws."""

import math

from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import BoxZoomTool, ColumnDataSource, HoverTool, PanTool, ResetTool, SaveTool, WheelZoomTool
from bokeh.models.annotations import TeeHead, Whisker
from bokeh.plotting import figure

from dpm.reports.html.runs import BOUND, MOST_RUNS

# Okabe and Ito's colors, apart for every common kind of color blindness; the pale ones last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#F0E442")
STYLES = {
    "test_K_minus_L_null": ("test", "solid"),
    "train_K_minus_L_null": ("training", "dashed"),
    "ceiling": ("ceiling", "dotted"),
    "truth": ("truth", "dotdash"),
}
MARKED = 30  # points, up to which they are marked
assert len(COLOURS) == MOST_RUNS


def curves(runs, numbers):
    """(title, chart as JSON) of the logs of runs that have one unit: K - L_null, and the learning rate if any.

    numbers: of the runs on the page, which are part of the names of their sources: log0, log1, ...
    """
    sources = [ColumnDataSource(clean(run.columns()), name=f"log{i}") for run, i in zip(runs, numbers, strict=True)]
    bound = _figure(f"K - L_null ({runs[0].unit})", "epoch", height=360)
    rate = _figure("learning rate", "epoch", height=200, x_range=bound.x_range, y_axis_type="log")
    some_rate = False
    for run, number, source in zip(runs, numbers, sources, strict=True):
        for name, (label, dash) in STYLES.items():
            if name in BOUND or any(name in row for row in run.rows):
                _line(bound, source, name, f"{run.name}, {label}", COLOURS[number], dash, len(run.rows))
        some_rate |= any(value and value > 0 for value in source.data["learning_rate"])
        _line(rate, source, "learning_rate", run.name, COLOURS[number], "solid", len(run.rows))
    title = f"K - L_null, {runs[0].unit}"
    if not some_rate:
        return title, json_item(bound)
    return f"{title}, and learning rate", json_item(column([bound, rate], sizing_mode="stretch_width"))


def divergence_chart(found, runs, numbers):
    """(title, JSON) of KL_t by t with standard errors. found: a Divergences for each of the runs, of one unit."""
    chart = _figure(f"KL_t ({runs[0].unit})", "t", height=320, y_axis_type="log")
    for divergences, run, number in zip(found, runs, numbers, strict=True):
        kl, error = divergences.kl, divergences.error
        # A log axis has no place for 0: a bar that reaches below ends a tenth up.
        columns = {"t": divergences.t, "kl": kl, "low": [max(k - e, k / 10) for k, e in zip(kl, error, strict=True)]}
        columns |= {"high": kl + error, "first": divergences.first, "last": divergences.last}
        source = ColumnDataSource(clean({name: [float(v) for v in values] for name, values in columns.items()}))
        _line(chart, source, "kl", run.name, COLOURS[number], "solid", MARKED, x="t")
        whisker = Whisker(source=source, base="t", upper="high", lower="low", line_color=COLOURS[number])
        whisker.upper_head = whisker.lower_head = TeeHead(size=4)
        chart.add_layout(whisker)
    return f"KL_t of Eq. 14, {runs[0].unit}", json_item(chart)


def clean(columns):
    """Columns of numbers with None for those that are not finite, as JSON has them."""
    return {name: [v if math.isfinite(v) else None for v in values] for name, values in columns.items()}


def _figure(ylabel, xlabel, **more):
    zoom = BoxZoomTool()
    tools = [zoom, PanTool(), WheelZoomTool(), ResetTool(), SaveTool()]
    chart = figure(
        sizing_mode="stretch_width", min_width=200, tools=tools, active_drag=zoom, toolbar_location="above",
        x_axis_label=xlabel, y_axis_label=ylabel, output_backend="svg", **more,
    )  # fmt: skip
    chart.toolbar.logo = None
    chart.axis.axis_label_text_font_style = "normal"
    chart.xaxis.minor_tick_line_color = None  # there is nothing between two epochs
    chart.min_border_left = 75  # so that charts below each other have one time axis
    return chart


def _line(chart, source, y, label, color, dash, points, x="epoch"):
    line = chart.line(x, y, source=source, color=color, line_dash=dash, line_width=2)
    if points <= MARKED:
        chart.scatter(x, y, source=source, color=color, size=4)
    tips = [("run", _as_text(label)), (x, f"@{x}"), ("value", f"@{y}{{0.00000}}")]
    chart.add_tools(HoverTool(renderers=[line], tooltips=tips, visible=False, mode="mouse"))


def _as_text(label):
    """A name as a tooltip shows it: @ and $ would ask for a column there."""
    return label.replace("@", "(at)").replace("$", "(dollar)")
