"""Find data sets by name: the folders that are searched, their order, and the accepted file names."""

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.formats import cifar10
from dpm.datasets.formats.idx import read_idx
from dpm.datasets.formats.signatures import is_hdf5
from dpm.datasets.fuel.config_parser import config
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset
from dpm.datasets.fuel.exceptions import ConfigurationError
from dpm.datasets.images import ImageData, channel_first
from dpm.datasets.made.recipes import RECIPES, draw_sets
from dpm.datasets.stored import StoredImages

NAMES = ("MNIST", "FASHION_MNIST", "CIFAR10", "IMAGENET", "BARK", "BARK_LIKE", "TEXTURE", "DEAD_LEAVES")
ENVIRONMENT = "FUEL_DATA_PATH"
#: The 5,000 MNIST digits that are part of the package.
EMBEDDED = Path(__file__).parent / "embedded" / "mnist5k.hdf5"
#: The folder for data sets of a checkout of the repository; an installed wheel has none.
CHECKOUT_FOLDER = Path(__file__).parents[2] / "datasets"

# The image files of MNIST and of Fashion-MNIST have the same names; the folder distinguishes them.
IDX_FILES = {
    part: tuple(f"{stem}-images{dot}idx3-ubyte{gz}" for dot in "-." for gz in ("", ".gz"))
    for part, stem in (("train", "train"), ("test", "t10k"))
}
IDX_FOLDERS = {
    "MNIST": ("", "mnist", "MNIST", "MNIST/raw"),
    "FASHION_MNIST": ("", "fashion-mnist", "fashion_mnist", "FashionMNIST", "FashionMNIST/raw"),
}
IDX_TEXT = "train-images-idx3-ubyte(.gz) with t10k-images-idx3-ubyte(.gz)"
#: The files that `load` accepts for each name.
ACCEPTED_FILES = {
    "MNIST": f"mnist.hdf5, or {IDX_TEXT}, also in mnist/ or MNIST/raw/",
    "FASHION_MNIST": f"fashion_mnist.hdf5, or {IDX_TEXT} in fashion-mnist/ or FashionMNIST/raw/",
    "CIFAR10": ", ".join(("cifar10.hdf5", *cifar10.ARCHIVES, *(f"{folder}/" for folder in cifar10.FOLDERS))),
    "IMAGENET": "imagenet.hdf5",
    "BARK": "bark.hdf5",
    "BARK_LIKE": "bark_like.hdf5",
    "TEXTURE": "texture.hdf5",
    "DEAD_LEAVES": "dead_leaves.hdf5",
}
COMMAND = "python -m dpm datasets"
#: How to get each data set.
ORIGIN = {
    "MNIST": f"{COMMAND} fetch MNIST, or download the .gz files from "
    "https://storage.googleapis.com/cvdf-datasets/mnist/,",
    "FASHION_MNIST": f"{COMMAND} fetch FASHION_MNIST, or download the .gz files from "
    "https://github.com/zalandoresearch/fashion-mnist,",
    "CIFAR10": f"{COMMAND} fetch CIFAR10, or download an archive from https://www.cs.toronto.edu/~kriz/cifar.html,",
    "IMAGENET": f"{COMMAND} convert images --input FOLDER --size 64 --output imagenet.hdf5",
    "BARK": f"unpack T01 to T04 of the texture database of Lazebnik et al., {COMMAND} convert BARK --input FOLDER,",
    "BARK_LIKE": f"{COMMAND} make BARK_LIKE",
    "TEXTURE": f"{COMMAND} convert TEXTURE, with the extra figures installed,",
    "DEAD_LEAVES": f"{COMMAND} make DEAD_LEAVES",
}
#: The recipe that replaces a data set whose files are not found.
STAND_INS = {"BARK": "BARK_LIKE", "BARK_LIKE": "BARK_LIKE", "DEAD_LEAVES": "DEAD_LEAVES"}
#: Images that would take a larger share of the machine's memory, as float32, are read from the disk in batches.
MEMORY_SHARE = 0.25


class Options(NamedTuple):
    """Options for reading images; see the arguments of `load`."""

    in_memory: bool | None = None
    large: bool = False
    first: tuple[int, int] | None = None


