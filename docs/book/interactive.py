"""Interactive figures for the chapters, with a slider or with values on hover; printed pages have a static image.

Usage in a cell of a chapter, which shows its last expression (no semicolon)::

    import interactive

    # Point clouds (times, n, 2) or images (times, n, c, h, w) in 0..1 at the times t, which one slider moves.
    interactive.slider_over_states(
        {"forward, x_t": forward, "reverse, x_t": reverse}, times=[0, 1, 5, 10],
        alt="The spiral dissolves as t grows; the reverse states are like the forward ones.",
    )
    # beta_1..beta_T by name: beta_t next to the log of the ratio of signal to noise.
    interactive.schedules({"linear": linear, "1/(T - t + 1)": fixed}, alt="...")
    # KL_t by name: (t, values), or only the values where they are those of t = 2..T.
    interactive.terms_by_time({"trained": (t, kl), "untrained": (t, kl_0)}, unit="nats", alt="...")

`alt` says what one sees, for a reader who cannot see it. Each function returns a `Figure`, which the site, the slides
and a Jupyter notebook show. Of long trajectories 41 states are kept, of the first 400 points or 16 images, so that a
page is small.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from bokeh.embed import json_item
from bokeh.models import (
    Column,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    HoverTool,
    LogTicker,
    NumeralTickFormatter,
    Range1d,
    Row,
    Slider,
)
from bokeh.plotting import figure

from dpm.plots.charts import make_figure, render_png, set_log_time
from dpm.plots.pixels import image_grid
from dpm.reports.html.charts import COLORS

MAX_STATES, MAX_POINTS, MAX_IMAGES = 41, 400, 16
PRINTED_STATES = 5
SIDE = 330  # pixels of a square panel; two fit next to each other on a slide, one on a phone
WRAP = {"flex-wrap": "wrap"}  # on a phone one panel is below the other
SHOW_STATE = """
const i = slider.value;
shown.forEach((source, k) => {
  const data = {};
  for (const name of Object.keys(source.data)) data[name] = states[k].data[name + i];
  source.data = data;
});
"""


class Figure(NamedTuple):
    """An interactive figure.

    Attributes:
        model: the Bokeh model.
        picture: PNG for print, and where no script runs.
        alt: what one sees.
    """

    model: Any
    picture: bytes
    alt: str

    def _repr_html_(self) -> str:
        """Return the picture and the data of the figure, which `_static/interactive.js` draws in its place."""
        alt, data = escape(self.alt), json.dumps(json_item(self.model)).replace("</", "<\\/")
        return (
            f'<div class="interactive" role="group" aria-label="{alt}">'
            f'<img class="interactive-picture" alt="{alt}" '
            f'src="data:image/png;base64,{b64encode(self.picture).decode()}">'
            f'<div class="interactive-figure"></div><script type="application/json">{data}</script></div>'
        )


def slider_over_states(states: Mapping[str, npt.ArrayLike], times: Sequence[int], *, alt: str) -> Figure:
    """Show states of trajectories next to each other; a slider moves over t.

    Args:
        states: by caption, points (len(times), n, 2) or images (len(times), n, c, h, w) with values 0..1, c 1 or 3.
        times: t of each state.
        alt: what one sees.

    Raises:
        ValueError: states of another shape.
    """
    kept = np.unique(np.linspace(0, len(times) - 1, min(len(times), MAX_STATES)).round().astype(int))
    shown_times = [int(times[i]) for i in kept]
    panels, shown, columns = [], [], []
    arrays = {caption: _choose(np.asarray(X), kept, len(times)) for caption, X in states.items()}
    limits = _find_limits([X for X in arrays.values() if X.ndim == 3])
    for number, (caption, X) in enumerate(arrays.items()):
        names, frames = _make_frames(X)
        columns.append(ColumnDataSource({f"{n}{i}": f[k] for i, f in enumerate(frames) for k, n in enumerate(names)}))
        shown.append(ColumnDataSource(dict(zip(names, frames[0], strict=True)), name="shown"))
        panels.append(_draw_panel(caption, X, shown[-1], limits, COLORS[number % len(COLORS)]))
    name_of_t = CustomJSTickFormatter(args={"times": shown_times}, code="return String(times[tick])")
    slider = Slider(start=0, end=len(kept) - 1, value=0, step=1, title="t", format=name_of_t, width=SIDE)
    slider.margin = (5, 20, 5, 20)
    script = CustomJS(args={"slider": slider, "shown": shown, "states": columns}, code=SHOW_STATE)
    slider.js_on_change("value", script)
    row = Row(children=panels, styles=WRAP)
    return Figure(Column(slider, row), _print_states(arrays, shown_times, limits), alt)


def schedules(betas: Mapping[str, npt.ArrayLike], *, alt: str) -> Figure:
    """Show the rates of schedules next to the logarithms of the ratios of signal to noise, the log-SNR.

    Args:
        betas: by name, beta_1..beta_T; a ratio that is 0, where beta_T is 1, is left out.
        alt: what one sees.
    """
    rates = {name: (np.arange(1, len(beta) + 1), beta) for name, beta in _as_floats(betas).items()}
    ratios = {name: (t, _log_snr(beta)) for name, (t, beta) in rates.items()}
    left, right = "beta_t", "log(alpha_bar_t / (1 - alpha_bar_t))"
    panels = [_draw_curves(rates, left, y_axis_type="log"), _draw_curves(ratios, right)]
    row = Row(children=panels, styles=WRAP)
    return Figure(row, _print_curves([(rates, left, "log"), (ratios, right, "linear")]), alt)


def terms_by_time(terms: Mapping[str, Any], *, alt: str, unit: str = "nats") -> Figure:
    """Show the divergences KL_t of Eq. 14 by t, on logarithmic axes.

    Args:
        terms: by name, (t, KL_t), or KL_2..KL_T.
        alt: what one sees.
        unit: unit of KL_t.
    """
    curves = {}
    for name, term in terms.items():
        t, kl = term if isinstance(term, tuple) else (np.arange(2, len(term) + 2), term)
        curves[name] = (np.asarray(t), np.asarray(kl, dtype=np.float64))
    label = f"KL_t ({unit})"
    panel = _draw_curves(curves, label, y_axis_type="log", x_axis_type="log")
    panel.update(sizing_mode="stretch_width", max_width=2 * SIDE)
    panel.xaxis.ticker = LogTicker(mantissas=[1, 2, 5], num_minor_ticks=0)
    panel.xaxis.formatter = NumeralTickFormatter(format="0")
    return Figure(panel, _print_curves([(curves, label, "log")], log_time=True), alt)


# ------------------------------------------------------------------ states


def _choose(X: npt.NDArray[Any], kept: npt.NDArray[Any], n_times: int) -> npt.NDArray[Any]:
    """Return the states to show, of the first examples."""
    points = X.ndim == 3 and X.shape[2] == 2
    if len(X) != n_times or (not points and not (X.ndim == 5 and X.shape[2] in (1, 3))):
        raise ValueError(f"states: got shape {X.shape}; expected ({n_times}, n, 2) or ({n_times}, n, c, h, w)")
    return X[kept, : MAX_POINTS if points else MAX_IMAGES].astype(np.float32)


def _make_frames(X: npt.NDArray[Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the names of the columns of a state, and the columns of each."""
    if X.ndim == 3:
        return ("x", "y"), [(points[:, 0], points[:, 1]) for points in X]
    return ("image",), [([_pack(image_grid(images))],) for images in X]


