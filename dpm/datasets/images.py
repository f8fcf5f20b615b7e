"""Image data as the model wants it: training and test images, color axis before height and width."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.errors import InputError

COLOURS = (1, 3)
ACCEPTED = "accepted are square images, gray (n, w, w) or with 1 or 3 colors (n, c, w, w) or (n, w, w, c)"
ACCEPTED_LARGE = "accepted are images, gray (n, h, w) or with 1 or 3 colors (n, c, h, w) or (n, h, w, c)"


@dataclass(frozen=True)
class ImageData:
    """A data set of images.

    Attributes:
        name: one of dpm.datasets.NAMES, or that of the file.
        path: the file or folder it was read from.
        train: (n, c, h, w) with c 1 or 3, in the file's own dtype and range (see preprocess.level_factor): an array
            or StoredImages.
        test: (m, c, h, w), likewise.
        note: one line for the user if this is not what was asked for; else empty.
    """

    name: str
    path: Path
    train: Any
    test: Any
    note: str = ""

    def __post_init__(self) -> None:
        if self.train.shape[1:] != self.test.shape[1:]:
            raise InputError(
                f"{self.path}: training images are {self.train.shape[1:]}, test images {self.test.shape[1:]} "
                "(channel, height, width); make them alike"
            )


def channel_first(array: np.ndarray, what: str, labels: Sequence[str] = (), large: bool = False) -> np.ndarray:
    """Images (n, c, h, w) from gray images (n, h, w) or images with the color axis first or last.

    Raises InputError as `channel_order` does.
    """
    return reordered(array, channel_order(array.shape, what, labels, large))


def channel_order(shape: Sequence[int], what: str, labels: Sequence[str] = (), large: bool = False) -> tuple[int, ...]:
    """The axes of images of such a shape in the order batch, color (where there is one), height, width.

    `labels`, if they name batch, height and width, say which axis is which; without them the shape must. A
    shape that fits both orders, such as (n, 3, 3, 3), is taken as it is.
    Raises InputError, with `what` and the shape, for anything that is not square, unless `large`, or has not 1 or 3
    colors, and for no images at all.
    """
    accepted = ACCEPTED_LARGE if large else ACCEPTED
    if 0 in shape:
        raise InputError(f"{what}: holds no images, its shape is {tuple(shape)}; {accepted}")
    order = tuple(range(len(shape)))
    for names in (("batch", "channel", "height", "width"), ("batch", "height", "width")):
        if sorted(labels) == sorted(names) and len(labels) == len(shape):
            order = tuple(list(labels).index(name) for name in names)
            break
    else:
        if len(shape) == 4 and not _fits(shape, large):
            order = (0, 3, 1, 2)
    moved = [shape[axis] for axis in order]
    if not _fits([moved[0], 1, *moved[1:]] if len(moved) == 3 else moved, large):
        raise InputError(f"{what}: images of shape {tuple(shape)}; {accepted}")
    return order


def reordered(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Images with the axes of `channel_order`, and an axis of color for gray ones: (n, c, h, w)."""
    array = array.transpose(order)
    return np.ascontiguousarray(array[:, None] if array.ndim == 3 else array)


def _fits(shape: Sequence[int], large: bool) -> bool:
    return len(shape) == 4 and shape[1] in COLOURS and (large or shape[2] == shape[3])