Images = tuple[Any, Any]
Candidate = tuple[Path, Callable[[Path, Options], Images]]


def load(
    name: str | os.PathLike[str],
    data_path: str | os.PathLike[str] | None = None,
    in_memory: bool | None = None,
    large: bool = False,
    first: tuple[int, int] | None = None,
) -> ImageData:
    """Load a data set of images by name or from a file.

    With `data_path`, only that path is searched. Without it, `default_folders()` are searched in order. If MNIST is in
    none of these, the 5,000 embedded digits are used; BARK, BARK_LIKE and DEAD_LEAVES are then drawn by their recipes.
    `ImageData.note` reports both. A file that is found but damaged is an error, it is never skipped.

    Example:
        >>> data = load("MNIST")
        >>> data.train.shape[1:], data.train.dtype
        ((1, 28, 28), dtype('uint8'))

    Args:
        name: One of `NAMES` (case, hyphens and underscores are ignored), or the path of an HDF5 file.
        data_path: A folder, several folders joined by os.pathsep, or a file. For a data set that is a file: the folder
            that holds it now, or its new name.
        in_memory: True reads the training images into memory; False leaves them in their .hdf5 file, to be read in
            batches; None (default) leaves them there if they would take more than a quarter of the machine's memory.
        large: Accept images that are not square, for training on crops.
        first: Numbers of training and test images to use at most; these first ones are read into memory.

    Returns:
        Training and test images (n, c, h, w) in the dtype and range of the file.

    Raises:
        InputError: If the name is unknown, if the data are not found (the message lists the searched folders, the
            accepted file names and how to get the data), or if a file is unreadable, has no test set or does not hold
            square images with 1 or 3 colors.
    """
    name, options = canonical_name(os.fspath(name)), Options(in_memory, large, first)
    if name not in NAMES:
        path = _find_file(Path(name), data_path)
        return _image_data(path.stem, path, _read_hdf5(path, options), options)
    folders = default_folders() if data_path is None else parse_data_path(data_path)
    explicit = data_path is not None
    if candidate := _find_first(name, folders, explicit):
        path, read = candidate
        return _image_data(name, path, read(path, options), options)
    if not explicit and _find_embedded(name):
        return _load_embedded(folders, options)
    if name in STAND_INS and not explicit:
        return _draw_stand_in(name, folders, options)
    raise _not_found_error(name, folders, data_path)


def locate(name: str) -> Path | None:
    """Return the file or folder from which `load` would read a data set.

    Args:
        name: An entry of `NAMES`.

    Returns:
        The path, or None if the data set is not found.
    """
    candidate = _find_first(name, default_folders(), explicit=False)
    return candidate[0] if candidate else _find_embedded(name)


def own_folder() -> Path:
    """Return the folder of this installation for data sets that are downloaded, converted or made.

    It is `datasets/` in a checkout of the repository. An installed wheel uses the user's data folder,
    $XDG_DATA_HOME/dpm or ~/.local/share/dpm, which may not exist yet. As the XDG specification says, a relative path
    in that variable is ignored.
    """
    # Check for a file of the repository: next to an installed wheel, datasets/ may be another package.
    if (CHECKOUT_FOLDER / "embed_mnist5k.py").is_file():
        return CHECKOUT_FOLDER
    base = os.environ.get("XDG_DATA_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.local/share")) / "dpm"


def default_folders() -> list[Path]:
    """Return the folders that are searched by default: those of Fuel's data path in order, then `own_folder()`.

    Fuel's data path is that of the environment variable FUEL_DATA_PATH, or of a line `data_path: FOLDER` in ~/.fuelrc.
    """
    try:
        folders = os.pathsep.join(config.data_path)
    except ConfigurationError:
        folders = ""
    return [*parse_data_path(folders), own_folder()]


def data_folder() -> Path:
    """Return the folder to which data sets are written by default: the first of `default_folders()`."""
    return default_folders()[0]


def parse_data_path(data_path: str | os.PathLike[str]) -> list[Path]:
    """Split a path at os.pathsep, unless it exists as a whole, and expand home folders."""
    text = os.path.expanduser(os.fspath(data_path))
    if os.path.exists(text):
        return [Path(text)]
    return [Path(os.path.expanduser(part)) for part in text.split(os.pathsep) if part]


