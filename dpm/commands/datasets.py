"""`dpm datasets`: list, fetch, convert, make, inspect and export data sets."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dpm.base.command_line import Parser, print_table, run_command
from dpm.base.errors import InputError
from dpm.datasets.contents import Sets, first_images, open_sets, read_gray_values, size_in_bytes, summarize
from dpm.datasets.converting import convert_arrays, convert_bark, convert_images, convert_texture
from dpm.datasets.exporting import export_npz, export_png
from dpm.datasets.from_arrays import TEST_SHARE
from dpm.datasets.fuel.writing import write_hdf5
from dpm.datasets.made.dead_leaves import R_MIN
from dpm.datasets.made.recipes import RECIPES, draw_sets
from dpm.datasets.scaling import LEVELS, to_unit_range
from dpm.datasets.search import (
    ENVIRONMENT,
    NAMES,
    ORIGIN,
    STAND_INS,
    canonical_name,
    data_folder,
    has_hdf5_suffix,
    is_file_name,
    load,
    locate,
)

AXES = ("batch", "channel", "height", "width")
SHEET = 49  # images on a contact sheet
#: Largest square images on which the default network is trained whole, and the side of the crops from larger ones.
LARGEST_UNCROPPED, CROP = 128, 64
#: The options of convert that apply to each kind of input.
CONVERT_OPTIONS: dict[str, tuple[str, ...]] = {
    "MNIST": (),
    "FASHION_MNIST": (),
    "CIFAR10": (),
    "TEXTURE": (),
    "BARK": ("size", "crop", "crops", "skip_unreadable", "test_share", "seed"),
    "IMAGES": ("size", "crop", "crops", "gray", "skip_unreadable", "test_share", "seed"),
    "ARRAYS": ("key", "test_share", "seed"),
}

EXAMPLES = {
    "list": (("", "every known data set, with its path or how to get it"),),
    "fetch": (("MNIST", "into the data folder"), ("CIFAR10 --output-dir data", "into another folder, which exists")),
    "convert": (
        ("images --input photos --size 64 --gray", "photos.hdf5 from a folder of PNG and JPEG"),
        ("arrays --input digits.npz --output digits.hdf5", "from the arrays of an .npz or .npy file"),
    ),
    "make": (
        ("DEAD_LEAVES --n 2000 --test 500 --size 32", "images of overlapping disks"),
        ("HEARTBEAT --seed 1 --output heartbeat.hdf5", "sequences of bits"),
    ),
    "info": (
        ("photos.hdf5", "table of contents, and photos_sheet.png"),
        ("train-images-idx3-ubyte.gz --output-dir sheets", "the same of an original file of MNIST"),
    ),
    "export": (
        ("photos.hdf5", "the images as PNG files, in the folder photos_images"),
        ("photos.hdf5 --to npz --output photos.npz", "all arrays in one file"),
    ),
}


def list_sets() -> None:
    """Print every known data set with its path, or how to get it, and the folder for new data sets."""
    for name in NAMES:
        path = locate(name)
        absent = f"drawn when needed: {RECIPES[STAND_INS[name]].what}" if name in STAND_INS else "not found"
        print(f"{name:14} {path or absent}")
        if path is None:
            print(f"{'':14} to get it: {ORIGIN[name].rstrip(',')}")
    for name in sorted(RECIPES.keys() - set(NAMES)):
        print(f"{name:14} drawn by dpm train itself: {RECIPES[name].what}")
    print(f"new data sets are written to {data_folder()}")


def fetch_set(name: str, output_dir: str | None = None, quiet: bool = False) -> None:
    """Download the files of a data set and print their paths."""
    from dpm.datasets.fetch import fetch

    for path in fetch(name, Path(output_dir or data_folder()), quiet):
        print(path)


def convert_set(name: str, source: str | None, output: str | None, quiet: bool, **options: Any) -> None:
    """Write images of another format as one HDF5 file.

    Args:
        name: A key of `CONVERT_OPTIONS`; case, hyphens and underscores are ignored.
        source: File or folder to read; None: where `load` finds the data set.
        output: The .hdf5 file to write; None: a file in the data folder.
        quiet: Print nothing.
        **options: Values of the options of convert; None or False if not given.

    Raises:
        InputError: If the data cannot be read, or if an option does not apply.
    """
    kind = name.upper().replace("-", "_")
    if kind not in CONVERT_OPTIONS:
        kind = canonical_name(name)
    if kind not in CONVERT_OPTIONS:
        raise InputError(f"convert {name}: cannot be converted; accepted are {', '.join(CONVERT_OPTIONS)}")
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    for key in given:
        if key not in CONVERT_OPTIONS[kind]:
            raise InputError(f"--{key.replace('_', '-')} does not apply to convert {kind}; leave it out")
    if source is None and CONVERT_OPTIONS[kind]:
        raise InputError(f"convert {kind}: needs --input, a {'file' if kind == 'ARRAYS' else 'folder'}")
    stem = Path(source).stem if source and kind in ("ARRAYS", "IMAGES") else kind.lower()
    path = Path(output or data_folder() / f"{stem}.hdf5")
    if source and path.exists() and os.path.samefile(path, source):
        raise InputError(f"convert {kind}: would replace its input {path}; name another file with --output")
    sets = {part: {"features": images} for part, images in _convert(kind, source, given, quiet).items()}
    write_set(sets, AXES, f"convert {kind}", stem, output, quiet)


def _convert(kind: str, source: str | None, given: dict[str, Any], quiet: bool) -> Mapping[str, np.ndarray]:
    if kind == "TEXTURE":
        if source is not None:
            raise InputError(f"--input {source}: does not apply to convert TEXTURE; leave it out")
        return convert_texture()
    if kind == "ARRAYS":
        return convert_arrays(str(source), **given)
    if kind == "BARK":
        _check_crops(given.get("crop", "random"), given.get("crops"))
        return convert_bark(str(source), **given, quiet=quiet)
    if kind == "IMAGES":
        if "size" not in given:
            raise InputError("convert IMAGES: needs --size, the height and width of all images, such as 64")
        _check_crops(given.get("crop", "center"), given.get("crops"))
        return convert_images(str(source), **given, quiet=quiet)
    data = load(kind, source, in_memory=True)
    return {"train": data.train, "test": data.test}


def _check_crops(crop: str, crops: int | None) -> None:
    if crops is not None and crop == "center":
        raise InputError(f"--crops {crops}: applies only to --crop random; leave it out")


def make_set(
    name: str,
    n: int | None = None,
    test: int | None = None,
    size: int | None = None,
    intensities: str | None = None,
    r_min: float | None = None,
    seed: int = 0,
    output: str | None = None,
    quiet: bool = False,
) -> None:
    """Draw a synthetic data set and write it as one HDF5 file.

    Args:
        name: A key of `RECIPES`; case, hyphens and underscores are ignored.
        n: Number of training examples; None: the default of the recipe.
        test: Number of test examples; None: the default of the recipe.
        size: Side of an image or length of a vector; None: the default of the recipe.
        intensities: File with the gray values of DEAD_LEAVES; None: uniform gray values.
        r_min: Smallest radius of DEAD_LEAVES in pixels; None: the default of the recipe.
        seed: Seed of the examples.
        output: The .hdf5 file to write; None: a file in the data folder.
        quiet: Print nothing.

    Raises:
        InputError: If there is no such recipe, or it does not accept the arguments.
    """
    recipe = RECIPES.get(name.upper().replace("-", "_"))
    if recipe is None:
        raise InputError(f"make {name}: cannot be made; accepted are {', '.join(RECIPES)}")
    name = name.upper().replace("-", "_")
    size = recipe.size if size is None else size
    grays = None if intensities is None else read_gray_values(Path(intensities))
    sets = draw_sets(name, n or recipe.n_train, test or recipe.n_test, size, seed, quiet, grays, r_min)
    origin = f"make {name}, {recipe.what}; size {size}, seed {seed}"
    if r_min is not None:
        origin += f", r_min {r_min:g}"
    if grays is not None:
        origin += f", grays of {intensities}"
    write_set(sets, recipe.labels, origin, name.lower(), output, quiet)


def write_set(
    sets: Mapping[str, Mapping[str, np.ndarray]],
    labels: tuple[str, ...],
    origin: str,
    stem: str,
    output: str | None,
    quiet: bool,
) -> None:
    """Write a data set as one HDF5 file, and print its contents and how to train on it.

    Args:
        sets: Arrays by set and source.
        labels: Names of the axes of the features.
        origin: Description of the data, an attribute of the file.
        stem: Name of the file in the data folder, without suffix, if `output` is None.
        output: The .hdf5 file to write.
        quiet: Print nothing.
    """
    path = Path(output or data_folder() / f"{stem}.hdf5")
    if not has_hdf5_suffix(path.name):
        raise InputError(f"--output: {path} does not end in .hdf5; give such a name")
    if output is None:
        _make_data_folder(path.parent)
    write_hdf5(path, sets, {"features": labels}, {"dpm_origin": origin})
    if not quiet:
        print_contents(path)
        if len(labels) == len(AXES):
            print(f"train on it: {_train_command(path, sets['train']['features'].shape)}")


def _train_command(path: Path, shape: tuple[int, ...]) -> str:
    """Return a command for a shell that trains on images (n, c, h, w); images too large for the default are cropped."""
    name = str(path)
    words = ["python", "-m", "dpm", "train", "--dataset", f"./{name}" if name.startswith("-") else name]
    height, width = shape[2:]
    if height != width or height > LARGEST_UNCROPPED:
        words += ["--crop", str(min(height, width, CROP))]
    return shlex.join(words)


def _make_data_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the data folder {folder} cannot be made ({error.strerror}); name a file with --output, or another folder "
            f"in {ENVIRONMENT}"
        ) from error


def print_contents(path: Path) -> Sets:
    """Print the size of a file and the table of its sets and sources; return its arrays by set and source."""
    sets = open_sets(path)
    rows = summarize(sets)
    print(f"{path}: {size_in_bytes(path):,} bytes")
    print_table(rows)
    return sets


def show_info(file: str, output_dir: str | None = None) -> None:
    """Print the contents of a file, and write a contact sheet of its images."""
    path = Path(file)
    images = first_images(print_contents(path))
    if images is None:
        return
    from dpm import viz  # imports matplotlib, which is slow

    shown = np.asarray(images[:SHEET])
    pixels = shown.dtype.kind != "f" and 0 <= shown.min() <= shown.max() <= LEVELS
    unit = to_unit_range(shown if pixels else shown.astype(float), str(path), varying=False)[0]
    low, high = float(unit.min()), float(unit.max())
    if low < 0 or high > 1:
        unit = (unit - low) / max(high - low, np.finfo(float).tiny)
    folder = Path(output_dir or ".")
    if not folder.is_dir():
        raise InputError(f"--output-dir: {folder} is not a folder; create it first, or give another")
    print(f"contact sheet: {viz.plot_images(unit, folder / f'{path.stem}_sheet.png')}")


def export_set(file: str, to: str = "png", output: str | None = None, quiet: bool = False) -> None:
    """Write the sets of an HDF5 file as one .npz file, or their images as PNG files."""
    path = Path(file)
    if not is_file_name(str(path)):
        raise InputError(f"export {path}: is not an .hdf5 file; give one")
    target = Path(output or f"{path.stem}{'.npz' if to == 'npz' else '_images'}")
    (export_npz if to == "npz" else export_png)(path, target)
    if not quiet:
        print(target)


def build_parser(prog: str = "dpm datasets") -> Parser:
    """Return the parser of all commands; `run` is the function of the chosen command, None without one."""
    parser = Parser(
        prog=prog,
        description="Get, make, inspect and convert data sets.",
        examples=[
            ("list", "the known data sets, and where each was found"),
            ("convert images --input photos --size 64", "your own photographs as one data set"),
        ],
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)

    def add(name: str, run: Callable[..., None], text: str) -> Parser:
        command = commands.add_parser(name, help=text, description=text, examples=EXAMPLES[name])
        command.set_defaults(run=run)
        return command

    add("list", list_sets, "list the known data sets, with their path or how to get them")
    _add_fetch_options(add("fetch", fetch_set, "download a data set"))
    _add_convert_options(add("convert", convert_set, "write files of another format as one HDF5 file"))
    _add_make_options(add("make", make_set, "draw a synthetic data set"))
    info = add("info", show_info, "print the contents of a data file, and write a contact sheet of its images")
    info.add_argument("file", metavar="FILE", help=".hdf5, .npz, .npy, idx or CIFAR-10")
    info.group("output").add_argument(
        "--output-dir", metavar="FOLDER", help="folder of the contact sheet (default: here)"
    )
    _add_export_options(add("export", export_set, "write an HDF5 file as images or arrays"))
    return parser


def _add_fetch_options(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="MNIST, FASHION_MNIST or CIFAR10")
    option = parser.group("output").add_argument
    option("--output-dir", metavar="FOLDER", help="folder (default: the data folder, see dpm datasets list)")
    option("--quiet", action="store_true", help="print only the paths of the files")


def _add_convert_options(parser: Parser) -> None:
    names = (
        "MNIST, FASHION_MNIST, CIFAR10, BARK, TEXTURE (photographs of scikit-image), IMAGES (a folder of PNG and JPEG) "
        "or ARRAYS (npz, npy, HDF5 of other programs, MATLAB 7.3)"
    )
    parser.add_argument("name", metavar="NAME", help=names)
    option = parser.group("input").add_argument
    option("--input", dest="source", metavar="PATH", help="folder or file to read (default: where the data set is "
        "found)")  # fmt: skip
    option("--key", help="arrays: name of the array with the images")
    option = parser.group("images").add_argument
    option("--size", type=int, help="height and width")
    option("--crop", choices=("center", "random"), help="the largest central square, resized (default), or "
        "windows at random positions, not resized")  # fmt: skip
    option("--crops", type=int, help="windows per image, with --crop random (default: 1)")
    option("--gray", action="store_true", help="convert colors to gray")
    option("--skip-unreadable", action="store_true", help="leave out those that cannot be read (default: list them "
        "all, and stop)")  # fmt: skip
    option = parser.group("test set").add_argument
    option("--test-share", type=float, help="share of the images that becomes the test set, if the input has none "
        f"(default: {TEST_SHARE})")  # fmt: skip
    option("--seed", type=int, help="seed of the test set and of random positions (default: 0)")
    option = parser.group("output").add_argument
    option("--output", metavar="FILE", help="the .hdf5 file (default: named after NAME or the input, in the data "
        "folder)")  # fmt: skip
    option("--quiet", action="store_true", help="print only errors")


def _add_make_options(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="DEAD_LEAVES, BARK_LIKE, SWISSROLL or HEARTBEAT")
    option = parser.group("examples of the data set").add_argument
    option("--n", type=int, help="number of training examples (default: that of the data set)")
    option("--test", type=int, help="number of test examples (default: that of the data set)")
    option("--size", type=int, help="side of an image, or length of a vector")
    option("--intensities", metavar="FILE", help="DEAD_LEAVES: draw gray values from the pixels of a file of images "
        "(default: uniform)")  # fmt: skip
    option("--r-min", type=float, help=f"DEAD_LEAVES: smallest radius of a leaf in pixels (default: {R_MIN:g})")
    option("--seed", type=int, default=0, help="seed of the examples (default: %(default)s)")
    option = parser.group("output").add_argument
    option("--output", metavar="FILE", help="the .hdf5 file (default: NAME.hdf5 in the data folder)")
    option("--quiet", action="store_true", help="print only errors")


def _add_export_options(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="an .hdf5 file")
    option = parser.group("output").add_argument
    option("--to", choices=("png", "npz"), default="png", help="format (default: %(default)s)")
    option("--output", metavar="PATH", help="the folder of images, which must not exist, or the .npz file")
    option("--quiet", action="store_true", help="print only errors")


def main(arguments: list[str] | None = None, prog: str = "dpm datasets") -> int:
    """Run the command and return the exit status."""
    parser = build_parser(prog)
    options = vars(parser.parse_args(arguments))
    run = options.pop("run")
    if run is None:
        parser.error("no command given; expected one of list, fetch, convert, make, info, export")
    _check_numbers(parser, options)
    return run_command(prog, lambda: run(**options))


def _check_numbers(parser: argparse.ArgumentParser, options: Mapping[str, Any]) -> None:
    for name, least in (("seed", 0), ("n", 1), ("test", 1), ("crops", 1)):
        value = options.get(name)
        if value is not None and value < least:
            parser.error(f"--{name}: {value} is not accepted; expected {least} or more")


if __name__ == "__main__":
    sys.exit(main())
