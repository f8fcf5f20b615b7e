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
    forward: Sequence[tuple[int, Values]],
    reverse: Sequence[tuple[int, Values]],
    drift: Sequence[tuple[int, tuple[Values, Values]]],
    path: StrPath,
) -> Path:
    """Plot Figure 1: the forward trajectory, the model's reverse trajectory, and its drift f_mu(x, t) - x.

    Every panel has its own t: the forward trajectory starts at x_0, the reverse one ends at x_1, and the drift of its
    last step is that at t = 2. The arrows of each panel have their own scale, which a key states.

    Args:
        forward: pairs of t and states (n, 2) of the forward trajectory, one per column.
        reverse: likewise of the reverse trajectory.
        drift: pairs of t and (points, arrows), each (m, 2), one per column.
        path: ends in ``.png``.

    Returns:
        The path.

    Raises:
        InputError: if the path has another ending or its folder does not exist.
    """
    target = check_target(path, ".png")
    figure, axes = make_figure(9, 9.5, 3, len(forward))
    rows: tuple[tuple[str, Sequence[tuple[int, Any]], dict[int, str]], ...] = (
        ("forward trajectory, q", forward, {0: ", data"}),
        ("reverse trajectory, p", reverse, {1: ", samples"}),
        (r"drift of p, $f_\mu(x_t, t) - x_t$", drift, {2: ", last step"}),
    )
    for charts, (name, panels, notes) in zip(axes, rows, strict=True):
        charts[0].set_ylabel(name)
        for chart, (t, _) in zip(charts, panels, strict=True):
            chart.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")
            chart.set_title(f"t = {t}{notes.get(t, '')}", fontsize=10)
            chart.tick_params(labelsize=7)
    for charts, states, color in ((axes[0], forward, BLUE), (axes[1], reverse, ORANGE)):
        for chart, (_, X) in zip(charts, states, strict=True):
            chart.plot(*X.T, ".", color=color, markersize=1.5)
    for chart, (_, (points, arrows)) in zip(axes[2], drift, strict=True):
        quiver = chart.quiver(*points.T, *arrows.T, color=DARK)
        if length := _round_down(float(np.linalg.norm(arrows, axis=1).max())):
            # Drifts differ by orders of magnitude from t to t, so that each panel has a scale and its key.
            key = {"coordinates": "axes", "labelpos": "E", "fontproperties": {"size": 8}, "color": DARK}
            chart.quiverkey(quiver, 0.45, -0.15, length, f"drift of {length:g}", **key)
            chart.set_xlabel(" ")  # room for the key, which the layout does not see
    write_files({target: render_png(figure)})
    return target


def _round_down(value: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is at most a value; 0 for 0 and what is not finite."""
    if not 0 < value < np.inf:
        return 0.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(digit for digit in (1, 2, 5) if digit * power <= value or digit == 1) * power)


def plot_figure_2(data: Values, states: Mapping[int, Values], path: StrPath, period: int | None = None) -> Path:
    """Plot Figure 2: data and the states of the reverse trajectory, one sequence per row, above the share of ones.

    Args:
        data: sequences (n, length) of 0 and 1.
        states: dict of t to states (n, length) of the same chains, in plotting order; the last are the samples.
        path: ends in ``.png``.
        period: bins between pulses. As in the paper, all rows are then shifted so that a pulse occurs in the first
            bin, the states of a chain by as much as its sample. None: rows as they are.

    Returns:
        The path.

    Raises:
        InputError: if the path has another ending or its folder does not exist.
    """
    target = check_target(path, ".png")
    panels = [("data, t = 0", data), *((_name_state(t), state) for t, state in states.items())]
    if period:
        shift = find_phases(list(states.values())[-1], period)
        shifts = [find_phases(data, period), *[shift] * len(states)]
        panels = [(name, shift_rows(X, shift)) for (name, X), shift in zip(panels, shifts, strict=True)]
    figure, axes = make_figure(12, 5, 2, len(panels), height_ratios=[4, 1])
    for column, (name, everything) in enumerate(panels):
        axes[0, column].imshow(
            everything[:SEQUENCES], cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes[0, column].set_title(name, fontsize=10)
        axes[0, column].set(xticks=[], yticks=[])
        axes[1, column].bar(np.arange(everything.shape[1]), everything.mean(axis=0), color=BLUE)
        axes[1, column].set(ylim=(0, 1), xlabel="bin", yticks=[0, 0.2, 1])
        axes[1, column].tick_params(labelleft=not column)
    axes[0, 0].set_ylabel("sequences")
    axes[1, 0].set_ylabel("share of ones")
    if period:
        figure.suptitle("Rows shifted to a pulse in the first bin, a chain as its sample", fontsize=10)
    write_files({target: render_png(figure)})
    return target


def _name_state(t: int) -> str:
    return f"t = {t}, samples" if t == 1 else f"t = {t}"


def find_phases(X: Values, period: int) -> npt.NDArray[np.intp]:
    """Return the bin 0..period - 1 of the first pulse of each sequence (n, length): the phase with the most ones."""
    counts = np.stack([X[:, phase::period].sum(axis=1) for phase in range(period)], axis=1)
    return counts.argmax(axis=1)


def shift_rows(X: Values, shifts: npt.NDArray[np.intp]) -> Values:
    """Return sequences (n, length) moved to the left around the end, each by its own number of bins (n,)."""
    columns = (np.arange(X.shape[1]) + shifts[:, None]) % X.shape[1]
    return np.take_along_axis(X, columns, axis=1)
