"""Where data are looked for, in which order, and under which file names."""

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dpm
from dpm.base.errors import InputError
from dpm.datasets.formats import cifar10
from dpm.datasets.formats.idx import read_idx
from dpm.datasets.fuel.hdf5 import H5PYDataset
from dpm.datasets.images import ImageData, channel_first
from dpm.datasets.made import recipes as make
from dpm.datasets.stored import StoredImages

NAMES = ("MNIST", "FASHION_MNIST", "CIFAR10", "IMAGENET", "BARK", "BARK_LIKE", "DEAD_LEAVES")
ENVIRONMENT = "FUEL_DATA_PATH"
OWN_FOLDER = Path(dpm.__file__).parent.parent / "datasets"
EMBEDDED = "mnist5k.hdf5"

# The image files of MNIST and of Fashion-MNIST are called the same; the folder tells them apart.
IDX_FILES = {
    part: tuple(f"{stem}-images{dot}idx3-ubyte{gz}" for dot in "-." for gz in ("", ".gz"))
    for part, stem in (("train", "train"), ("test", "t10k"))
}
IDX_FOLDERS = {
    "MNIST": ("", "mnist", "MNIST", "MNIST/raw"),
    "FASHION_MNIST": ("", "fashion-mnist", "fashion_mnist", "FashionMNIST", "FashionMNIST/raw"),
}
IDX_TEXT = "train-images-idx3-ubyte(.gz) with t10k-images-idx3-ubyte(.gz)"
WANTED = {
    "MNIST": f"mnist.hdf5, or {IDX_TEXT}, also in mnist/ or MNIST/raw/",
    "FASHION_MNIST": f"fashion_mnist.hdf5, or {IDX_TEXT} in fashion-mnist/ or FashionMNIST/raw/",
    "CIFAR10": ", ".join(("cifar10.hdf5", *cifar10.ARCHIVES, *(f"{folder}/" for folder in cifar10.FOLDERS))),
    "IMAGENET": "imagenet.hdf5",
    "BARK": "bark.hdf5",
    "BARK_LIKE": "bark_like.hdf5",
    "DEAD_LEAVES": "dead_leaves.hdf5",
}
COMMAND = "python -m dpm datasets"
ORIGIN = {
    "MNIST": f"{COMMAND} fetch MNIST, or download the .gz files from "
    "https://storage.googleapis.com/cvdf-datasets/mnist/,",
    "FASHION_MNIST": f"{COMMAND} fetch FASHION_MNIST, or download the .gz files from "
    "https://github.com/zalandoresearch/fashion-mnist,",
    "CIFAR10": f"{COMMAND} fetch CIFAR10, or download an archive from https://www.cs.toronto.edu/~kriz/cifar.html,",
    "IMAGENET": f"{COMMAND} convert pictures --input FOLDER --size 64 --output imagenet.hdf5",
    "BARK": f"unpack T01 to T04 of the texture database of Lazebnik et al., {COMMAND} convert BARK --input FOLDER,",
    "BARK_LIKE": f"{COMMAND} make BARK_LIKE",
    "DEAD_LEAVES": f"{COMMAND} make DEAD_LEAVES",
}
#: What is made in the place of files that are not found.
STAND_INS = {"BARK": "BARK_LIKE", "BARK_LIKE": "BARK_LIKE", "DEAD_LEAVES": "DEAD_LEAVES"}
#: Images of more bytes than this share of the machine's memory, as float32, stay on the disk unless told otherwise.
MEMORY_SHARE = 0.25


class Wish(NamedTuple):
    """How images are wanted: see the arguments of `load`."""

    in_memory: bool | None = None
    large: bool = False
    first: tuple[int, int] | None = None


Images = tuple[Any, Any]
Found = tuple[Path, Callable[[Path, Wish], Images]]


