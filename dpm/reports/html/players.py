"""Trajectories as players: one slider moves images or plots of x_t at several t, each a PNG inside the page."""

import base64
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from dpm.base.errors import InputError
from dpm.base.wording import plural
from dpm.datasets.formats.arrays import read_arrays
from dpm.plots.charts import BLUE, ORANGE, make_figure, render_png
from dpm.plots.pixels import enlarge, hole_grid, image_grid
from dpm.sampler import generate_inpaint_mask, shown_time

ARRAYS_FOLDER = "arrays"  # of a run folder; earlier versions and --faithful keep the arrays at the top
SAMPLES = re.compile(r"samples(?P<kind>_true|_inpaint|_denoise1)?_t(?P<t>\d{1,9})_batch(?P<step>\d{1,12})\.npz")
TOY_TRAJECTORY = re.compile(r"trajectory_batch(?P<step>\d{1,12})\.npz")
KINDS = (
    ("", "Samples", "From noise to a sample, as saved during training."),
    ("_inpaint", "In-painting", "The right half is given, the left half (outlined) is drawn (section 2.5)."),
    ("_denoise1", "Denoising", "The input is test images with noise of standard deviation 1 (section 2.5)."),
)
MAX_NUMBERS = 30_000  # pixel values of a frame; noise compresses to about a byte each
MAX_IMAGES, MIN_IMAGES = 25, 4  # images of a frame
POINTS, ROWS = 1000, 40  # vectors of a frame, as points or as rows
MIN_SIDE = 240  # pixels of a frame; smaller image grids are enlarged


class Panel(NamedTuple):
    """One image of a player.

    Attributes:
        label: caption of the panel.
        states: x_t at each time of the player, shape (n, ...) in data units; or a single state for all times.
        hole: bool array that broadcasts to the images, True where pixels are drawn, which is outlined; or None.
    """

    label: str
    states: list[np.ndarray]
    hole: np.ndarray | None = None


class Player(NamedTuple):
    """Panels that one slider moves.

    Attributes:
        title: heading.
        caption: explanation below the heading.
        times: t of each state, descending.
        panels: what is shown next to each other.
        plays: whether it starts when it first becomes visible.
    """

    title: str
    caption: str
    times: list[int]
    panels: list[Panel]
    plays: bool = False


def render_player(player: Player, name: str) -> dict[str, Any]:
    """Render a player for template and script, every frame as a data URI; `name` of the run goes into the alt texts."""
    render = _make_renderer([state for panel in player.panels for state in panel.states])
    panels = []
    for panel in player.panels:
        frames = [encode_png(render(state, panel.hole)) for state in panel.states]
        panels.append({"label": panel.label, "alt": f"{panel.label}, of {name}", "frames": frames})
    return {
        "title": player.title,
        "caption": player.caption,
        "plays": player.plays,
        "times": [int(t) for t in player.times],
        "panels": panels,
        "pixels": player.panels[0].states[0].ndim == 4,
    }