def _pack(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return gray or RGB pixels as Bokeh's RGBA, the lowest row first."""
    rgb = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2)
    rgba = np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=2)
    return np.ascontiguousarray(rgba[::-1]).view(np.uint32)[..., 0]


def _find_limits(clouds: Sequence[npt.NDArray[Any]]) -> tuple[float, float]:
    """Return the limits of both axes, so that all but few points of every state are inside."""
    if not clouds:
        return 0.0, 1.0
    side = 1.1 * max(float(np.quantile(np.abs(X), 0.995)) for X in clouds) or 1.0
    return -side, side


def _draw_panel(caption: str, X: npt.NDArray[Any], source: Any, limits: tuple[float, float], color: str) -> Any:
    ranges = {"x_range": Range1d(*limits), "y_range": Range1d(*limits)}
    panel = figure(width=SIDE, height=SIDE, title=caption, tools="", toolbar_location=None, **ranges)
    if X.ndim == 3:
        panel.scatter("x", "y", source=source, size=4, color=color, alpha=0.6)
        panel.xaxis.axis_label, panel.yaxis.axis_label = "x_1", "x_2"
    else:
        panel.image_rgba("image", source=source, x=0, y=0, dw=1, dh=1)
        panel.axis.visible = panel.grid.visible = False
    return panel