def load(
    name: str,
    data_path: str | os.PathLike[str] | None = None,
    in_memory: bool | None = None,
    large: bool = False,
    first: tuple[int, int] | None = None,
) -> ImageData:
    """The data set `name`, from the first place that has it.

    Places: `data_path` alone if it is given; else the folders of the environment variable FUEL_DATA_PATH,
    then the folder `datasets` beside the package. MNIST that is nowhere among the latter becomes the embedded
    5,000 digits, which `note` says. A file that is found but damaged is an error, never skipped.

    Args:
        name: one of NAMES, case, hyphens and underscores do not matter; or the path of a .hdf5 file.
        data_path: a folder, several joined by os.pathsep, or a file.
        in_memory: False: training images stay in their .hdf5 file and are read in batches; None: so they do where
            they would take more than a quarter of the machine's memory.
        large: whether images need not be square, as where training cuts pieces of them.
        first: how many training and test images to take at most, the first ones, which are then read into memory.

    Raises InputError if the name is unknown, if no place has the data (what was searched, the file names, how
    to get them), and if the data are unreadable, have no test set or are not square images of 1 or 3 colors.
    """
    name, wish = canonical_name(name), Wish(in_memory, large, first)
    if is_file_name(name):
        path = Path(os.path.expanduser(name))
        return _image_data(path.stem, path, _read_hdf5(path, wish), wish)
    places = default_places() if data_path is None else given_places(data_path)
    explicit = data_path is not None
    if found := _first(name, places, explicit):
        path, read = found
        return _image_data(name, path, read(path, wish), wish)
    if not explicit and (embedded := _embedded(name)):
        images = _read_hdf5(embedded, wish)
        note = (
            f"MNIST: no full data set in {', '.join(map(str, places))}; taking the embedded {len(images[0]):,} + "
            f"{len(images[1]):,} digits (--data-path FOLDER names another)"
        )
        return _image_data(name, embedded, images, wish, note)
    if name in STAND_INS and not explicit:
        return _made(name, places, wish)
    raise _not_found(name, places, data_path)


def located(name: str) -> Path | None:
    """Where `load` would read the data set of this entry of NAMES; None where it is not found."""
    found = _first(name, default_places(), explicit=False)
    return found[0] if found else _embedded(name)


def _embedded(name: str) -> Path | None:
    path = OWN_FOLDER / EMBEDDED
    return path if name == "MNIST" and path.is_file() else None


def _first(name: str, places: list[Path], explicit: bool) -> Found | None:
    return next((found for place in places for found in _candidates(name, place, explicit)), None)


def _image_data(name: str, path: Path, images: Images, wish: Wish, note: str = "") -> ImageData:
    if wish.first is not None:
        images = images[0][: wish.first[0]], images[1][: wish.first[1]]
    return ImageData(name, path, *images, note)


def _made(name: str, places: list[Path], wish: Wish) -> ImageData:
    """Made images in the place of a file that is nowhere, which `note` says."""
    stand_in = STAND_INS[name]
    made = make.RECIPES[stand_in]
    counts = wish.first or (made.n_train, made.n_test)
    images = [sets["features"] for sets in make.image_sets(stand_in, *counts, made.size, seed=0).values()]
    what = "the procedural bark-like texture, which is no bark" if name == "BARK" else "images made now"
    note = (
        f"{name}: no {WANTED[name]} in {', '.join(map(str, places))}; taking {counts[0]:,} + {counts[1]:,} of {what} "
        f"({ORIGIN[name]} for a file)"
    )
    return _image_data(stand_in, Path(f"dpm.datasets.made.recipes {stand_in}"), (images[0], images[1]), wish, note)


def is_file_name(name: str) -> bool:
    """Whether a data set is named by its file."""
    return name.lower().endswith((".hdf5", ".h5"))


def canonical_name(name: str) -> str:
    """The entry of NAMES that is meant, or the name of a file; InputError, with the nearest, if there is none."""
    if is_file_name(name):
        return name
    plain = {known.replace("_", ""): known for known in NAMES}
    key = str(name).upper().replace("-", "").replace("_", "")
    if key in plain:
        return plain[key]
    near = difflib.get_close_matches(key, plain, n=1)
    hint = f"did you mean {plain[near[0]]}? " if near else ""
    raise InputError(f"data set {name!r} is not known; {hint}accepted are {', '.join(NAMES)}, or a file FILE.hdf5")


