"""Plots over t of the terms of the bound and of the entropy bounds of Eq. 23."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm.plots.charts import (
    BLUE,
    DARK,
    ORANGE,
    StrPath,
    check_target,
    make_figure,
    plot_curve,
    render_png,
    set_log_time,
    write_files,
)

Values = npt.NDArray[Any]
OUTSIDE = "outside: not at the optimum"


def plot_entropy_bounds(
    times: Values,
    lower: Values,
    upper: Values,
    entropy: Values,
    path: StrPath,
    unit: str = "bits/pixel",
    error: Values | None = None,
) -> Path:
    """Plot both bounds of Eq. 23 and the model's entropy over log t, and below them these minus the middle of both.

    The band between the bounds is shaded. The entropy of the reversed noise, H_q(X_{t-1} | X_t), is in it. A model's
    entropy outside the band by more than two standard errors is marked: the model is not at the optimum of K there.

    Args:
        times: t (n,).
        lower: H_q(X_{t-1} | X_t, X_0) at each t (n,), in `unit`.
        upper: H_q(X_t | X_{t-1}) at each t (n,), in `unit`.
        entropy: H_p(X_{t-1} | X_t) at each t (n,), in `unit`; NaN is left out.
        path: ends in ``.png``.
        unit: label of the axes.
        error: standard errors of entropy (n,), in `unit`; None for 0.

    Returns:
        The path.

    Raises:
        InputError: if the path has another ending or its folder does not exist.
    """
    target = check_target(path, ".png")
    figure, (steps, differences) = make_figure(7, 6, 2, 1, sharex=True, height_ratios=[3, 2])
    margin = 2 * error if error is not None else np.zeros(len(times))
    outside = (entropy > upper + margin) | (entropy < lower - margin)
    # The bounds follow beta over many bits, which hides how close they are: the difference shows it.
    for axes, origin in ((steps, np.zeros(len(times))), (differences, (lower + upper) / 2)):
        low, middle, high = lower - origin, entropy - origin, upper - origin
        axes.fill_between(times, low, high, color=BLUE, alpha=0.15, linewidth=0)
        plot_curve(axes, times, high, label=r"upper bound $H_q(X_t | X_{t-1})$", color=BLUE, linestyle="--")
        plot_curve(axes, times, middle, label=r"model $H_p(X_{t-1} | X_t)$", color=ORANGE)
        plot_curve(axes, times, low, label=r"lower bound $H_q(X_{t-1} | X_t, X_0)$", color=DARK, linestyle=":")
        if outside.any():
            axes.plot(times[outside], middle[outside], "x", color="black", markersize=7, label=OUTSIDE)
    steps.set(title="Entropy of each reverse step and its bounds (Eq. 23)", ylabel=f"entropy ({unit})")
    steps.legend()
    differences.set(ylabel=f"difference from the\nmiddle of both ({unit})")
    return _write_pair(figure, steps, differences, target)


def plot_terms(times: Values, kl: Values, error: Values, gap: Values, path: StrPath, unit: str = "bits/pixel") -> Path:
    """Plot KL_t of Eq. 14 and the gap between the bounds of Eq. 23 over log t, and below K - L_null summed over t.

    Eq. 23 bounds H_q(X_{t-1} | X_t), the conditional entropy of a step of the reversed forward trajectory. Its lower
    bound is H_q(X_{t-1} | X_t, X_0), and KL_t is the excess of the model's mean of -log p(x_{t-1} | x_t) over it. KL_t
    is therefore 0 if the model's step is as narrow as the lower bound, and equal to the gap if it is the reversed step
    of the noise itself. The gap minus KL_t is the contribution of the step to K - L_null.

    Args:
        times: t (n,).
        kl: KL_t at each t (n,), in `unit`; NaN where no draw fell, which counts 0 in the sum, as in the estimate of K.
        error: standard errors of kl (n,), in `unit`; two of them are drawn as a band.
        gap: gap between the bounds at each t (n,), in `unit`.
        path: ends in ``.png``.
        unit: label of the axes.

    Returns:
        The path.

    Raises:
        InputError: if the path has another ending or its folder does not exist.
    """
    target = check_target(path, ".png")
    figure, (steps, total) = make_figure(7, 6, 2, 1, sharex=True, height_ratios=[3, 2])
    steps.fill_between(times, np.maximum(kl - 2 * error, 0), kl + 2 * error, color=ORANGE, alpha=0.25, linewidth=0)
    plot_curve(steps, times, kl, label="$KL_t$, a term of Eq. 14", color=ORANGE)
    plot_curve(steps, times, gap, label="upper less lower bound of Eq. 23", color=BLUE, linestyle="--")
    steps.set(title="Terms of the bound and the bounds of Eq. 23", ylabel=unit, yscale="log")
    steps.legend()
    plot_curve(total, times, np.cumsum(gap - np.nan_to_num(kl)), color=DARK)
    total.set(ylabel=f"K - L_null of\nsteps 2..t ({unit})")
    return _write_pair(figure, steps, total, target)


def _write_pair(figure: Figure, upper: Axes, lower: Axes, target: Path) -> Path:
    """Write the figure of two axes over the same log t and return its path."""
    set_log_time(lower)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    write_files({target: render_png(figure)})
    return target