def _print_states(arrays: Mapping[str, Any], times: Sequence[int], limits: tuple[float, float]) -> bytes:
    """Return a static image of a few states: one row per panel, one column per t."""
    kept = np.unique(np.linspace(0, len(times) - 1, min(len(times), PRINTED_STATES)).round().astype(int))
    shape = len(arrays), len(kept)
    picture, axes = make_figure(1.7 * shape[1], 1.8 * shape[0], *shape, squeeze=False)
    for number, (row, (caption, X)) in enumerate(zip(axes, arrays.items(), strict=True)):
        row[0].set_ylabel(caption)
        for chart, i in zip(row, kept, strict=True):
            chart.set(xticks=[], yticks=[], title=f"t = {times[i]}")
            if X.ndim == 3:
                chart.plot(*X[i].T, ".", markersize=2, color=COLORS[number % len(COLORS)])
                chart.set(xlim=limits, ylim=limits, aspect="equal")
            else:
                chart.imshow(image_grid(X[i]), cmap="gray", vmin=0, vmax=255)
    return render_png(picture)


# ------------------------------------------------------------------ curves


def _as_floats(curves: Mapping[str, npt.ArrayLike]) -> dict[str, npt.NDArray[np.float64]]:
    return {name: np.asarray(values, dtype=np.float64) for name, values in curves.items()}


def _log_snr(beta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log(alpha_bar_t / (1 - alpha_bar_t)), NaN where no signal is left."""
    with np.errstate(divide="ignore"):
        log_alpha_bar = np.cumsum(np.log1p(-beta))
        ratio = log_alpha_bar - np.log(-np.expm1(log_alpha_bar))
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _draw_curves(curves: Mapping[str, tuple[Any, Any]], label: str, width: int = int(1.4 * SIDE), **axes: Any) -> Any:
    chart = figure(
        width=width, height=SIDE, x_axis_label="t", y_axis_label=label, tools="pan,box_zoom,reset",
        toolbar_location="above", **axes,
    )  # fmt: skip
    chart.toolbar.logo = None
    chart.axis.axis_label_text_font_style = "normal"
    for number, (name, (t, values)) in enumerate(curves.items()):
        source = ColumnDataSource({"t": t, "value": values, "name": [name] * len(t)})
        color = COLORS[number % len(COLORS)]
        line = chart.line("t", "value", source=source, color=color, line_width=2, legend_label=name)
        chart.add_tools(HoverTool(renderers=[line], tooltips=[("", "@name"), ("t", "@t"), (label, "@value{0.0000}")]))
    chart.legend.update(click_policy="hide", label_text_font_size="8pt", padding=4, spacing=0)
    chart.legend.background_fill_alpha = 0.7
    return chart


def _print_curves(panels: Sequence[tuple[Mapping[str, Any], str, str]], log_time: bool = False) -> bytes:
    picture, axes = make_figure(4.5 * len(panels), 3.3, 1, len(panels), squeeze=False)
    for chart, (curves, label, scale) in zip(axes[0], panels, strict=True):
        for number, (name, (t, values)) in enumerate(curves.items()):
            chart.plot(t, values, label=name, color=COLORS[number % len(COLORS)])
        chart.set(xlabel="t", ylabel=label, yscale=scale)
        if log_time:
            set_log_time(chart)
        chart.legend(fontsize=9)
    return render_png(picture)
