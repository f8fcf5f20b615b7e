"""Read and check images and masks that a user names on the command line."""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from dpm.base.errors import InputError
from dpm.base.wording import count
from dpm.datasets import H5PYDataset, to_unit_range
from dpm.datasets.formats.arrays import read_array
from dpm.datasets.formats.signatures import HDF5, NPY, PNG, ZIP, find_format
from dpm.datasets.images import channel_first
from dpm.runs.data import cut_pieces

BY_SUFFIX = {".hdf5": HDF5, ".h5": HDF5, ".npz": ZIP, ".npy": NPY, ".png": PNG}
MASKS = ("left", "right", "top", "bottom", "center")
CENTER = re.compile(r"center:(?P<side>[0-9]{1,5})")
ACCEPTED = "accepted are .npz, .npy, .png and FILE.hdf5[:SPLIT[:A-B]], the examples A to B - 1"


def read_images(
    name: str | Path,
    example_shape: tuple[int, ...],
    quantized: bool = True,
    flag: str = "--input",
    crop: int | None = None,
    report: Callable[[str], object] | None = None,
) -> np.ndarray:
    """Return images in data units, (n, c, h, w) float64.

    Args:
        name: FILE.npz (its array X, or its only array), FILE.npy, FILE.png, or FILE.hdf5[:SPLIT[:A-B]]; by default the
            split "test" and all its examples, else the examples A to B - 1. The content decides, not the suffix.
        example_shape: (c, h, w) of the model.
        quantized: True if the model's data were 8-bit pixels; an array of whole numbers 0..255 is then taken for these.
        flag: name of the option in messages.
        crop: side of the crops that the model was trained on; larger images are then cut into squares of the model's
            size, as test images are.
        report: function of a line of text, called if images are cut.

    Raises:
        InputError: the file is of another kind or its images have another shape.
    """
    what = f"{flag} {name}"
    images = _read_file(str(name), flag)
    if images.shape == example_shape:
        images = images[None]
    elif images.ndim == 3 and example_shape[0] == 1:
        images = images[:, None]
    if images.ndim == 4 and images.shape[1] != example_shape[0] == images.shape[3]:
        images = images.transpose(0, 3, 1, 2)
    side = example_shape[-1]
    if crop and len(images) and images.ndim == 4 and images.shape[1] == example_shape[0]:
        n, _, height, width = images.shape
        if min(height, width) >= side and max(height, width) > side:
            images = cut_pieces(images, side)
            if report:
                report(
                    f"{what}: {count(n, 'image')} of {height} x {width}, cut into {len(images)} squares of {side} x "
                    f"{side}"
                )
    if images.shape[1:] != example_shape or not len(images):
        raise InputError(f"{what}: images of shape {images.shape}; accepted: (n, {_shape(example_shape)})")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise InputError(f"{what}: not finite at {tuple(map(int, np.argwhere(~np.isfinite(images))[0]))}")
    pixels = quantized and images.max() > 1 and (images == np.rint(images)).all()
    if images.dtype.kind != "f":
        # Integers above 255 are the units of a model of other data, whose conversion keeps their values.
        pixels = quantized or images.max() <= 255
    return to_unit_range(images, what, varying=False)[0] if pixels else images.astype(np.float64)


def _read_file(name: str, flag: str) -> np.ndarray:
    """Return the images of a file in the format of its content, or of a part of an HDF5 file."""
    # A folder may have a colon in its name: the longest part that is a file is the path.
    colons = [i for i, letter in enumerate(f"{name}:") if letter == ":"]
    path = next((name[:i] for i in reversed(colons) if os.path.isfile(name[:i])), name)
    split, _, rows = name[len(path) + 1 :].partition(":")
    if not os.path.exists(path):
        raise InputError(f"{flag} {name}: no such file; {ACCEPTED}")
    kind = find_format(path) or BY_SUFFIX.get(Path(path).suffix.lower())  # for the message on a damaged file
    if kind == HDF5:
        return _read_hdf5(f"{flag} {name}", Path(path), split, rows)
    if kind in (ZIP, NPY) and path == name:
        return _read_npz(Path(path))
    if kind == PNG and path == name:
        return _read_png(Path(path))
    raise InputError(f"{flag} {name}: {ACCEPTED}")