def given_places(data_path: str | os.PathLike[str]) -> list[Path]:
    """The paths in `data_path`: one that exists as it stands, else its parts between os.pathsep."""
    text = os.path.expanduser(os.fspath(data_path))
    if os.path.exists(text):
        return [Path(text)]
    return [Path(os.path.expanduser(part)) for part in text.split(os.pathsep) if part]


def default_places() -> list[Path]:
    """The folders of FUEL_DATA_PATH, in order, then the repository's own."""
    return [*given_places(os.environ.get(ENVIRONMENT, "")), OWN_FOLDER]


def _not_found(name: str, places: list[Path], data_path: str | os.PathLike[str] | None) -> InputError:
    searched = [f"{place}{'' if os.path.exists(place) else ' (does not exist)'}" for place in places]
    given = f"data_path {os.fspath(data_path)!r}: " if data_path is not None else ""
    return InputError(
        f"{given}no {name} found; searched, in order: {', '.join(searched) or 'nothing, the path is empty'}; "
        f"looked for {WANTED[name]}; {ORIGIN[name]} and name the folder with --data-path or {ENVIRONMENT}"
    )


def _candidates(name: str, place: Path, explicit: bool) -> Iterator[Found]:
    if os.path.isfile(place):
        if explicit:
            yield _file(name, place)
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
        if any(_idx_file(folder, part) for part in IDX_FILES) and _may_hold(name, folder, explicit):
            yield folder, _read_idx_pair


def _file(name: str, path: Path) -> Found:
    if name in IDX_FOLDERS and any(path.name in files for files in IDX_FILES.values()):
        return path.parent, _read_idx_pair
    if name == "CIFAR10" and {".tar", ".tgz"} & set(path.suffixes):
        return path, _read_cifar10
    return path, _read_hdf5


def _may_hold(name: str, folder: Path, explicit: bool) -> bool:
    """Whether idx files in `folder` may be those of `name`, going by what the folder is called."""
    folder = Path(os.path.abspath(folder))
    called = folder.parent.name if folder.name.lower() == "raw" else folder.name
    letters = "".join(filter(str.isalpha, called.lower()))
    owner = {"mnist": "MNIST", "fashionmnist": "FASHION_MNIST", "fashion": "FASHION_MNIST"}.get(letters)
    return owner == name if owner else explicit or name == "MNIST"


def _idx_file(folder: Path, part: str) -> Path | None:
    return next((folder / name for name in IDX_FILES[part] if os.path.isfile(folder / name)), None)


def _read_cifar10(path: Path, wish: Wish) -> Images:
    _check_memory(path, wish)
    return cifar10.read_cifar10(path)


def _read_idx_pair(folder: Path, wish: Wish) -> Images:
    _check_memory(folder, wish)
    train, test = (_read_idx_part(folder, part) for part in IDX_FILES)
    return train, test


def _check_memory(path: Path, wish: Wish) -> None:
    if wish.in_memory is False:
        raise InputError(
            f"{path}: only .hdf5 files are read in batches from the disk; make one with {COMMAND} convert, or leave "
            "--in-memory out"
        )


def _read_idx_part(folder: Path, part: str) -> np.ndarray:
    path = _idx_file(folder, part)
    if path is None:
        raise InputError(f"{folder}: lacks {IDX_FILES[part][0]}(.gz), the {part} images; put it beside the others")
    return channel_first(read_idx(path), str(path))


def _read_hdf5(path: Path, wish: Wish) -> Images:
    stored = [
        StoredImages(H5PYDataset(path, (which,), sources=("features",)), wish.large) for which in ("train", "test")
    ]
    in_memory = wish.in_memory
    if in_memory is None:
        in_memory = wish.first is not None or sum(4 * images.size for images in stored) <= MEMORY_SHARE * memory_bytes()
    train, test = stored
    return (train[:] if in_memory else train), test[:]


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