def absolute_data_path(data_path: str) -> str:
    """Return a path as `load` takes it with absolute names, so that it holds in any working directory."""
    return os.pathsep.join(map(os.path.abspath, parse_data_path(data_path)))


def has_hdf5_suffix(name: str) -> bool:
    """Return True if a name ends in .hdf5 or .h5, in any case."""
    return name.lower().endswith((".hdf5", ".h5"))


def is_file_name(name: str) -> bool:
    """Return True if the name of a data set is the path of an HDF5 file, by its suffix or by its content."""
    return has_hdf5_suffix(name) or is_hdf5(os.path.expanduser(name))


def canonical_name(name: str) -> str:
    """Return the entry of `NAMES` that a user means, or the absolute path of an HDF5 file.

    Raises:
        InputError: If there is no such entry; the message suggests the nearest name.
    """
    plain = {known.replace("_", ""): known for known in NAMES}
    key = str(name).upper().replace("-", "").replace("_", "")
    if key in plain:
        return plain[key]
    path = os.path.abspath(os.path.expanduser(name))
    if is_file_name(name):
        return path
    if os.path.exists(path):
        kind = "images" if os.path.isdir(path) else "arrays"
        raise InputError(f"data set {name!r}: is not an HDF5 file; convert it: {COMMAND} convert {kind} --input PATH")
    if os.path.isabs(name):  # the file of a saved run, which was moved
        return path
    near = difflib.get_close_matches(key, plain, n=1)
    hint = f"did you mean {plain[near[0]]}? " if near else ""
    raise InputError(f"data set {name!r} is not known; {hint}accepted are {', '.join(NAMES)}, or a file FILE.hdf5")


