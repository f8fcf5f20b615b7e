"""Pictures and masks that a user names on the command line, read and checked."""

import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from dpm.base.errors import InputError
from dpm.datasets import H5PYDataset, to_unit_range
from dpm.datasets.formats.arrays import read_arrays
from dpm.datasets.images import channel_first

MASKS = ("left", "right", "top", "bottom", "center")
CENTER = re.compile(r"center:(?P<side>[0-9]{1,5})")
HDF5_NAME = re.compile(r"(?P<path>.*\.hdf5)(:(?P<split>[^:]*)(:(?P<rows>.*))?)?", re.DOTALL)


def read_pictures(name, example_shape, pixels=True, flag="--input"):
    """Pictures in data units, (n, c, h, w) float64.

    name: FILE.npz (its array X, or its only array), FILE.png, or FILE.hdf5[:SPLIT[:A-B]] (split test and all
    examples by default). example_shape: (c, h, w) of the model. pixels: whether the model's data were 8-bit pixels;
    an array of whole numbers 0..255 then counts as such. flag: what the option is called in messages.
    Raises InputError where the file is not such or its pictures have another shape.
    """
    what = f"{flag} {name}"
    hdf5 = HDF5_NAME.fullmatch(str(name))
    suffix = Path(name).suffix.lower()
    if hdf5:
        pictures = _read_hdf5(what, _existing(hdf5["path"], flag), hdf5["split"], hdf5["rows"])
    elif suffix == ".npz":
        pictures = _read_npz(_existing(name, flag))
    elif suffix == ".png":
        pictures = _read_png(_existing(name, flag))
    else:
        raise InputError(f"{what}: accepted are .npz, .png and FILE.hdf5[:SPLIT[:A-B]]")
    if pictures.shape == example_shape:
        pictures = pictures[None]
    elif pictures.ndim == 3 and example_shape[0] == 1:
        pictures = pictures[:, None]
    if pictures.shape[1:] != example_shape or not len(pictures):
        raise InputError(f"{what}: pictures of shape {pictures.shape}; accepted: (n, {_shape(example_shape)})")
    if pictures.dtype.kind == "f" and not np.isfinite(pictures).all():
        raise InputError(f"{what}: not finite at {tuple(map(int, np.argwhere(~np.isfinite(pictures))[0]))}")
    if pictures.dtype.kind != "f" or (pixels and pictures.max() > 1 and (pictures == np.rint(pictures)).all()):
        return to_unit_range(pictures, what)[0]
    return pictures.astype(np.float64)


def read_mask(name, example_shape):
    """True where a pixel is to be drawn anew, (c, h, w) bool.

    name: one of MASKS, center:SIDE for the middle square of so many pixels, or a PNG or npz file whose values are not 0
    there; a gray mask counts for all colors.
    """
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
    if middle := CENTER.fullmatch(str(name)):
        side = int(middle["side"])
        if not 0 < side <= min(height, width):
            raise InputError(
                f"--mask {name}: the pictures have {height} x {width}; accepted: 1 to {min(height, width)}"
            )
        top, left = (height - side) // 2, (width - side) // 2
        drawn[:, top : top + side, left : left + side] = True
        return drawn
    suffix = Path(name).suffix.lower()
    if suffix not in (".png", ".npz"):
        raise InputError(f"--mask {name}: accepted are {', '.join(MASKS)}, center:SIDE, or a .png or .npz file")
    mask = (_read_png if suffix == ".png" else _read_npz)(_existing(name, "--mask"))
    if mask.ndim == 4 and len(mask) == 1:
        mask = mask[0]
    if mask.ndim == 3 and len(mask) in (3, 4):
        mask = mask[:3].any(axis=0)
    if mask.shape not in ((height, width), (1, height, width)):
        raise InputError(f"--mask {name}: shape {mask.shape}; accepted: ({height}, {width})")
    drawn[:] = mask != 0
    return drawn


def _existing(name, flag="--input"):
    if not Path(name).is_file():
        raise InputError(f"{flag} {name}: no such file")
    return Path(name)


def _read_npz(path):
    found = read_arrays(path)
    chosen = "X" if "X" in found else next(iter(found)) if len(found) == 1 else None
    if chosen is None:
        raise InputError(f"{path}: holds the arrays {', '.join(found) or '(none)'}; name the pictures X")
    return found[chosen]


def _read_png(path):
    """(1, c, h, w) in [0, 1], gray or color; transparency is dropped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as image:
                if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
                    pixels = np.asarray(image) / 65535
                else:
                    pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")) / 255
    except Exception as error:  # Pillow raises many types for a damaged file
        raise InputError(f"{path}: cannot be read as PNG ({' '.join(str(error).split())})") from None
    return pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]


def _read_hdf5(what, path, split, rows):
    """Examples A to B - 1 of a split of a Fuel file, rows being "A-B" or None for all; what kind of numbers they are
    is told by the whole split, as in training."""
    dataset = H5PYDataset(path, which_sets=(split or "test",), sources=("features",))
    start, stop = 0, dataset.num_examples
    if rows:
        span = re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", rows)
        if not span or not int(span[1]) < int(span[2]) <= stop:
            raise InputError(f"{what}: accepted is A-B with 0 <= A < B <= {stop}")
        start, stop = int(span[1]), int(span[2])
    (features,) = dataset.get_data(slice(None))
    features = channel_first(features, what, dataset.axis_labels["features"])
    unit, quantized = to_unit_range(features, what, "float32")
    chosen = unit[start:stop].astype(np.float64)
    return np.rint(255 * chosen) / 255 if quantized else features[start:stop].astype(np.float64)


def _shape(shape):
    return ", ".join(map(str, shape))
