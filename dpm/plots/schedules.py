"""Plots of a schedule: the rates beta_t, and the shares of signal and noise that they leave."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dpm.plots.charts import BLUE, DARK, ORANGE, StrPath, check_target, make_figure, render_png, write_files

SMALLEST_SHARE = 1e-8  # of signal, in the plot: all of it may be erased at T


def plot_schedule(beta: npt.ArrayLike, start: npt.ArrayLike, path: StrPath) -> Path:
    """Write a schedule as PNG: beta_t above, alpha_bar_t and 1 - alpha_bar_t below, all axes logarithmic.

    Args:
        beta: beta_1..beta_T, (T,).
        start: the rates before training, dotted, (T,).
        path: ends in ``.png``.

    Returns:
        The path.

    Raises:
        InputError: for a path with another ending or in a folder that does not exist.
    """
    target = check_target(path, ".png")
    figure, (rates, shares) = make_figure(7, 6, 2, 1, sharex=True)
    for values, style, name in ((beta, "-", ""), (start, ":", ", start")):
        array = np.asarray(values, dtype=np.float64)
        t = np.arange(1, len(array) + 1)
        with np.errstate(divide="ignore"):  # the last rate may be 1
            log_alpha_bar = np.cumsum(np.log1p(-array))
        rates.plot(t, array, style, color=BLUE, label=rf"$\beta_t${name}")
        signal = np.maximum(np.exp(log_alpha_bar), SMALLEST_SHARE)
        shares.plot(t, signal, style, color=ORANGE, label=rf"$\bar\alpha_t${name}")
        shares.plot(t, -np.expm1(log_alpha_bar), style, color=DARK, label=rf"$1 - \bar\alpha_t${name}")
    rates.set(xscale="log", yscale="log", ylabel="rate")
    shares.set(xscale="log", yscale="log", ylabel="share of the variance", xlabel="t")
    for axes in (rates, shares):
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    write_files({target: render_png(figure)})
    return target
