"""What `python -m dpm datasets` does: list, fetch, convert, make, info and export data sets."""

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dpm.base.command_line import print_table
from dpm.base.errors import InputError
from dpm.datasets.formats import arrays, cifar10, folder
from dpm.datasets.formats.idx import read_idx
from dpm.datasets.fuel.hdf5 import H5PYDataset, set_names
from dpm.datasets.fuel.writing import write_hdf5
from dpm.datasets.images import channel_first
from dpm.datasets.made import recipes as make
from dpm.datasets.reading import atomic_write
from dpm.datasets.scaling import to_unit_range
from dpm.datasets.search import (
    NAMES,
    ORIGIN,
    STAND_INS,
    canonical_name,
    default_places,
    is_file_name,
    load,
    located,
)
from dpm.datasets.stored import StoredSource, in_parts

LABELS = ("batch", "channel", "height", "width")
TEST_SHARE = 0.1
# Textures of 640 x 480 pixels: each gives so many windows.
BARK = {"size": 256, "crop": "random", "crops": 4, "gray": True}
SHEET = 49
GRAYS = 1_000_000
READ_AT_ONCE = 16 << 20
#: The options of convert that have a meaning for each kind of input.
MEANINGFUL = {
    "MNIST": (),
    "FASHION_MNIST": (),
    "CIFAR10": (),
    "BARK": ("size", "crop", "crops", "test_share", "seed"),
    "PICTURES": ("size", "crop", "crops", "gray", "test_share", "seed"),
    "ARRAYS": ("key", "test_share", "seed"),
}

Sets = dict[str, dict[str, np.ndarray]]
Opened = Mapping[str, Mapping[str, Any]]


def data_folder() -> Path:
    """Where data sets are kept unless told otherwise: the first folder of FUEL_DATA_PATH, else datasets/."""
    return default_places()[0]


def list_sets(options: Any) -> None:
    """Print every known data set, where it lies or how to get it."""
    for name in NAMES:
        path = located(name)
        absent = f"made when asked for: {make.RECIPES[STAND_INS[name]].what}" if name in STAND_INS else "not here"
        print(f"{name:14} {path or absent}")
        if path is None:
            print(f"{'':14} to have it: {ORIGIN[name].rstrip(',')}")
    for name in make.RECIPES.keys() - set(NAMES):
        print(f"{name:14} made by train.py itself: {make.RECIPES[name].what}")


def fetch_set(options: Any) -> None:
    """Download a data set's files and say where they are."""
    from dpm.datasets.fetch import fetch

    target = Path(options.output_dir or data_folder())
    for path in fetch(options.name, target, options.quiet):
        print(path)


def convert(options: Any) -> None:
    """Write what --input holds as one HDF5 file."""
    name = options.name.upper().replace("-", "_")
    if name not in MEANINGFUL:
        name = canonical_name(options.name)
    if name not in MEANINGFUL:
        raise InputError(f"convert {options.name}: cannot be converted; accepted are {', '.join(MEANINGFUL)}")
    for key in ("size", "crop", "crops", "gray", "test_share", "seed", "key"):
        if getattr(options, key) not in (None, False) and key not in MEANINGFUL[name]:
            raise InputError(f"--{key.replace('_', '-')} has no meaning for convert {name}; leave it out")
    if options.input is None and MEANINGFUL[name]:
        raise InputError(f"convert {name}: needs --input, a {'file' if name == 'ARRAYS' else 'folder'}")
    if name == "ARRAYS":
        sets = split_off(_array_sets(options), options)
    elif name in ("BARK", "PICTURES"):
        sets = _picture_sets(name, options)
    else:
        found = load(name, options.input)
        sets = {"train": found.train, "test": found.test}
    stem = Path(options.input).stem if name in ("ARRAYS", "PICTURES") else name.lower()
    write(options, stem, {part: {"features": images} for part, images in sets.items()}, LABELS, f"convert {name}")


def _array_sets(options: Any) -> dict[str, np.ndarray]:
    found = arrays.image_sets(options.input, options.key)
    return {part: channel_first(array, f"{options.input} ({part})", large=True) for part, array in found.items()}


