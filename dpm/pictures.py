"""Pictures and masks that a user names on the command line, read and checked."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dpm.datasets import H5PYDataset, to_unit_range
from dpm.errors import InputError

MASKS = ("left", "right", "top", "bottom", "center")


def read_pictures(name, picture_shape):
    """Pictures in data units, (n, c, h, w) float64.

    name: FILE.npz (its array X, or its only array), FILE.png, or FILE.hdf5[:SPLIT[:A-B]] (split test and all
    examples by default). picture_shape: (c, h, w) of the model.
    Raises InputError where the file is not such or its pictures have another shape.
    """
    path, _, part = str(name).partition(".hdf5")
    readers = {".npz": _read_npz, ".png": _read_png}
    if ".hdf5" in str(name):
        pictures = _read_hdf5(Path(path + ".hdf5"), part)
    elif Path(name).suffix.lower() in readers:
        pictures = readers[Path(name).suffix.lower()](_existing(name))
    else:
        raise InputError(f"--input {name}: accepted are .npz, .png and FILE.hdf5[:SPLIT[:A-B]]")
    if pictures.ndim == len(picture_shape):
        pictures = pictures[None]
    if pictures.ndim == 3 and picture_shape[0] == 1:
        pictures = pictures[:, None]
    if pictures.shape[1:] != picture_shape or not len(pictures):
        raise InputError(f"--input {name}: pictures of shape {pictures.shape}; accepted: (n, {_shape(picture_shape)})")
    if pictures.dtype == np.uint8:
        return to_unit_range(pictures, f"--input {name}")[0]
    pictures = pictures.astype(np.float64)
    if not np.isfinite(pictures).all():
        raise InputError(f"--input {name}: not finite at {tuple(map(int, np.argwhere(~np.isfinite(pictures))[0]))}")
    return pictures


def read_mask(name, picture_shape):
    """True where a pixel is to be drawn anew, (c, h, w) bool.

    name: one of MASKS, or a PNG or npz file whose values are not 0 there; a grey mask counts for all colours.
    """
    _, height, width = picture_shape
    drawn = np.zeros(picture_shape, dtype=bool)
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
    suffix = Path(name).suffix.lower()
    if suffix not in (".png", ".npz"):
        raise InputError(f"--mask {name}: accepted are {', '.join(MASKS)}, or a .png or .npz file")
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
    try:
        with np.load(path, allow_pickle=False) as file:
            if "X" not in file.files and len(file.files) != 1:
                raise InputError(f"{path}: holds the arrays {', '.join(file.files)}; name the pictures X")
            array = file["X" if "X" in file.files else file.files[0]]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as npz ({error})") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: its array is of type {array.dtype}; accepted are numbers")
    return array


def _read_png(path):
    """(1, c, h, w) uint8, grey or colour; transparency is dropped."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            grey = image.mode in ("1", "L", "LA", "I;16", "I")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as PNG ({error})") from None
    return pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]


def _read_hdf5(path, part):
    """Examples A to B - 1 of a split of a Fuel file; part is ":SPLIT:A-B", or less."""
    split, _, span = part.removeprefix(":").partition(":")
    dataset = H5PYDataset(_existing(path), which_sets=(split or "test",))
    start, _, stop = span.partition("-")
    if span and not (start.isdigit() and stop.isdigit() and int(start) < int(stop) <= dataset.num_examples):
        raise InputError(f"--input {path}:{split}:{span}: accepted is A-B with 0 <= A < B <= {dataset.num_examples}")
    rows = slice(int(start), int(stop)) if span else slice(0, dataset.num_examples)
    return dataset.get_data(request=rows)[dataset.provides_sources.index("features")]


def _shape(shape):
    return ", ".join(map(str, shape))
