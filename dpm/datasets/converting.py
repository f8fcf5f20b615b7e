"""Convert folders of images and numpy files to training and test images of equal shape."""

import os
import sys
from collections.abc import Sequence

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.formats import arrays, plain_hdf5
from dpm.datasets.formats.folder import image_files, read_images
from dpm.datasets.formats.signatures import is_hdf5
from dpm.datasets.from_arrays import TEST_SHARE, image_data_from_arrays, split_test_set
from dpm.datasets.scaling import LEVELS, value_range
from dpm.datasets.search import ORIGIN

#: The classes of bark in the texture database of Lazebnik, Schmid & Ponce (2005): how their file names start.
BARK_CLASSES = ("T01", "T02", "T03", "T04")
#: Functions of skimage.data; the files are in the wheel, the package does not download them.
PHOTOGRAPHS = ("brick", "grass", "gravel")


def convert_images(
    folder: str | os.PathLike[str],
    size: int,
    crop: str = "center",
    crops: int = 1,
    gray: bool = False,
    test_share: float = TEST_SHARE,
    seed: int = 0,
    quiet: bool = True,
    skip_unreadable: bool = False,
) -> dict[str, np.ndarray]:
    """Read a folder of PNG and JPEG images and split off a test set.

    Args:
        folder: The folder; its sub-folders are included.
        size: Height and width of the result in pixels.
        crop: "center" or "random", see `dpm.datasets.formats.folder.read_images`.
        crops: Windows per image; those of an image stay in one set.
        gray: Convert colors to gray.
        test_share: Share of the images that becomes the test set.
        seed: Seed of the positions of the crops and of the test set.
        quiet: Show no progress and no warnings.
        skip_unreadable: Leave out images that cannot be read.

    Returns:
        {"train": uint8 (n, c, size, size), "test": uint8 (m, c, size, size)}.

    Raises:
        InputError: As `image_files`, `read_images` and `split_test_set`.
    """
    notes: list[str] = []
    paths, rng = image_files(folder, notes.append), np.random.default_rng(seed)
    images = read_images(paths, size, crop, gray, crops, rng, quiet, skip_unreadable, notes.append)
    sets = _split(images, folder, test_share, seed, crops)
    _print_warnings([] if quiet else notes)
    return sets


def _split(
    images: np.ndarray, folder: str | os.PathLike[str], share: float, seed: int, crops: int
) -> dict[str, np.ndarray]:
    """Split off a test set, and check that both parts vary: no scale can be computed from one gray level."""
    sets = split_test_set(images, share, seed, crops)
    for part, array in sets.items():
        value_range(array, f"{folder} ({part})")
    return sets


def _print_warnings(notes: Sequence[str]) -> None:
    """Print notes on a conversion that succeeded; one that fails prints its error alone."""
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)


def convert_bark(
    folder: str | os.PathLike[str],
    size: int = 256,
    crop: str = "random",
    crops: int | None = None,
    test_share: float = TEST_SHARE,
    seed: int = 0,
    quiet: bool = True,
    skip_unreadable: bool = False,
) -> dict[str, np.ndarray]:
    """Read the bark of the texture database of Lazebnik, Schmid & Ponce (2005) as gray images.

    The textures have 640 x 480 pixels.

    Args:
        folder: The unpacked database; files are chosen by name, whatever their sub-folder.
        crops: Windows per image; by default 4 random windows, or 1 central one.
        size, crop, test_share, seed, quiet, skip_unreadable: As `convert_images`.

    Returns:
        {"train": uint8 (n, 1, size, size), "test": uint8 (m, 1, size, size)}.

    Raises:
        InputError: As `convert_images`, and if there are no files of the four classes.
    """
    paths = [path for path in image_files(folder) if path.name[:3].upper() in BARK_CLASSES]
    if not paths:
        raise InputError(f"{folder}: holds no images named T01_... to T04_...; {ORIGIN['BARK']}")
    if crops is None:
        crops = 4 if crop == "random" else 1
    notes: list[str] = []
    rng = np.random.default_rng(seed)
    images = read_images(paths, size, crop, True, crops, rng, quiet, skip_unreadable, notes.append)
    sets = _split(images, folder, test_share, seed, crops)
    _print_warnings([] if quiet else notes)
    return sets


def convert_texture(size: int = 256) -> dict[str, np.ndarray]:
    """Cut the photographs of texture that scikit-image contains into squares, the last of each for testing.

    They are gray, 512 x 512, and in the public domain (CC0). No square overlaps another, so none for training has a
    pixel of one for testing.

    Args:
        size: Height and width of the squares in pixels.

    Returns:
        {"train": uint8 (n, 1, size, size), "test": uint8 (m, 1, size, size)}, with m photographs.

    Raises:
        InputError: If scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError:
        raise InputError(
            'convert TEXTURE: scikit-image is not installed; take the extra: pip install -e ".[figures]"'
        ) from None
    squares = [cut_squares(np.asarray(getattr(data, name)()), size) for name in PHOTOGRAPHS]
    train, test = (np.concatenate(parts) for parts in zip(*((s[:-1], s[-1:]) for s in squares), strict=True))
    return {"train": train, "test": test}


def cut_squares(image: np.ndarray, size: int) -> np.ndarray:
    """Cut a gray image (h, w) into squares side by side, row by row, (n, 1, size, size)."""
    rows, columns = (length // size for length in image.shape)
    cut = image[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return cut.swapaxes(1, 2).reshape(-1, 1, size, size)


def convert_arrays(
    path: str | os.PathLike[str], key: str | None = None, test_share: float | None = None, seed: int = 0
) -> dict[str, np.ndarray]:
    """Read the images of a file of arrays; split off a test set if the file has none.

    The result is what training accepts. Integers outside 0..255, which are not 8-bit pixels, become floats of the same
    values, continuous data.

    Args:
        path: An .npz or .npy file, or an HDF5 file that is not in Fuel's layout, such as one of MATLAB 7.3.
        key: Name of the array with the training images, see `read_image_sets`.
        test_share: Share of the images that becomes the test set; TEST_SHARE if None.
        seed: Seed of the test set.

    Returns:
        {"train": (n, c, h, w), "test": (m, c, h, w)} in the dtype of the file, except for integers outside 0..255.

    Raises:
        InputError: As `read_image_sets` and `image_data_from_arrays`; if `test_share` is given for a file with test
            images.
    """
    read = plain_hdf5.read_image_sets if is_hdf5(path) else arrays.read_image_sets
    found = _accepted_integers(read(path, key))
    if "test" in found and test_share is not None:
        raise InputError(f"test_share: {path} has test images; leave it out")
    share = TEST_SHARE if test_share is None else test_share
    data = image_data_from_arrays(found["train"], found.get("test"), str(path), share, seed, large=True)
    return {"train": data.train, "test": data.test}


def _accepted_integers(sets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return integers outside 0..255 as floats that hold them exactly, in all sets alike."""
    whole = [array for array in sets.values() if array.dtype.kind in "iu" and array.size]
    largest = max((max(-int(array.min()), int(array.max())) for array in whole), default=0)
    least = min((int(array.min()) for array in whole), default=0)
    if least >= 0 and largest <= LEVELS:
        return sets
    return {part: array.astype("float32" if largest <= 1 << 24 else "float64") for part, array in sets.items()}
