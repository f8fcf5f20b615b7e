"""Make Figures 1 to 5 and App.1 from the models of the rows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError
from dpm.datasets.formats.arrays import read_arrays
from dpm.datasets.search import locate
from dpm.plots.panels import Panel, plot_panels
from dpm.reports.tables import running
from dpm.reports.tables.plan import Plan, row_folder
from dpm.reports.tables.records import keep_record
from dpm.reports.tables.rows import Row
from dpm.runs.data import load_data

Plot = tuple[Path, list[str]]  # an image file, and the commands that made it


def trajectories(row: Row, folder: Path, checkpoint: Path, plan: Plan) -> Plot:
    """Return the plot of trajectories that training made at its end."""
    paths = sorted((checkpoint.parent / "plots" / "trajectories").glob("trajectory_batch*.png"))
    if not paths:
        raise InputError(f"{checkpoint.parent}: has no trajectory_batch*.png, which train.py draws when training ends")
    return paths[-1], ["drawn by train.py at the end of training"]


def samples(row: Row, folder: Path, checkpoint: Path, plan: Plan) -> Plot:
    """Draw samples of the model next to as many training images."""
    n = 4 if plan.small else 36
    _, commands = _draw_samples(folder, checkpoint, ("--n", n))
    data = load_data(running.read_flags((*row.flags(plan.small)[0], "--quiet")))
    training = data.scaling.inverse(np.asarray(data.train[:n], np.float64))
    drawn = read_arrays(folder / "samples.npz")["X"]
    panels = [Panel("(a) training data", training), Panel("(b) samples of the model", drawn)]
    return plot_panels(panels, folder / "panels.png"), commands


def in_painting(row: Row, folder: Path, checkpoint: Path, plan: Plan) -> Plot:
    """In-paint the middle 100 x 100 pixels of a 256 x 256 texture, next to it and to the noise. Miniature: smaller."""
    texture = folder / "bark_like.hdf5"
    make = (
        "make",
        "BARK_LIKE",
        "--n",
        1,
        "--test",
        2,
        "--size",
        choose_sides(plan)[0],
        "--seed",
        plan.seed + 1,
        "--output",
    )
    if not texture.is_file():
        running.run("datasets", *make, texture)
    image, commands = _in_paint(folder, checkpoint, plan, texture, "0-1")
    return image, [running.format_command("datasets", (*make, texture.name)), *commands]


def in_painting_of_photographs(row: Row, folder: Path, checkpoint: Path, plan: Plan) -> Plot:
    """In-paint the middle of the squares for testing of brick, grass and gravel, as `in_painting` does."""
    path = locate(row.needs)
    if path is None:
        raise InputError(f"{row.needs}: is not here any more; {row.data} makes it")
    return _in_paint(folder, checkpoint, plan, path, "0-3")


def choose_sides(plan: Plan) -> tuple[int, int]:
    """Return the sides of the image and of the middle that is in-painted, in pixels."""
    return (32, 12) if plan.small else (256, 100)


def _in_paint(folder: Path, checkpoint: Path, plan: Plan, path: Path, images: str) -> Plot:
    side, middle = choose_sides(plan)
    flags = ("--size", side, "--mode", "inpaint", "--mask", f"center:{middle}", "--input")
    _draw_samples(folder, checkpoint, (*flags, f"{path}:test:{images}"))
    return folder / "inpaint.png", [
        running.format_command("sample", ("CHECKPOINT", *flags, f"{path.name}:test:{images}"))
    ]


def _draw_samples(folder: Path, checkpoint: Path, flags: tuple[object, ...]) -> Plot:
    running.run("sample", checkpoint, *flags, "--output-dir", folder)
    return folder / "samples.png", [running.format_command("sample", ("CHECKPOINT", *flags))]


class Figure(NamedTuple):
    """A figure of the paper: its title, a caption, the row whose model it shows, and the function that makes it."""

    title: str
    caption: str
    row: str
    make: Callable[[Row, Path, Path, Plan], Plot]


FIGURES = (
    Figure(
        "Figure 1",
        "the swiss roll: forward and reverse trajectory, and the drift of the reverse one",
        "swissroll-paper",
        trajectories,
    ),
    Figure(
        "Figure 2",
        "heartbeats: data, and samples from the noise that they begin as, shifted to a common pulse",
        "heartbeat-paper",
        trajectories,
    ),
    Figure("Figure 3", "CIFAR-10: training data and samples", "cifar10-log-snr", samples),
    Figure("Figure 4", "dead leaves: training data and samples", "deadleaves", samples),
    Figure(
        "Figure 5",
        "a generated texture, not bark: the original, noise in its middle, and the middle in-painted",
        "bark",
        in_painting,
    ),
    Figure(
        "Figure 5 of photographs",
        "brick, grass and gravel: the original, noise in its middle, and the middle in-painted",
        "texture",
        in_painting_of_photographs,
    ),
    Figure("Figure App.1", "MNIST: training data and samples", "mnist-one-layer", samples),
)


def make_figure(figure: Figure, row: Row, record: dict[str, Any], plan: Plan) -> tuple[str, str, str | None, Any]:
    """Return (title, caption, name of the image in the results, commands), or None and the reason in the last two.

    The image of a row that was not requested stays as it is.
    """
    caption = f"{figure.caption} (row {row.name})"
    if "missing" in record:
        return figure.title, caption, None, record["missing"]
    folder, name = row_folder(row, plan), f"{figure.title.lower().replace(' ', '_')}.png"
    place = plan.results / name
    if "figure" in record and place.is_file() and not plan.requests(row):
        return figure.title, caption, name, record["figure"]
    if not (checkpoint := folder / record["checkpoint"]).is_file():
        return figure.title, caption, None, f"not drawn: {checkpoint} is not there"
    try:
        image, commands = figure.make(row, folder, checkpoint, plan)
    except InputError as error:
        return figure.title, caption, None, f"failed: {error}"
    with atomic_write(place) as temporary:
        shutil.copyfile(image, temporary)
    keep_record(folder, record | {"figure": commands})
    return figure.title, caption, name, commands