def _picture_sets(name: str, options: Any) -> dict[str, np.ndarray]:
    chosen: dict[str, Any] = BARK if name == "BARK" else {"size": None, "crop": "center", "crops": 1, "gray": False}
    chosen = chosen | {key: value for key in chosen if (value := getattr(options, key)) not in (None, False)}
    if chosen["size"] is None:
        raise InputError("convert PICTURES: needs --size, the height and width that all pictures get, such as 64")
    if options.crops is not None and chosen["crop"] == "center":
        raise InputError(f"--crops {options.crops}: has a meaning only with --crop random; leave it out")
    paths = folder.picture_files(options.input)
    if name == "BARK":
        # The database's files are called T01_01.jpg and so on, whatever folders they lie in.
        paths = [path for path in paths if path.name[:3].upper() in ("T01", "T02", "T03", "T04")]
        if not paths:
            raise InputError(f"{options.input}: holds no pictures called T01_... to T04_...; {ORIGIN['BARK']}")
    rng = np.random.default_rng(options.seed or 0)
    images = folder.read_pictures(paths, rng=rng, quiet=options.quiet, **chosen)
    return split_off({"train": images}, options, chosen["crops"])


def split_off(sets: dict[str, np.ndarray], options: Any, together: int = 1) -> dict[str, np.ndarray]:
    """The sets with a test set: a random share of the training examples, where there is none.

    together: so many examples that follow one another stay in one set. Raises InputError where none would be left.
    """
    if "test" in sets:
        if options.test_share is not None:
            raise InputError(f"--test-share: {options.input} has test images of its own; leave it out")
        return sets
    share = TEST_SHARE if options.test_share is None else options.test_share
    groups = len(sets["train"]) // together
    n_test = max(1, round(groups * share)) if 0 < share < 1 else 0
    if not 0 < n_test < groups:
        raise InputError(f"--test-share: {share} of {groups} pictures; accepted: above 0, and some left to train on")
    order = np.random.default_rng([options.seed or 0, 1]).permutation(groups)
    rows = (order[:, None] * together + np.arange(together)).ravel()
    train, test = np.sort(rows[n_test * together :]), np.sort(rows[: n_test * together])
    return {"train": sets["train"][train], "test": sets["train"][test]}


def make_set(options: Any) -> None:
    """Write a made data set as one HDF5 file."""
    name = options.name.upper().replace("-", "_")
    if name not in make.RECIPES:
        raise InputError(f"make {options.name}: cannot be made; accepted are {', '.join(make.RECIPES)}")
    recipe = make.RECIPES[name]
    counts = options.n or recipe.n_train, options.test or recipe.n_test
    size = recipe.size if options.size is None else options.size
    grays = None if options.intensities is None else gray_values(Path(options.intensities))
    sets = make.image_sets(name, *counts, size, options.seed, options.quiet, grays)
    origin = f"make {name}, {recipe.what}; size {size}, seed {options.seed}"
    if grays is not None:
        origin += f", grays of {options.intensities}"
    write(options, name.lower(), sets, recipe.labels, origin)