def memory_bytes() -> int:
    """Return the size of the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _find_embedded(name: str) -> Path | None:
    return EMBEDDED if name == "MNIST" and EMBEDDED.is_file() else None


def _find_first(name: str, folders: list[Path], explicit: bool) -> Candidate | None:
    return next((found for folder in folders for found in _candidates(name, folder, explicit)), None)


def _find_file(path: Path, data_path: str | os.PathLike[str] | None) -> Path:
    """Return where a data set that is a file is now. Raises InputError where it is not there."""
    if data_path is None:
        found, option = [path], f"data set {path}"
    else:
        places = parse_data_path(data_path)
        found = [place / path.name if place.is_dir() else place for place in places]
        option = f"data_path {os.fspath(data_path)!r}"
    for file in found:
        if file.is_file():
            return file
    raise InputError(
        f"{option}: no file {' or '.join(map(str, found))}; if {path.name} was moved, --data-path names its folder or "
        "its new name"
    )


def _image_data(name: str, path: Path, images: Images, options: Options, note: str = "") -> ImageData:
    if options.first is not None:
        images = images[0][: options.first[0]], images[1][: options.first[1]]
    return ImageData(name, path, *images, note)


def _load_embedded(folders: list[Path], options: Options) -> ImageData:
    """Load the embedded digits to replace the full MNIST, and report it in `note`."""
    images = _read_hdf5(EMBEDDED, options)
    note = (
        f"MNIST: no full data set in {', '.join(map(str, folders))}; using the embedded {len(images[0]):,} + "
        f"{len(images[1]):,} digits (--data-path FOLDER names another folder)"
    )
    return _image_data("MNIST", EMBEDDED, images, options, note)


def _draw_stand_in(name: str, folders: list[Path], options: Options) -> ImageData:
    """Draw images to replace a file that is not found, and report it in `note`."""
    stand_in = STAND_INS[name]
    recipe = RECIPES[stand_in]
    counts = options.first or (recipe.n_train, recipe.n_test)
    images = [sets["features"] for sets in draw_sets(stand_in, *counts, recipe.size, seed=0).values()]
    what = "images of the procedural bark-like texture, not bark" if name == "BARK" else "images drawn now"
    note = (
        f"{name}: no {ACCEPTED_FILES[name]} in {', '.join(map(str, folders))}; using {counts[0]:,} + {counts[1]:,} "
        f"{what} ({ORIGIN[name]} writes a file)"
    )
    return _image_data(stand_in, Path(f"dpm.datasets.made.recipes {stand_in}"), (images[0], images[1]), options, note)


def _not_found_error(name: str, folders: list[Path], data_path: str | os.PathLike[str] | None) -> InputError:
    searched = [f"{folder}{'' if os.path.exists(folder) else ' (does not exist)'}" for folder in folders]
    prefix = f"data_path {os.fspath(data_path)!r}: " if data_path is not None else ""
    return InputError(
        f"{prefix}no {name} found; searched, in order: {', '.join(searched) or 'nothing, the path is empty'}; "
        f"looked for {ACCEPTED_FILES[name]}; {ORIGIN[name]} and name the folder with --data-path or {ENVIRONMENT}"
    )


def _candidates(name: str, place: Path, explicit: bool) -> Iterator[Candidate]:
    """Yield the files and folders at a place that may hold the data set, with their readers."""
    if os.path.isfile(place):
        if explicit:
            yield _file_candidate(name, place)
        return
    if os.path.exists(path := place / f"{name.lower()}.hdf5"):
        yield path, _read_hdf5
    if name == "CIFAR10":
        for path in [place / known for known in (*cifar10.ARCHIVES, *cifar10.FOLDERS)]:
            if os.path.exists(path):
                yield path, _read_cifar10
        if cifar10.is_cifar10_folder(place):
            yield place, _read_cifar10
    for folder in [place / known for known in IDX_FOLDERS.get(name, ())]:
        if any(_find_idx(folder, part) for part in IDX_FILES) and _may_hold(name, folder, explicit):
            yield folder, _read_idx_pair


def _file_candidate(name: str, path: Path) -> Candidate:
    if name in IDX_FOLDERS and any(path.name in files for files in IDX_FILES.values()):
        return path.parent, _read_idx_pair
    if name == "CIFAR10" and {".tar", ".tgz"} & set(path.suffixes):
        return path, _read_cifar10
    return path, _read_hdf5


def _may_hold(name: str, folder: Path, explicit: bool) -> bool:
    """Decide from a folder's name if its idx files can be those of a data set."""
    folder = Path(os.path.abspath(folder))
    base = folder.parent.name if folder.name.lower() == "raw" else folder.name
    letters = "".join(filter(str.isalpha, base.lower()))
    owner = {"mnist": "MNIST", "fashionmnist": "FASHION_MNIST", "fashion": "FASHION_MNIST"}.get(letters)
    return owner == name if owner else explicit or name == "MNIST"


def _find_idx(folder: Path, part: str) -> Path | None:
    return next((folder / name for name in IDX_FILES[part] if os.path.isfile(folder / name)), None)


def _read_cifar10(path: Path, options: Options) -> Images:
    _check_in_memory(path, options)
    return cifar10.read_cifar10(path)


def _read_idx_pair(folder: Path, options: Options) -> Images:
    _check_in_memory(folder, options)
    train, test = (_read_idx_part(folder, part) for part in IDX_FILES)
    return train, test


def _check_in_memory(path: Path, options: Options) -> None:
    if options.in_memory is False:
        raise InputError(
            f"{path}: only .hdf5 files are read in batches from the disk; convert it with {COMMAND} convert, or "
            "leave out --in-memory"
        )


def _read_idx_part(folder: Path, part: str) -> np.ndarray:
    path = _find_idx(folder, part)
    if path is None:
        raise InputError(f"{folder}: lacks {IDX_FILES[part][0]}(.gz), the {part} images; put it into this folder")
    return channel_first(read_idx(path), str(path))


def _read_hdf5(path: Path, options: Options) -> Images:
    stored = [
        StoredImages(H5PYDataset(path, (which,), sources=("features",)), options.large) for which in ("train", "test")
    ]
    in_memory = options.in_memory
    if in_memory is None:
        fits = sum(4 * images.size for images in stored) <= MEMORY_SHARE * memory_bytes()
        in_memory = options.first is not None or fits
    train, test = stored
    return (train[:] if in_memory else train), test[:]
