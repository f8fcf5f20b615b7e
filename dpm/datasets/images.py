"""Image data as the model wants it: training and test images, colour axis before height and width."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpm.errors import InputError

COLOURS = (1, 3)
ACCEPTED = "accepted are square images, grey (n, w, w) or with 1 or 3 colours (n, c, w, w) or (n, w, w, c)"


@dataclass(frozen=True)
class ImageData:
    """A data set of square images.

    Attributes:
        name: one of dpm.datasets.NAMES.
        path: the file or folder it was read from.
        train: (n, c, w, w) with c 1 or 3, in the file's own dtype and range (see preprocess.to_unit_range).
        test: (m, c, w, w), likewise.
        note: one line for the user if this is not what was asked for; else empty.
    """

    name: str
    path: Path
    train: np.ndarray
    test: np.ndarray
    note: str = ""

    def __post_init__(self) -> None:
        if self.train.shape[1:] != self.test.shape[1:]:
            raise InputError(
                f"{self.path}: training images are {self.train.shape[1:]}, test images {self.test.shape[1:]} "
                "(channel, height, width); make them alike"
            )


def channel_first(array: np.ndarray, what: str, labels: Sequence[str] = ()) -> np.ndarray:
    """Images (n, c, w, w) from grey images (n, w, w) or images with the colour axis first or last.

    `labels`, if they name batch, height and width, say which axis is which; without them the shape must. A
    shape that fits both orders, such as (n, 3, 3, 3), is taken as it is.
    Raises InputError, with `what` and the shape, for anything that is not square or has not 1 or 3 colours,
    and for no images at all.
    """
    shape = array.shape
    if array.size == 0:
        raise InputError(f"{what}: holds no images, its shape is {shape}; {ACCEPTED}")
    if len(labels) == array.ndim and set(labels) == {"batch", "channel", "height", "width"}:
        array = array.transpose([list(labels).index(name) for name in ("batch", "channel", "height", "width")])
    elif len(labels) == array.ndim and set(labels) == {"batch", "height", "width"}:
        array = array.transpose([list(labels).index(name) for name in ("batch", "height", "width")])
    elif array.ndim == 4 and not _fits(array.shape):
        array = np.moveaxis(array, -1, 1)
    if array.ndim == 3:
        array = array[:, None]
    if not _fits(array.shape):
        raise InputError(f"{what}: images of shape {shape}; {ACCEPTED}")
    return np.ascontiguousarray(array)


def _fits(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1] in COLOURS and shape[2] == shape[3]
