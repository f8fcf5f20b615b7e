"""Export HDF5 data sets to numpy files and to folders of PNG images."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from dpm.base.errors import InputError
from dpm.datasets.contents import open_sets
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset, set_names
from dpm.datasets.images import channel_first
from dpm.datasets.reading import atomic_write


def export_npz(path: Path, target: Path) -> None:
    """Write all sources of an HDF5 data set to one .npz file, under the names SET_SOURCE.

    Args:
        path: The data set.
        target: The file to write or replace.

    Raises:
        InputError: If the data set is unreadable or `target` is not writable.
    """
    arrays = {
        f"{part}_{name}": array[:] for part, members in open_sets(path).items() for name, array in members.items()
    }
    with atomic_write(target) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **arrays)


def export_png(path: Path, target: Path) -> None:
    """Write every image of an HDF5 data set to target/SET/00000.png and so on, all of them or none.

    The images are the source features of each set, or its first source.

    Args:
        path: The data set; its images may differ in shape.
        target: The folder to create.

    Raises:
        InputError: If `target` exists or cannot be created, or if the data set does not hold pixels.
    """
    if target.exists():
        raise InputError(f"{target}: exists; remove it, or give another folder")
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error}); give a path in a writable folder") from error
    try:
        for part in set_names(path):
            (unfinished / part).mkdir()
            _export_set(path, part, unfinished / part)
        unfinished.chmod(0o755)
        os.replace(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _export_set(path: Path, part: str, folder: Path) -> None:
    dataset = H5PYDataset(path, (part,))
    name = next((s for s in dataset.sources if "features" in s), dataset.sources[0])
    dataset = H5PYDataset(path, (part,), sources=(name,))
    for i, (image,) in enumerate(dataset.get_example_stream().get_epoch_iterator()):
        pixels = channel_first(image[None], f"{path}, {part}, {i}", dataset.axis_labels[name], large=True)
        _write_png(pixels[0], folder / f"{i:05d}.png")


def _write_png(image: np.ndarray, path: Path) -> None:
    """Write an image (c, h, w) of 8-bit pixels or floats in [0, 1]."""
    if image.dtype != np.uint8:
        if image.min() < 0 or image.max() > 1:
            raise InputError(f"{path.name}: values {image.min():g}..{image.max():g} are not pixels; export it --to npz")
        image = np.rint(255 * image).astype(np.uint8)
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(path)
