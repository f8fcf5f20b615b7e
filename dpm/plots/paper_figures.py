"""Figures 1 and 2 of the paper: trajectories of the swiss roll and of the heartbeat."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpm.plots.charts import BLUE, DARK, ORANGE, StrPath, check_target, make_figure, render_png, write_files

LIMIT = 2.2  # of both axes, in standard deviations of the data
SEQUENCES = 40

Values = npt.NDArray[Any]


def plot_figure_1(
    forward: Sequence[Values],
    reverse: Sequence[Values],
    drift: Sequence[tuple[Values, Values]],
    times: Sequence[int],
    path: StrPath,
) -> Path:
    """Plot Figure 1: the forward trajectory, the model's reverse trajectory, and its drift f_mu(x, t) - x.

    Args:
        forward: states (n, 2) of the forward trajectory, one array per time.
        reverse: states (n, 2) of the reverse trajectory, one array per time.
        drift: (points, arrows), each (m, 2), one pair per time.
        times: t of each column of the figure.
        path: ends in ``.png``.

    Returns:
        The path.

    Raises:
        InputError: if the path has another ending or its folder does not exist.
    """
    target = check_target(path, ".png")
    figure, axes = make_figure(9, 9, 3, len(times))
    names = [r"$q(x_t)$", r"$p(x_t)$", r"$f_\mu(x_t, t) - x_t$"]
    for column, t in enumerate(times):
        for row, (states, color) in enumerate(((forward, BLUE), (reverse, ORANGE))):
            axes[row, column].plot(*states[column].T, ".", color=color, markersize=1.5)
        points, arrows = drift[column]
        axes[2, column].quiver(*points.T, *arrows.T, color=DARK)
        axes[0, column].set_title(f"t = {t}")
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(name)
        for chart in axes[row]:
            chart.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")
            chart.tick_params(labelsize=7)
    write_files({target: render_png(figure)})
    return target


def plot_figure_2(data: Values, states: Mapping[int, Values], path: StrPath) -> Path:
    """Plot Figure 2: data and the states of the reverse trajectory, one sequence per row, above the share of ones.

    Args:
        data: sequences (n, length) of 0 and 1.
        states: dict of t to states (n, length), in plotting order.
        path: ends in ``.png``.

    Returns:
        The path.

    Raises:
        InputError: if the path has another ending or its folder does not exist.
    """
    target = check_target(path, ".png")
    panels = [("data", data), *((f"t = {t}", state) for t, state in states.items())]
    figure, axes = make_figure(12, 5, 2, len(panels), height_ratios=[4, 1])
    for column, (name, everything) in enumerate(panels):
        axes[0, column].imshow(
            everything[:SEQUENCES], cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes[0, column].set(title=name, xticks=[], yticks=[])
        axes[1, column].bar(np.arange(everything.shape[1]), everything.mean(axis=0), color=BLUE)
        axes[1, column].set(ylim=(0, 1), xlabel="bin", yticks=[] if column else [0, 0.2, 1])
    axes[0, 0].set_ylabel("sequences")
    axes[1, 0].set_ylabel("share of ones")
    write_files({target: render_png(figure)})
    return target
