"""Plots over t of a schedule and of the bumps: the rates beta_t, and the shares of signal and noise they leave."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes

from dpm.plots.charts import (
    BLUE,
    DARK,
    ORANGE,
    StrPath,
    check_target,
    make_figure,
    render_png,
    set_log_time,
    write_files,
)

SMALLEST_SHARE = 1e-8  # of signal, in the plot: all of it may be erased at T


def plot_schedule(
    beta: npt.ArrayLike, start: npt.ArrayLike | None, path: StrPath, bumps: npt.ArrayLike | None = None
) -> Path:
    """Write a schedule as PNG: beta_t above, alpha_bar_t and 1 - alpha_bar_t below it, then the bumps over time.

    alpha_bar_t is the product of 1 - beta_s over s = 1..t. The axes of rates and shares are logarithmic.

    Args:
        beta: beta_1..beta_T, (T,).
        start: the rates before training, dotted, (T,); None for a schedule that is not learned.
        path: ends in ``.png``.
        bumps: the bumps g_j(t) of Eq. 64, (J, T); None for a model that has none.

    Returns:
        The path.

    Raises:
        InputError: for a path with another ending or in a folder that does not exist.
    """
    target = check_target(path, ".png")
    panels = 2 if bumps is None else 3
    figure, axes = make_figure(7, 3 * panels, panels, 1)
    rates, shares = axes[:2]
    for values, style, name in ((beta, "-", ""), (start, ":", ", start")):
        if values is not None:
            _plot_rates(rates, shares, np.asarray(values, dtype=np.float64), style, name)
    rates.set(title="forward diffusion", yscale="log", ylabel=r"rate $\beta_t$")
    shares.set(yscale="log", ylabel="share of the variance")
    for chart in axes[:2]:
        set_log_time(chart)
        chart.legend(fontsize=9)
    if bumps is not None:
        g = np.asarray(bumps, dtype=np.float64)
        for j, bump in enumerate(g):
            axes[2].plot(np.arange(1, len(bump) + 1), bump, color=colormaps["viridis"](j / max(1, len(g) - 1)))
        axes[2].set(ylabel="$g_j(t)$", xlabel="t", title=f"the {len(g)} bumps over time (Eq. 64)")
    for chart in axes:
        chart.grid(alpha=0.3)
    write_files({target: render_png(figure)})
    return target


def _plot_rates(rates: Axes, shares: Axes, beta: npt.NDArray[np.float64], style: str, name: str) -> None:
    """Draw one schedule in both axes."""
    t = np.arange(1, len(beta) + 1)
    with np.errstate(divide="ignore"):  # the last rate may be 1
        log_alpha_bar = np.cumsum(np.log1p(-beta))
    rates.plot(t, beta, style, color=BLUE, label=rf"$\beta_t${name}")
    signal = np.maximum(np.exp(log_alpha_bar), SMALLEST_SHARE)
    product = r"\bar\alpha_t = \prod_{s \leq t} (1 - \beta_s)"
    shares.plot(t, signal, style, color=ORANGE, label=f"signal ${product}${name}")
    shares.plot(t, -np.expm1(log_alpha_bar), style, color=DARK, label=rf"noise $1 - \bar\alpha_t${name}")