def encode_png(png: bytes) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def images_per_frame(size: int) -> int:
    """Return the number of images in a frame, for images of `size` values."""
    return int(np.clip(MAX_NUMBERS // size, MIN_IMAGES, MAX_IMAGES))


def show_restoration(true: np.ndarray, states: list[np.ndarray], label: str, hole: np.ndarray | None) -> list[Panel]:
    """Return the panels of in-painting or denoising: test images, what the chain starts at, and its states."""
    start = "Input, noise in the hole" if hole is not None else "Noisy input"
    return [Panel("Test images", [true], hole), Panel(start, [states[0]], hole), Panel(label, states, hole)]


def _make_renderer(states: Sequence[np.ndarray]) -> Callable[[np.ndarray, np.ndarray | None], bytes]:
    """Return a function of a state and a hole that renders it as PNG, with one scale for all states."""
    if states[0].ndim == 4:
        return _render_images
    finite = np.concatenate([state[np.isfinite(state)] for state in states])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    plot = _plot_points if states[0].shape[1] == 2 else _plot_rows
    return lambda state, hole: _reduce_colors(render_png(plot(state, low, high)))


def _render_images(images: np.ndarray, hole: np.ndarray | None = None) -> bytes:
    images = images[: images_per_frame(images[0].size)]
    grid = image_grid(images)
    factor = -(-MIN_SIDE // max(grid.shape[:2]))
    pixels = enlarge(grid, factor)
    if hole is not None:
        holes = hole_grid(hole, images.shape).repeat(factor, axis=0).repeat(factor, axis=1)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2)
        pixels[_find_edge(holes)] = np.rint(255 * np.array(to_rgb(ORANGE))).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _find_edge(holes: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of the holes in a mask (h, w), bool."""
    padded = np.pad(holes, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return holes & ~inside


def _plot_points(X: np.ndarray, low: float, high: float) -> Any:
    figure, axes = make_figure(3.2, 3.2, 1, 1)
    axes.plot(*X[:POINTS].T, ".", color=BLUE, markersize=1.5)
    margin = 0.03 * (high - low) + 0.01
    limits = low - margin, high + margin
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    return figure


def _plot_rows(X: np.ndarray, low: float, high: float) -> Any:
    figure, axes = make_figure(3.2, 3.2, 1, 1)
    axes.imshow(X[:ROWS], cmap="gray_r", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set(xlabel="element", ylabel="examples", yticks=[])
    return figure


def _reduce_colors(png: bytes) -> bytes:
    """Re-encode a plot with a palette of 32 colors."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(32).save(stream, "PNG", optimize=True)
    return stream.getvalue()


# ------------------------------------------------------------------ trajectories saved during training


def find_arrays(folder: str | Path) -> list[Path]:
    """List the files with saved trajectories of a run folder, by name.

    They are in its folder arrays/, or at the top in runs of earlier versions and of --faithful. A run that was resumed
    may have both; for equal names the file in arrays/ counts.
    """
    found: dict[str, Path] = {}
    for place in (Path(folder), Path(folder) / ARRAYS_FOLDER):
        if place.is_dir():
            names = {path.name: path for path in place.iterdir()}
            found |= {n: path for n, path in names.items() if SAMPLES.fullmatch(n) or TOY_TRAJECTORY.fullmatch(n)}
    return [found[name] for name in sorted(found)]


def compute_stamp(folder: str | Path) -> str:
    """Return a text that changes when a run folder has new trajectories or a new result."""
    arrays = find_arrays(folder)
    newest = [*arrays[-1:], *Path(folder).glob("result.json")]
    return " ".join([f"{path.name} {path.stat().st_mtime_ns}" for path in newest] + [str(len(arrays))])


def load_players(folder: str | Path) -> list[Player]:
    """Load the players of the newest trajectories that training saved in a run folder; none before the first.

    Raises:
        InputError: an array was not written by `dpm train`; the message names the file.
    """
    paths = find_arrays(folder)
    found = [(match, path) for path in paths if (match := SAMPLES.fullmatch(path.name))]
    if not found:
        return _load_vectors(paths)
    newest = max(int(match["step"]) for match, _ in found)
    states: dict[str, dict[int, np.ndarray]] = {}
    for match, path in found:
        if int(match["step"]) == newest:
            states.setdefault(match["kind"] or "", {})[int(match["t"])] = _read_images(path)
    true = states.pop("_true", {})
    players = []
    for kind, title, caption in KINDS:
        trajectory = dict(sorted(states.get(kind, {}).items(), reverse=True))
        if trajectory:
            panels = [Panel(f"{title}, x_t", list(trajectory.values()))]
            times = [shown_time(number) for number in trajectory]
            if kind and true:
                images, shown = list(true.values())[-1], panels[0].states
                masked = kind == "_inpaint" and images.shape[1:] == shown[0].shape[1:]
                hole = ~generate_inpaint_mask(1, *images.shape[1:3])[0] if masked else None
                panels = show_restoration(images, shown, panels[0].label, hole)
            players.append(Player(title, f"{caption} After {newest} {plural(newest, 'step')}.", times, panels))
    return players


def _load_vectors(paths: Sequence[Path]) -> list[Player]:
    """Load the player of a toy problem."""
    found = {int(match["step"]): path for path in paths if (match := TOY_TRAJECTORY.fullmatch(path.name))}
    if not found:
        return []
    step = max(found)
    arrays = {name: X for name, X in read_arrays(found[step]).items() if re.fullmatch(r"x_\d{1,9}", name)}
    states = {int(name[2:]): _check_array(X, found[step], 2) for name, X in arrays.items()}
    if not states:
        raise InputError(f"{found[step]}: has no array x_t; it was not written by dpm train")
    states = dict(sorted(states.items(), reverse=True))
    caption = f"The reverse trajectory, as saved during training after {step} {plural(step, 'step')}."
    return [Player("Samples", caption, [shown_time(t) for t in states], [Panel("Samples, x_t", list(states.values()))])]


def _read_images(path: Path) -> np.ndarray:
    images = _check_array(read_arrays(path).get("X"), path, 4)
    if images.shape[1] not in (1, 3):
        raise InputError(f"{path}: X has {images.shape[1]} colors; expected 1 or 3, as dpm train writes")
    return images


def _check_array(X: np.ndarray | None, path: Path, axes: int) -> np.ndarray:
    """Return an array of numbers as float64; raise InputError unless it has this number of axes."""
    if X is None or X.dtype.kind not in "fiub" or X.ndim != axes or not X.size:
        raise InputError(f"{path}: expected an array of numbers with {axes} axes, as dpm train writes")
    return X.astype(np.float64)