def read_mask(name: str | Path, example_shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask, (c, h, w) bool, that is True where pixels are drawn.

    Args:
        name: one of MASKS, center:SIDE for the central square of that side, or a PNG or npz file whose values are not 0
            where to draw; a gray mask applies to all channels.
        example_shape: (c, h, w) of the model.

    Raises:
        InputError: the name or the file is not accepted.
    """
    drawn = np.zeros(example_shape, dtype=bool)
    drawn[:] = _named_mask(str(name), example_shape) if _is_named_mask(str(name)) else _mask_file(name, example_shape)
    return drawn


def describe_trivial_mask(drawn: np.ndarray) -> str:
    """Return what to say of a mask that marks no pixel, or every pixel; "" for other masks."""
    if not drawn.any():
        return "marks no pixel, so the samples are the input"
    return "marks every pixel, so nothing of the input is used, as with --mode sample" if drawn.all() else ""


def _is_named_mask(name: str) -> bool:
    return name in MASKS or CENTER.fullmatch(name) is not None


def _named_mask(name: str, example_shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask of one of MASKS, or of center:SIDE."""
    _, height, width = example_shape
    drawn = np.zeros(example_shape, dtype=bool)
    if name in MASKS:
        middle_y, middle_x = slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)
        # The known part keeps the middle of an odd width, as in the released mask.
        regions = {
            "left": np.s_[:, :, : width // 2],
            "right": np.s_[:, :, width - width // 2 :],
            "top": np.s_[:, : height // 2],
            "bottom": np.s_[:, height - height // 2 :],
            "center": np.s_[:, middle_y, middle_x],
        }
        drawn[regions[name]] = True
        return drawn
    middle = CENTER.fullmatch(name)
    side = int(middle["side"]) if middle else 0
    if not 0 < side <= min(height, width):
        raise InputError(f"--mask {name}: the images have {height} x {width}; accepted: 1 to {min(height, width)}")
    top, left = (height - side) // 2, (width - side) // 2
    drawn[:, top : top + side, left : left + side] = True
    return drawn


def _mask_file(name: str | Path, example_shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask in a file, (h, w) or (1, h, w) bool."""
    _, height, width = example_shape
    suffix = Path(name).suffix.lower()
    if suffix not in (".png", ".npz"):
        raise InputError(f"--mask {name}: accepted are {', '.join(MASKS)}, center:SIDE, or a .png or .npz file")
    if not Path(name).is_file():
        raise InputError(f"--mask {name}: no such file")
    mask = (_read_png_mask if suffix == ".png" else _read_npz)(Path(name))
    if mask.ndim == 4 and len(mask) == 1:
        mask = mask[0]
    if mask.dtype.kind == "f" and not np.isfinite(mask).all():
        raise InputError(f"--mask {name}: holds values that are not finite; accepted: 0, or not 0 where to draw")
    if mask.ndim == 3 and len(mask) in (3, 4):
        mask = np.asarray(mask[:3].any(axis=0))
    if mask.shape not in ((height, width), (1, height, width)):
        raise InputError(f"--mask {name}: shape {mask.shape}; accepted: ({height}, {width})")
    return np.asarray(mask != 0)


def _read_npz(path: Path) -> np.ndarray:
    def choose(names: Sequence[str]) -> str:
        if "X" not in names and len(names) != 1:
            raise InputError(f"{path}: holds the arrays {', '.join(names) or '(none)'}; name the images X")
        return "X" if "X" in names else names[0]

    return read_array(path, choose)


def _read_png(path: Path) -> np.ndarray:
    """Return a PNG as (1, c, h, w) in [0, 1], gray or color; transparency is dropped."""
    with _open_png(path) as image:
        return _pixels_of(image)


def _pixels_of(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
        pixels = np.asarray(image) / 65535
    else:
        pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")) / 255
    return pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]


def _read_png_mask(path: Path) -> np.ndarray:
    """Return a PNG as a mask, (1, c, h, w). Raises InputError for one with transparent pixels."""
    with _open_png(path) as image:
        # A hole in an image, and strokes on a transparent layer, mean opposite masks.
        if image.has_transparency_data and (np.asarray(image.convert("RGBA"))[..., 3] < 255).any():
            raise InputError(
                f"--mask {path}: has transparent pixels, which may mean either part; accepted: an image without "
                "transparency, black where pixels are known and any other color where to draw"
            )
        return _pixels_of(image)


@contextmanager
def _open_png(path: Path) -> Iterator[Image.Image]:
    """Yield a PNG whose pixels can be read; raise InputError for a damaged file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as image:
                image.load()
                yield image
    except InputError:
        raise
    except Exception as error:  # Pillow raises many types for a damaged file
        raise InputError(f"{path}: cannot be read as PNG ({' '.join(str(error).split())})") from None


def _read_hdf5(what: str, path: Path, split: str, rows: str) -> np.ndarray:
    """Return examples of a split of a Fuel file, of "test" for "": "A-B" for A to B - 1 as in a Python slice, or all.

    The whole split decides, as in training, if the numbers are 8-bit levels.
    """
    dataset = H5PYDataset(path, which_sets=(split or "test",), sources=("features",))
    start, stop = 0, dataset.num_examples
    if rows:
        span = re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", rows)
        if not span or not int(span[1]) < int(span[2]) <= stop:
            raise InputError(
                f"{what}: accepted is A-B with 0 <= A < B <= {stop}, for the examples A to B - 1: 0-10 are ten"
            )
        start, stop = int(span[1]), int(span[2])
    (features,) = dataset.get_data(request=slice(None))
    features = channel_first(features, what, dataset.axis_labels["features"], large=True)
    unit, quantized = to_unit_range(features, what, "float32", varying=False)
    chosen = unit[start:stop].astype(np.float64)
    return np.rint(255 * chosen) / 255 if quantized else features[start:stop].astype(np.float64)


def _shape(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
