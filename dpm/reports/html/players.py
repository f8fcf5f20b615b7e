"""Trajectories as players: pictures of x_t at several t, each a PNG in the page."""

import base64
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dpm.base.errors import InputError
from dpm.datasets.formats.arrays import read_arrays
from dpm.plots.charts import BLUE, make_figure, render_png
from dpm.viz import image_grid

SAVED = re.compile(r"samples(?P<kind>_true|_inpaint|_denoise1)?_t(?P<t>\d{1,9})_batch(?P<step>\d{1,12})\.npz")
TOY = re.compile(r"trajectory_batch(?P<step>\d{1,12})\.npz")
NUMBERS = 30_000  # of a frame: noise takes a byte each
MOST, LEAST = 25, 4  # pictures of a frame
POINTS, ROWS = 1000, 40  # vectors of a frame
SIDE = 240  # pixels, at least; the page shows larger ones as they are


class Panel(NamedTuple):
    """One picture of a player. states: x_t at each of the player's times, (n, ...) in data units, or one for all."""

    label: str
    states: list


class Player(NamedTuple):
    """Pictures that one slider moves. times: t of each state, falling; plays: whether it starts by itself."""

    title: str
    caption: str
    times: list
    panels: list
    plays: bool = False


def shown(player, name):
    """A player as the template and the script want it: a dict, with every frame as a data URI. name: of the run."""
    panels = []
    frame = _frame_of([state for panel in player.panels for state in panel.states])
    for panel in player.panels:
        uris = [uri(frame(state)) for state in panel.states]
        panels.append({"label": panel.label, "alt": f"{panel.label}, of {name}", "frames": uris})
    pixels = player.panels[0].states[0].ndim == 4
    times = [int(t) for t in player.times]
    told = {"title": player.title, "caption": player.caption, "plays": player.plays}
    return told | {"times": times, "panels": panels, "pixels": pixels}


def stamp(folder):
    """Which saved trajectories and result a run's folder holds: another text where there are new ones."""
    found = [path for path in Path(folder).glob("*.npz") if SAVED.fullmatch(path.name) or TOY.fullmatch(path.name)]
    newest = [*sorted(found)[-1:], *Path(folder).glob("result.json")]
    return " ".join([f"{path.name} {path.stat().st_mtime_ns}" for path in newest] + [str(len(found))])


def uri(png):
    """PNG bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def number(size):
    """How many pictures of so many numbers a frame shows."""
    return int(np.clip(NUMBERS // size, LEAST, MOST))


def _frame_of(states):
    """A function that draws one of the states as PNG, all on the same scale."""
    if states[0].ndim == 4:
        return _grid
    finite = np.concatenate([state[np.isfinite(state)] for state in states])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    draw = _points if states[0].shape[1] == 2 else _rows
    return lambda state: _small(render_png(draw(state, low, high)))


def _grid(images):
    grid = image_grid(images[: number(images[0].size)])
    factor = -(-SIDE // max(grid.shape[:2]))
    stream = io.BytesIO()
    Image.fromarray(grid.repeat(factor, axis=0).repeat(factor, axis=1)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _points(X, low, high):
    figure, axes = make_figure(3.2, 3.2, 1, 1)
    axes.plot(*X[:POINTS].T, ".", color=BLUE, markersize=1.5)
    margin = 0.03 * (high - low) + 0.01
    limits = low - margin, high + margin
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return figure


def _rows(X, low, high):
    figure, axes = make_figure(3.2, 3.2, 1, 1)
    axes.imshow(X[:ROWS], cmap="gray_r", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set(xlabel="element", ylabel="examples", yticks=[])
    return figure


def _small(png):
    """A chart of few colors, as a palette."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(32).save(stream, "PNG", optimize=True)
    return stream.getvalue()


# ------------------------------------------------------------------ what training saved


def saved_players(folder):
    """The players of the newest pictures in a run's folder, by their arrays: a list of Player, empty before there are.

    Raises InputError for an array that train.py did not write.
    """
    found = [(match, path) for path in folder.iterdir() if (match := SAVED.fullmatch(path.name))]
    if not found:
        return _saved_vectors(folder)
    newest = max(int(match["step"]) for match, _ in found)
    kinds: dict[str, dict[int, Any]] = {}
    for match, path in found:
        if int(match["step"]) == newest:
            kinds.setdefault(match["kind"] or "", {})[int(match["t"])] = _images(path)
    true = kinds.pop("_true", {})
    players = []
    for kind, title, caption in (
        ("", "Samples", "From noise to a sample, as training saved them."),
        ("_inpaint", "In-painting", "The right half is known, the left half is drawn (section 2.5)."),
        ("_denoise1", "Denoising", "Test pictures with noise of deviation 1 are where it starts (section 2.5)."),
    ):
        states = dict(sorted(kinds.get(kind, {}).items(), reverse=True))
        if states:
            panels = [Panel(f"{title}, x_t", list(states.values()))]
            if kind and true:
                panels.insert(0, Panel("Test pictures", list(true.values())))
            players.append(Player(title, f"{caption} After {newest} steps.", list(states), panels))
    return players


def _saved_vectors(folder):
    found = {int(match["step"]): path for path in folder.iterdir() if (match := TOY.fullmatch(path.name))}
    if not found:
        return []
    step = max(found)
    arrays = {name: X for name, X in read_arrays(found[step]).items() if re.fullmatch(r"x_\d{1,9}", name)}
    states = {int(name[2:]): _numbers(X, found[step], 2) for name, X in arrays.items()}
    if not states:
        raise InputError(f"{found[step]}: holds no x_t; it was not written by train.py")
    states = dict(sorted(states.items(), reverse=True))
    caption = f"The reverse trajectory, as training saved it after {step} steps."
    return [Player("Samples", caption, list(states), [Panel("Samples, x_t", list(states.values()))])]


def _images(path):
    images = _numbers(read_arrays(path).get("X"), path, 4)
    if images.shape[1] not in (1, 3):
        raise InputError(f"{path}: its X has {images.shape[1]} colors, not 1 or 3 as train.py writes it")
    return images


def _numbers(X, path, axes):
    if X is None or X.dtype.kind not in "fiub" or X.ndim != axes or not X.size:
        raise InputError(f"{path}: holds no array of numbers of {axes} axes, as train.py writes it")
    return X.astype(np.float64)
