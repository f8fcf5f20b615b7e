"""Read images from HDF5 files that are not in Fuel's layout: arrays of h5py, and files of MATLAB 7.3."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.formats.arrays import LISTED, MAX_BYTES, choose_names
from dpm.datasets.fuel import probe
from dpm.datasets.images import N_COLORS
from dpm.datasets.reading import to_native

MATLAB_CLASS = "MATLAB_class"  # attribute of every array that MATLAB saves


def read_image_sets(path: str | os.PathLike[str], key: str | None = None) -> dict[str, np.ndarray]:
    """Read the training images and, if the file has them, the test images; no other array is read.

    Without `key` the names decide, as in `dpm.datasets.formats.arrays.read_image_sets`, otherwise the only array with
    three or four axes.

    MATLAB's axes are height, width, color, image, or height, width, image; the result has the images first. Arrays
    whose shape shows another order, such as (n, w, w) or (n, h, w, 3), keep it.

    Args:
        path: An HDF5 file, see `dpm.datasets.fuel.probe`.
        key: Name of the array with the training images, with its groups: "images", or "entry/images".

    Returns:
        {"train": images} or {"train": images, "test": images}, in native byte order.

    Raises:
        InputError: If the file is damaged or already a Fuel data set, if it has no array `key`, or if the names are
            ambiguous (the message lists all arrays), or if an array has more than MAX_BYTES.
    """
    path = Path(path)
    probe.check_file(path)
    try:
        with h5py.File(path, "r") as file:
            if "split" in file.attrs:
                raise InputError(f"{path}: is a data set in Fuel's layout already; train on it as it is")
            arrays = _numeric_arrays(file)
            chosen = _choose(arrays, key)
            if not chosen:
                problem = "its names do not determine which array holds the images"
                problem = problem if key is None else f"has no array {ascii(key)[1:-1]}"
                raise InputError(f"{path}: {problem}; it has {_list(arrays)}; name one with --key NAME")
            return {part: _read(arrays[name], f"{path}: {name}") for part, name in chosen.items()}
    except InputError:
        raise
    except Exception as error:  # h5py raises many types for a damaged file
        raise probe.explain(path, error) from error


def _numeric_arrays(file: h5py.File) -> dict[str, h5py.Dataset]:
    arrays: dict[str, h5py.Dataset] = {}

    def add(name: str, item: object) -> None:
        # MATLAB keeps the contents of cells in the group #refs#.
        if isinstance(item, h5py.Dataset) and item.shape and not name.startswith("#"):
            texts = item.attrs.get(MATLAB_CLASS) in (b"char", "char")
            with suppress(TypeError):  # for a type that numpy lacks
                if item.dtype.kind in "biuf" and not texts:
                    arrays[name] = item

    file.visititems(add)
    return arrays


def _choose(arrays: Mapping[str, h5py.Dataset], key: str | None) -> dict[str, str]:
    """Return {set: name of its array}; empty if there is none, or more than one."""
    if key is not None:
        name = key.strip("/")
        return {"train": name} if name in arrays else {}
    images = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    by_last_part = {name.rpartition("/")[2]: name for name in arrays}
    if len(by_last_part) == len(arrays) and (chosen := choose_names(list(by_last_part))):
        return {part: by_last_part[name] for part, name in chosen.items()}
    return {"train": images[0]} if len(images) == 1 else {}


def _list(arrays: Mapping[str, h5py.Dataset]) -> str:
    parts = [f"{ascii(name)[1:-1]} {array.shape} {array.dtype}" for name, array in list(arrays.items())[:LISTED]]
    more = [f"{len(arrays) - LISTED} more"] if len(arrays) > LISTED else []
    return ", ".join(parts + more) or "no arrays of numbers"


def _read(item: h5py.Dataset, what: str) -> np.ndarray:
    if item.size * item.dtype.itemsize > MAX_BYTES:
        raise InputError(f"{what}: {item.size * item.dtype.itemsize:,} bytes; accepted are {MAX_BYTES:,}; split it")
    array = to_native(item[()])
    return images_first(array.T) if MATLAB_CLASS in item.attrs else array


def images_first(array: np.ndarray) -> np.ndarray:
    """Return an array with MATLAB's order of axes with the images first: (n, c, h, w) or (n, h, w).

    Args:
        array: (h, w, c, n), (h, w, n), or images first already.
    """
    shape = array.shape
    if len(shape) == 4 and shape[2] in N_COLORS:
        return array.transpose(3, 2, 0, 1)
    if len(shape) == 3 and (shape[0] == shape[1] or shape[1] != shape[2]):
        return array.transpose(2, 0, 1)
    return array