def gray_values(path: Path) -> np.ndarray:
    """Pixels of the images in a file, in [0, 1], about GRAYS at most. Raises InputError where there are none."""
    array = next((a for members in opened(path).values() for a in members.values() if len(a.shape) >= 3), None)
    if array is None:
        raise InputError(f"--intensities: {path} holds no images; give a file of pictures")
    pixels, quantized = to_unit_range(array[: max(1, GRAYS // max(1, array[:1].size))], str(path))
    if not quantized:
        raise InputError(f"--intensities: {path} holds no 8-bit pixels; give a file of pictures")
    return pixels.ravel()


def write(options: Any, stem: str, sets: Sets, labels: tuple[str, ...], origin: str) -> None:
    """One HDF5 file of the sets, at --output or in the data folder; say what it holds and how to train on it."""
    path = Path(options.output or data_folder() / f"{stem}.hdf5")
    if not is_file_name(path.name):
        raise InputError(f"--output: {path} does not end in .hdf5; give such a name")
    write_hdf5(path, sets, {"features": labels}, {"dpm_origin": origin})
    if not options.quiet:
        describe(path, opened(path))
        if len(labels) == len(LABELS):
            print(f"train on it: python train.py --dataset {path}")


def info(options: Any) -> None:
    """Print what a file holds, and write a contact sheet of its images."""
    path = Path(options.file)
    sets = opened(path)
    describe(path, sets)
    images = next((a for members in sets.values() for a in members.values() if len(a.shape) == 4), None)
    if images is not None and images.shape[1] in (1, 3):
        from dpm import viz

        unit = to_unit_range(images[:SHEET], str(path))[0]
        low, high = float(unit.min()), float(unit.max())
        if low < 0 or high > 1:
            unit = (unit - low) / (high - low)
        out = Path(options.output_dir or ".")
        if not out.is_dir():
            raise InputError(f"--output-dir: {out} is not a folder; create it first, or give another")
        print(f"contact sheet: {viz.plot_images(unit, out / f'{path.stem}_sheet.png')}")


def describe(path: Path, sets: Opened) -> None:
    """Print the sets and sources of a file, as `opened` gives them: number, shape, type, range and SHA-256 of each."""
    rows = [("set", "source", "examples", "each", "type", "range", "sha256")]
    for part, members in sets.items():
        for source, array in members.items():
            low, high, digest = _facts(array)
            own = getattr(array, "each", ()) is None
            each = "own shapes" if own else " x ".join(map(str, array.shape[1:])) or "1"
            span = f"{low:g}..{high:g}" if low < math.inf else "none"
            rows.append((part, source, f"{len(array):,}", each, str(array.dtype), span, digest[:16]))
    print(f"{path}: {sum_bytes(path):,} bytes")
    print_table(rows)


def sum_bytes(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
    return path.stat().st_size


def _facts(array: Any) -> tuple[float, float, str]:
    low, high, digest = math.inf, -math.inf, hashlib.sha256()
    for part in in_parts(array, READ_AT_ONCE):
        if part.size and part.dtype.kind in "biuf":
            low, high = min(low, float(part.min())), max(high, float(part.max()))
        digest.update(np.ascontiguousarray(part).data)
    return low, high, digest.hexdigest()


def opened(path: Path) -> Opened:
    """What a file or folder of any accepted kind holds: array by set and source.

    Raises InputError where it is none of them.
    """
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such file; give an .hdf5, .npz, .npy, idx or CIFAR-10 file")
    if is_file_name(path.name):
        sets = {}
        for part in set_names(path):
            sources = H5PYDataset(path, (part,)).provides_sources
            sets[part] = {source: StoredSource(H5PYDataset(path, (part,), sources=(source,))) for source in sources}
        return sets
    if path.suffix in (".npz", ".npy"):
        return {path.stem: {name: np.atleast_1d(array) for name, array in arrays.read_arrays(path).items()}}
    if path.is_dir() or {".tar", ".tgz"} & set(path.suffixes):
        train, test = cifar10.read_cifar10(path)
        return {"train": {"features": train}, "test": {"features": test}}
    images = read_idx(path)
    return {path.name: {"features": images[:, None] if images.ndim == 3 else images}}


def export(options: Any) -> None:
    """Write the sets of an HDF5 file as one .npz, or their images as PNG files."""
    path = Path(options.file)
    if not is_file_name(path.name):
        raise InputError(f"export {path}: is not an .hdf5 file; give one")
    target = Path(options.output or f"{path.stem}{'.npz' if options.to == 'npz' else '_pictures'}")
    if options.to == "npz":
        found = {f"{part}_{name}": array[:] for part, ms in opened(path).items() for name, array in ms.items()}
        with atomic_write(target) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **found)
    else:
        _export_pictures(path, target)
    if not options.quiet:
        print(target)


def _export_pictures(path: Path, target: Path) -> None:
    """Every image of the source features, or of the only one with images: target/SET/00000.png."""
    if target.exists():
        raise InputError(f"--output: {target} exists; remove it, or give another folder")
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(f"--output: {target} cannot be written ({error}); give a path in a writable folder") from error
    try:
        for part in set_names(path):
            dataset = H5PYDataset(path, (part,))
            name = next((s for s in dataset.sources if "features" in s), dataset.sources[0])
            dataset = H5PYDataset(path, (part,), sources=(name,))
            (unfinished / part).mkdir()
            for i in range(dataset.num_examples):
                (image,) = dataset.get_data([i])
                pixels = channel_first(image[0][None], f"{path}, {part}, {i}", dataset.axis_labels[name], large=True)
                _png(pixels[0], unfinished / part / f"{i:05d}.png")
        unfinished.chmod(0o755)
        os.replace(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _png(image: np.ndarray, path: Path) -> None:
    """image (c, h, w), 8-bit pixels or floats 0..1."""
    if image.dtype != np.uint8:
        if image.min() < 0 or image.max() > 1:
            raise InputError(f"{path.name}: values {image.min():g}..{image.max():g} are no pixels; export it --to npz")
        image = np.rint(255 * image).astype(np.uint8)
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(path)
