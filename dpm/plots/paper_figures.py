"""Figures 1 and 2 of the paper: trajectories of the swiss roll and of the heartbeat."""

import numpy as np

from dpm.viz import BLUE, DARK, ORANGE, _charts, _rendered, _target, _write

LIMIT = 2.2  # of both axes, in deviations of the data
SEQUENCES = 40


def plot_figure_1(forward, reverse, drift, times, path):
    """Figure 1: the forward trajectory, the reverse trajectory of the model, and its drift f_mu(x, t) - x.

    forward, reverse: states (n, 2) at each of times; drift: (points, arrows) at each; path: ends in .png. Returns it.
    """
    target = _target(path, ".png")
    figure, axes = _charts(9, 9, 3, len(times))
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
    _write({target: _rendered(figure)})
    return target


def plot_figure_2(data, states, path):
    """Figure 2: data, the reverse trajectory and the samples it ends in, one sequence a row; and the share of ones.

    data: (n, length) of 0 and 1; states: dict of t to (n, length), in the order shown; path: ends in .png. Returns it.
    """
    target = _target(path, ".png")
    panels = [("data", data), *((f"t = {t}", state) for t, state in states.items())]
    figure, axes = _charts(12, 5, 2, len(panels), height_ratios=[4, 1])
    for column, (name, everything) in enumerate(panels):
        axes[0, column].imshow(
            everything[:SEQUENCES], cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes[0, column].set(title=name, xticks=[], yticks=[])
        axes[1, column].bar(np.arange(everything.shape[1]), everything.mean(axis=0), color=BLUE)
        axes[1, column].set(ylim=(0, 1), xlabel="bin", yticks=[] if column else [0, 0.2, 1])
    axes[0, 0].set_ylabel("sequences")
    axes[1, 0].set_ylabel("share of ones")
    _write({target: _rendered(figure)})
    return target
