"""Grids of images as 8-bit pixels, and the checks of arrays that are drawn."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dpm.base.arguments import check_index
from dpm.base.errors import InputError

Pixels = npt.NDArray[np.uint8]

MID_GRAY = 128
MAGENTA = (255, 0, 255)


def image_grid(images: npt.ArrayLike, *, rows: int | None = None, gap: int = 1, background: int = MID_GRAY) -> Pixels:
    """Return images on a grid in reading order, by default as near to square as their number allows.

    Args:
        images: floats (n, c, h, w), n >= 1, c 1 or 3; 0 is black, 1 is white, values outside are clipped. A pixel with
            a NaN or an infinity is magenta.
        rows: number of rows.
        gap: pixels between images and around the grid.
        background: gray level 0..255 of gaps and of empty cells.

    Returns:
        uint8 (H, W) for finite gray images, else (H, W, 3); H = rows * (h + gap) + gap, and W likewise.

    Raises:
        InputError: for other shapes, for integers (divide 8-bit pixels by 255), for rows < 1 or gap < 0.
    """
    x = check_images(images)
    n, _, h, w = x.shape
    gap = check_index("gap", gap, 0)
    columns = math.isqrt(n - 1) + 1 if rows is None else -(-n // check_index("rows", rows, 1))
    rows = -(-n // columns) if rows is None else rows

    finite = np.isfinite(x).all(axis=1)
    clean = np.where(finite[:, None], x, 0)
    pixels = np.rint(255 * np.clip(clean, 0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    if not finite.all():
        pixels = np.where(finite[..., None], pixels, np.array(MAGENTA, np.uint8))

    c = pixels.shape[-1]
    tiles = np.full((rows * columns, h + gap, w + gap, c), background, np.uint8)
    tiles[:n, :h, :w] = pixels
    grid = tiles.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2)
    grid = grid.reshape(rows * (h + gap), columns * (w + gap), c)
    grid = np.pad(grid, ((gap, 0), (gap, 0), (0, 0)), constant_values=background)
    return grid[..., 0] if c == 1 else grid


def hole_grid(hole: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return where the holes are in the grid of images (n, c, h, w), bool, of the shape of :func:`image_grid`.

    Args:
        hole: broadcasts to the images, True where pixels were drawn.
        shape: shape of the images.
    """
    holes = np.broadcast_to(np.asarray(hole), shape).any(axis=1, keepdims=True)
    return image_grid(holes.astype(np.float64), background=0) > 0


def encode_png(pixels: Pixels, title: str | None = None) -> bytes:
    """Return pixels (H, W) or (H, W, 3) as the bytes of a PNG, with the title as its text entry "Title"."""
    text = PngInfo()
    if title is not None:
        text.add_text("Title", title)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def enlarge(grid: Pixels, scale: int | None = None, side: int = 800) -> Pixels:
    """Repeat pixels `scale` times in both directions, by default until the longer side is about `side`."""
    if scale is None:
        scale = max(1, round(side / max(grid.shape[:2])))
    scale = check_index("scale", scale, 1)
    return grid.repeat(scale, axis=0).repeat(scale, axis=1)


def check_numbers(value: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    """Return the value as an array; raise InputError unless it holds one or more real numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(f"{what}: got {array.dtype} of shape {array.shape}; expected a non-empty real array")
    return array


def check_images(value: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return the value as an array; raise InputError unless it holds float images (n, c, h, w)."""
    array = np.asarray(value)
    if array.ndim != 4 or array.size == 0 or array.shape[1] not in (1, 3):
        raise InputError(f"images: got shape {array.shape}; expected (n, 1, h, w) or (n, 3, h, w), n at least 1")
    if array.dtype.kind not in "fb":
        raise InputError(f"images: got {array.dtype}; expected floats from 0 to 1; divide 8-bit pixels by 255")
    return array


def check_states(states: Sequence[npt.ArrayLike]) -> list[npt.NDArray[Any]]:
    """Return the states as arrays; raise InputError unless they are one or more images arrays of the same shape."""
    arrays = [check_images(state) for state in states]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise InputError(f"states: got shapes {shapes}; expected one or more arrays of the same shape (n, c, h, w)")
    return arrays
