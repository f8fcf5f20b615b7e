"""Convert folders of images and numpy files to training and test images of equal shape."""

import os
import sys

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.formats.arrays import read_image_sets
from dpm.datasets.formats.folder import image_files, read_images
from dpm.datasets.from_arrays import TEST_SHARE, split_test_set
from dpm.datasets.images import channel_first
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
    warn = _ignore if quiet else _warn
    paths = image_files(folder, warn)
    images = read_images(paths, size, crop, gray, crops, np.random.default_rng(seed), quiet, skip_unreadable, warn)
    return split_test_set(images, test_share, seed, crops)


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def _ignore(line: str) -> None:
    pass


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
    warn, rng = _ignore if quiet else _warn, np.random.default_rng(seed)
    images = read_images(paths, size, crop, True, crops, rng, quiet, skip_unreadable, warn)
    return split_test_set(images, test_share, seed, crops)


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
    """Read the images of a numpy file; split off a test set if the file has none.

    Args:
        path: An .npz or .npy file.
        key: Name of the array with the training images, see `read_image_sets`.
        test_share: Share of the images that becomes the test set; TEST_SHARE if None.
        seed: Seed of the test set.

    Returns:
        {"train": (n, c, h, w), "test": (m, c, h, w)} in the dtype of the file.

    Raises:
        InputError: As `read_image_sets`, `channel_first` and `split_test_set`; if `test_share` is given for a file with
            test images.
    """
    found = read_image_sets(path, key)
    sets = {part: channel_first(array, f"{path} ({part})", large=True) for part, array in found.items()}
    if "test" not in sets:
        return split_test_set(sets["train"], TEST_SHARE if test_share is None else test_share, seed)
    if test_share is not None:
        raise InputError(f"test_share: {path} has test images; leave it out")
    return sets
