"""Animations of vectors: points of the plane that move, or sequences that take form, over the reverse trajectory."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.plots.charts import BLUE, DPI, StrPath, check_target, integer_ticks, render_gif, write_files
from dpm.plots.products import ROWS

SIDE = 4.0  # of a frame, in inches
OUTSIDE = 0.001  # share of the numbers that the axes may leave out, so that one far point does not decide them
LEVELS = 32  # from white to black, and from white to the color of points

Values = npt.NDArray[Any]


def animate_vectors(
    states: Values, times: Sequence[int] | Values, path: StrPath, fps: float = 10, quiet: bool = True
) -> Path:
    """Write states of a trajectory as a GIF that repeats forever, one frame for each time.

    Vectors of two numbers are points, with the same axes in all frames. Longer ones are rows, the first 40, from white
    at the smallest value of all states (0 or below) to black at the largest (1 or above).

    Args:
        states: states in data units, (len(times), n, size).
        times: t of each state.
        path: ends in ``.gif``.
        fps: frames per second, as of :func:`dpm.plots.charts.render_gif`.
        quiet: show no progress.

    Returns:
        The path.

    Raises:
        InputError: if the states and the times do not fit together, for another rate, if the path has another ending or
            if its folder does not exist.
    """
    target = check_target(path, ".gif")
    if states.ndim != 3 or not states.size or len(states) != len(times) or states.shape[2] < 2:
        raise InputError(
            f"states: got shape {states.shape} for {len(times)} times; expected (times, n, size), with vectors of 2 or "
            "more numbers"
        )
    figure = Figure((SIDE, SIDE), dpi=DPI)
    axes = figure.add_axes((0.14, 0.12, 0.82, 0.8))
    show = (_show_points if states.shape[2] == 2 else _show_sequences)(axes, states)
    frames = []
    for state, t in zip(
        Progress(states, unit="frame", desc=f"frames of {target.name}", quiet=quiet), times, strict=True
    ):
        show(state)
        axes.set_title(f"t = {t}")
        frames.append(_draw(figure))
    write_files({target: render_gif(frames, fps)})
    return target


def _show_points(axes: Axes, states: Values) -> Callable[[Values], None]:
    """Prepare axes for points; return the function that shows those of a state, (n, 2)."""
    limit = 1.05 * np.quantile(np.abs(states), 1 - OUTSIDE) + 0.01
    (points,) = axes.plot([], [], ".", color=BLUE, markersize=3)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return lambda state: points.set_data(*state.T)


def _show_sequences(axes: Axes, states: Values) -> Callable[[Values], None]:
    """Prepare axes for sequences as rows; return the function that shows the first of a state, (n, size)."""
    low, high = min(0.0, states.min()), max(1.0, states.max())
    rows = axes.imshow(states[0, :ROWS], cmap="gray_r", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set(xlabel="element", ylabel="samples", yticks=[])
    axes.xaxis.set_major_locator(integer_ticks())
    return lambda state: rows.set_data(state[:ROWS])


def _draw(figure: Figure) -> Image.Image:
    """Return the figure as an image with a palette."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return pixels.quantize(palette=_palette(), dither=Image.Dither.NONE)


@cache
def _palette() -> Image.Image:
    """Return an image with the palette of all frames, so that equal colors are equal in each."""
    shares = np.linspace(0, 1, LEVELS)[:, None]
    ramps = [255 + shares * (255 * np.array(to_rgb(color)) - 255) for color in ("black", BLUE)]
    image = Image.new("P", (1, 1))
    image.putpalette(np.rint(np.concatenate(ramps)).astype(np.uint8).ravel().tolist())
    return image
