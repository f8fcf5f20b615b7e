"""Figures 1 to 5 from the models of the rows."""

import shutil
from pathlib import Path

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError
from dpm.reports.tables import running


def trajectories(row, folder, checkpoint, options):
    """The picture of trajectories that training drew at its end."""
    found = sorted(checkpoint.parent.glob("trajectory_batch*.png"))
    if not found:
        raise InputError(f"{checkpoint.parent}: has no trajectory_batch*.png, which train.py draws when training ends")
    return found[-1], ["drawn by train.py at the end of training"]


def samples(row, folder, checkpoint, options):
    """Samples of the model."""
    return _sampled(folder, checkpoint, ("--n", 4 if options.small else 36))


def in_painting(row, folder, checkpoint, options):
    """The middle 100 x 100 pixels of a 256 x 256 texture drawn anew; smaller in the miniature."""
    side, middle = (32, 12) if options.small else (256, 100)
    made = folder / "bark_like.hdf5"
    make = ("make", "BARK_LIKE", "--n", 1, "--test", 2, "--size", side, "--seed", options.seed + 1, "--output")
    if not made.is_file():
        running.run("datasets", *make, made)
    flags = ("--size", side, "--mode", "inpaint", "--mask", f"center:{middle}", "--input")
    picture, _ = _sampled(folder, checkpoint, (*flags, f"{made}:test:0-1"))
    return picture, [
        running.shown("datasets", (*make, made.name)),
        running.shown("sample", ("CHECKPOINT", *flags, f"{made.name}:test:0-1")),
    ]


def _sampled(folder, checkpoint, flags):
    running.run("sample", checkpoint, *flags, "--output-dir", folder)
    return folder / "samples.png", [running.shown("sample", ("CHECKPOINT", *flags))]


FIGURES = (
    (
        "Figure 1",
        "the swiss roll: forward and reverse trajectory, and the drift of the reverse one",
        "swissroll",
        trajectories,
    ),
    ("Figure 2", "heartbeats: samples, and the noise that they begin as", "heartbeat", trajectories),
    ("Figure 3", "samples of CIFAR-10", "cifar10", samples),
    ("Figure 4", "samples of dead leaves", "deadleaves", samples),
    ("Figure 5", "the middle of a made texture, which is no bark, drawn anew", "bark", in_painting),
)


def drawn(figure, row, record, options):
    """(title, words, name of the picture in the results, commands), or None and why where there is no picture.

    Of a row that was not asked for the picture stays as it was drawn.
    """
    title, words, _, draw = figure
    if "missing" in record:
        return title, words, None, record["missing"]
    folder, name = running.folder_of(row, options), f"{title.lower().replace(' ', '_')}.png"
    place = Path(options.results) / name
    if "figure" in record and place.is_file() and row.name not in (options.rows or [row.name]):
        return title, words, name, record["figure"]
    try:
        picture, commands = draw(row, folder, folder / record["checkpoint"], options)
    except InputError as error:
        return title, words, None, f"failed: {error}"
    with atomic_write(place) as temporary:
        shutil.copyfile(picture, temporary)
    running.keep(folder, record | {"figure": commands})
    return title, words, name, commands
