"""Where data are looked for, in which order, and under which file names."""

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import dpm
from dpm.datasets import cifar10
from dpm.datasets.hdf5 import H5PYDataset
from dpm.datasets.idx import read_idx
from dpm.datasets.images import ImageData, channel_first
from dpm.errors import InputError

NAMES = ("MNIST", "FASHION_MNIST", "CIFAR10", "IMAGENET")
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
}
ORIGIN = {
    "MNIST": "download the .gz files from https://storage.googleapis.com/cvdf-datasets/mnist/",
    "FASHION_MNIST": "download the .gz files from https://github.com/zalandoresearch/fashion-mnist",
    "CIFAR10": "download an archive from https://www.cs.toronto.edu/~kriz/cifar.html",
    "IMAGENET": "write your resized images with dpm.datasets.write_hdf5 (train and test, source 'features')",
}

Images = tuple[np.ndarray, np.ndarray]
Found = tuple[Path, Callable[[Path], Images]]


def load(name: str, data_path: str | os.PathLike[str] | None = None) -> ImageData:
    """The data set `name`, from the first place that has it.

    Places: `data_path` alone if it is given; else the folders of the environment variable FUEL_DATA_PATH,
    then the folder `datasets` beside the package. MNIST that is nowhere among the latter becomes the embedded
    5,000 digits, which `note` says. A file that is found but damaged is an error, never skipped.

    Args:
        name: one of NAMES; case, hyphens and underscores do not matter.
        data_path: a folder, several joined by os.pathsep, or a file.

    Raises InputError if the name is unknown, if no place has the data (what was searched, the file names, how
    to get them), and if the data are unreadable, have no test set or are not square images of 1 or 3 colours.
    """
    name = canonical_name(name)
    places = default_places() if data_path is None else given_places(data_path)
    explicit = data_path is not None
    found = next((found for place in places for found in _candidates(name, place, explicit)), None)
    if found:
        path, read = found
        return ImageData(name, path, *read(path))
    embedded = OWN_FOLDER / EMBEDDED
    if name == "MNIST" and not explicit and embedded.is_file():
        train, test = _read_hdf5(embedded)
        note = (
            f"MNIST: no full data set in {', '.join(map(str, places))}; taking the embedded {len(train):,} + "
            f"{len(test):,} digits (--data-path FOLDER names another)"
        )
        return ImageData(name, embedded, train, test, note)
    raise _not_found(name, places, data_path)


def canonical_name(name: str) -> str:
    """The entry of NAMES that is meant; InputError, with the nearest one, if there is none."""
    plain = {known.replace("_", ""): known for known in NAMES}
    key = str(name).upper().replace("-", "").replace("_", "")
    if key in plain:
        return plain[key]
    near = difflib.get_close_matches(key, plain, n=1)
    hint = f"did you mean {plain[near[0]]}? " if near else ""
    raise InputError(f"data set {name!r} is not known; {hint}accepted are {', '.join(NAMES)}")


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
        f"looked for {WANTED[name]}; {ORIGIN[name]} and name their folder with --data-path or {ENVIRONMENT}"
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
                yield path, cifar10.read_cifar10
        if cifar10.is_cifar10_folder(place):
            yield place, cifar10.read_cifar10
    for folder in [place / known for known in IDX_FOLDERS.get(name, ())]:
        if any(_idx_file(folder, part) for part in IDX_FILES) and _may_hold(name, folder, explicit):
            yield folder, _read_idx_pair


def _file(name: str, path: Path) -> Found:
    if name in IDX_FOLDERS and any(path.name in files for files in IDX_FILES.values()):
        return path.parent, _read_idx_pair
    if name == "CIFAR10" and {".tar", ".tgz"} & set(path.suffixes):
        return path, cifar10.read_cifar10
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


def _read_idx_pair(folder: Path) -> Images:
    train, test = (_read_idx_part(folder, part) for part in IDX_FILES)
    return train, test


def _read_idx_part(folder: Path, part: str) -> np.ndarray:
    path = _idx_file(folder, part)
    if path is None:
        raise InputError(f"{folder}: lacks {IDX_FILES[part][0]}(.gz), the {part} images; put it beside the others")
    return channel_first(read_idx(path), str(path))


def _read_hdf5(path: Path) -> Images:
    train, test = (_read_hdf5_set(path, which) for which in ("train", "test"))
    return train, test


def _read_hdf5_set(path: Path, which: str) -> np.ndarray:
    dataset = H5PYDataset(path, (which,), load_in_memory=True, sources=("features",))
    (features,) = dataset.get_data(slice(None))
    return channel_first(features, f"{path}, {which}", dataset.axis_labels["features"])
