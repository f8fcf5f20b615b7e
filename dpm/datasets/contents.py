"""Inspect data files of any accepted format: sets, shapes, types, ranges and hashes."""

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.formats.arrays import read_arrays
from dpm.datasets.formats.cifar10 import read_cifar10
from dpm.datasets.formats.idx import read_idx
from dpm.datasets.formats.signatures import HDF5, NPY, ZIP, find_format
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset, set_names
from dpm.datasets.scaling import to_unit_range
from dpm.datasets.search import has_hdf5_suffix
from dpm.datasets.stored import StoredSource, in_parts

COLUMNS = ("set", "source", "examples", "each", "type", "range", "sha256")
READ_AT_ONCE = 16 << 20  # bytes
#: Number of gray values that `read_gray_values` takes from a file, about.
GRAYS = 1_000_000

Sets = Mapping[str, Mapping[str, Any]]


def open_sets(path: Path) -> Sets:
    """Open a file or folder of any accepted format.

    Args:
        path: An .hdf5, .npz, .npy or idx file, or an archive or folder of CIFAR-10. The content distinguishes the
            first three, not the name.

    Returns:
        The array of each source of each set, by set and source. Those of an .hdf5 file are read when they are indexed.

    Raises:
        InputError: If the file is missing, damaged or of another format.
    """
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such file; give an .hdf5, .npz, .npy, idx or CIFAR-10 file")
    kind = find_format(path)
    if kind == HDF5 or (kind is None and has_hdf5_suffix(path.name)):
        sets = {}
        for part in set_names(path):
            sources = H5PYDataset(path, (part,)).provides_sources
            sets[part] = {source: StoredSource(H5PYDataset(path, (part,), sources=(source,))) for source in sources}
        return sets
    if kind in (ZIP, NPY) or path.suffix in (".npz", ".npy"):
        return {path.stem: {name: np.atleast_1d(array) for name, array in read_arrays(path).items()}}
    if path.is_dir() or {".tar", ".tgz"} & set(path.suffixes):
        train, test = read_cifar10(path)
        return {"train": {"features": train}, "test": {"features": test}}
    images = read_idx(path)
    return {path.name: {"features": images[:, None] if images.ndim == 3 else images}}


def summarize(sets: Sets) -> list[tuple[str, ...]]:
    """Return a table of the sets and sources of a file.

    Args:
        sets: Result of `open_sets`.

    Returns:
        `COLUMNS`, then a row for each source: number and shape of the examples, dtype, range and SHA-256 of the values.
    """
    rows: list[tuple[str, ...]] = [COLUMNS]
    for part, members in sets.items():
        for source, array in members.items():
            low, high, digest = _scan(array)
            variable = getattr(array, "example_shape", ()) is None
            each = "variable" if variable else " x ".join(map(str, array.shape[1:])) or "1"
            span = f"{low:g}..{high:g}" if low < math.inf else "none"
            rows.append((part, source, f"{len(array):,}", each, str(array.dtype), span, digest[:16]))
    return rows


def size_in_bytes(path: Path) -> int:
    """Return the size of a file, or of the files in a folder."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
    return path.stat().st_size


def first_images(sets: Sets) -> Any:
    """Return the first source of a file with images (n, c, h, w) of 1 or 3 colors; None if there is none."""
    images = next((a for members in sets.values() for a in members.values() if len(a.shape) == 4), None)
    return images if images is not None and images.shape[1] in (1, 3) else None


def read_gray_values(path: Path) -> np.ndarray:
    """Return about `GRAYS` pixels of the images in a file, for the gray values of dead leaves.

    Args:
        path: A file of `open_sets`.

    Returns:
        Values in [0, 1], (m,).

    Raises:
        InputError: If the file has no images, or if they are not 8-bit.
    """
    array = next((a for members in open_sets(path).values() for a in members.values() if len(a.shape) >= 3), None)
    if array is None:
        raise InputError(f"intensities: {path} holds no images; give a file of images")
    pixels, quantized = to_unit_range(array[: max(1, GRAYS // max(1, array[:1].size))], str(path))
    if not quantized:
        raise InputError(f"intensities: {path} holds no 8-bit pixels; give a file of images")
    return pixels.ravel()


def _scan(array: Any) -> tuple[float, float, str]:
    """Return the lowest and highest value and the SHA-256 of an array."""
    low, high, digest = math.inf, -math.inf, hashlib.sha256()
    for part in in_parts(array, READ_AT_ONCE):
        if part.size and part.dtype.kind in "biuf":
            low, high = min(low, float(part.min())), max(high, float(part.max()))
        digest.update(np.ascontiguousarray(part).data)
    return low, high, digest.hexdigest()
