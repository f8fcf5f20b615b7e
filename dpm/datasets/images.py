"""Image data in the model's layout: training and test images of shape (n, channels, height, width)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.errors import InputError

N_COLORS = (1, 3)
ACCEPTED = "accepted are square images, gray (n, w, w) or with 1 or 3 colors (n, c, w, w) or (n, w, w, c)"
ACCEPTED_LARGE = "accepted are images, gray (n, h, w) or with 1 or 3 colors (n, c, h, w) or (n, h, w, c)"


@dataclass(frozen=True)
class ImageData:
    """A data set of images.

    Attributes:
        name: An entry of `dpm.datasets.NAMES`, the name of the file, or "arrays".
        path: The file or folder that the images were read from.
        train: Training images (n, c, h, w) with c = 1 or 3, in the dtype and range of the source (see
            `dpm.datasets.scaling.level_factor`): an array or StoredImages.
        test: Test images (m, c, h, w), likewise.
        note: One line for the user if this is not the requested data set; empty otherwise.

    Raises:
        InputError: If training and test images differ in shape.
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
                "(channel, height, width); give both the same shape"
            )


def channel_first(array: np.ndarray, what: str, labels: Sequence[str] = (), large: bool = False) -> np.ndarray:
    """Return images in the layout (n, c, h, w).

    Args:
        array: Gray images (n, h, w), or images with the color axis first or last.
        what: Name of the data for error messages.
        labels: Names of the axes, see `channel_order`.
        large: Accept images that are not square.

    Returns:
        A contiguous array (n, c, h, w) with the values of `array`.

    Raises:
        InputError: If the shape is not accepted, see `channel_order`.
    """
    return reorder_axes(array, channel_order(array.shape, what, labels, large))


def channel_order(shape: Sequence[int], what: str, labels: Sequence[str] = (), large: bool = False) -> tuple[int, ...]:
    """Return the order of axes that gives batch, color (where there is one), height, width.

    Args:
        shape: Shape of the images. A shape that fits both orders, such as (n, 3, 3, 3), counts as color first.
        what: Name of the data for error messages.
        labels: Names of the axes ("batch", "channel", "height", "width"). If they are complete they decide which
            axis is which; otherwise the shape decides.
        large: Accept images that are not square.

    Returns:
        A permutation of the axes, for `reorder_axes`.

    Raises:
        InputError: If there are no images, if they have other than 1 or 3 colors, or if they are not square and
            `large` is False.
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


def reorder_axes(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Return images (n, c, h, w) with the axes in the order of `channel_order`; gray images get a color axis."""
    array = array.transpose(order)
    return np.ascontiguousarray(array[:, None] if array.ndim == 3 else array)


def _fits(shape: Sequence[int], large: bool) -> bool:
    return len(shape) == 4 and shape[1] in N_COLORS and (large or shape[2] == shape[3])
