"""Read numpy's .npz and .npy files, and find the training and test images in them by name.

The files are untrusted: nothing is unpickled or extracted, names in an archive are only keys, and memory is allocated
only for data that a file contains.
"""

import io
import math
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from dpm.base.errors import InputError
from dpm.datasets.reading import MAX_RATIO, SMALL_BYTES, read_up_to, to_native

# numpy's name for an array that was saved without a name.
UNNAMED = "arr_0"
TRAIN = ("xtrain", "trainx", "train", "trainimages", "traindata")
TEST = tuple(name.replace("train", "test") for name in TRAIN)
ONLY = ("features", "x", "images", "imgs", "data", "arr0")
#: Number of arrays that an error message lists.
LISTED = 20

MAX_BYTES = 4 << 30
# Headers of numeric arrays have about 100 bytes; parsing a long one takes long.
MAX_HEADER = 4096
# Reading an array takes at least 0.2 ms.
MAX_ARRAYS = 5000
# zipfile reads the directory of an archive at once, about 60 bytes per array.
MAX_READ = 4 << 20
ENCRYPTED = 1


class _Member(NamedTuple):
    size: int
    open: Callable[[], IO[bytes]]


class _Header(NamedTuple):
    shape: tuple[int, ...]
    order: str
    dtype: np.dtype
    length: int


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file, or the array of an .npy file.

    The first bytes decide which of the two it is, not the name.

    Args:
        path: The file.

    Returns:
        The arrays by name, in native byte order; the array of an .npy file is "arr_0".

    Raises:
        InputError: If the file is unreadable, damaged, encrypted, not compressed as by numpy or exceeds the limits of
            this module, if a name occurs twice, if an array does not consist of booleans, integers or floats, or if
            its length contradicts its header.
    """
    with _open_members(Path(path)) as members:
        return {name: _read_member(member, f"{path}: {_printable(name)}") for name, member in members.items()}


def read_array(path: str | os.PathLike[str], choose: Callable[[Sequence[str]], str]) -> np.ndarray:
    """Read one array of an .npz or .npy file; the others may be of any type.

    Args:
        path: The file.
        choose: Function of the names that returns one of them.

    Raises:
        InputError: As `read_arrays` and `choose`.
    """
    with _open_members(Path(path)) as members:
        name = choose(list(members))
        return _read_member(members[name], f"{path}: {_printable(name)}")


def read_image_sets(path: str | os.PathLike[str], key: str | None = None) -> dict[str, np.ndarray]:
    """Read the training images and, if the file has them, the test images; no other array is read.

    Without `key` the names decide: x_train, train_x, train, train_images or train_data and the same for test, otherwise
    features, x, images, imgs, data or arr_0. Case and underscores are ignored.

    Args:
        path: An .npz or .npy file.
        key: Name of the array with the training images.

    Returns:
        {"train": images} or {"train": images, "test": images}.

    Raises:
        InputError: As `read_arrays`; if there is no array `key`, or if the names are ambiguous, the message lists all
            arrays.
    """
    with _open_members(Path(path)) as members:
        if key is None:
            chosen = choose_names(list(members))
            problem = "its names do not determine which array holds the images"
        else:
            chosen = {"train": key} if key in members else {}
            problem = f"has no array {_printable(key)}"
        if not chosen:
            raise InputError(f"{path}: {problem}; it has {_list_arrays(members, path)}; name one with --key NAME")
        return {which: _read_member(members[name], f"{path}: {_printable(name)}") for which, name in chosen.items()}


def choose_names(names: Sequence[str]) -> dict[str, str]:
    """Return {set: name of its array} by the rules of `read_image_sets`; empty if the names are ambiguous."""
    train, test, only = (
        [name for name in names if name.lower().replace("_", "").replace("-", "") in known]
        for known in (TRAIN, TEST, ONLY)
    )
    if len(train) == 1 and len(test) <= 1:
        return {"train": train[0]} | ({"test": test[0]} if test else {})
    return {"train": only[0]} if len(only) == 1 and not train and not test else {}


def _list_arrays(members: dict[str, _Member], path: str | os.PathLike[str]) -> str:
    parts = []
    for name, member in islice(members.items(), LISTED):
        with member.open() as stream:
            header = _read_header(stream.read(MAX_HEADER), f"{path}: {_printable(name)}")
        parts.append(f"{_printable(name)} {_printable(str(header.shape))} {_printable(str(header.dtype))}")
    more = [f"{len(members) - LISTED} more"] if len(members) > LISTED else []
    return ", ".join(parts + more) or "no arrays"


@contextmanager
def _open_members(path: Path) -> Iterator[dict[str, _Member]]:
    """Yield the arrays in `path` by name, unread; errors while they are read also become InputError."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file; give the path of an .npz or .npy file")
    try:
        with _File(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(len(npy.MAGIC_PREFIX))
            file.seek(0)
            if start == npy.MAGIC_PREFIX:
                if size > MAX_BYTES:
                    raise InputError(f"{path}: {size} bytes; accepted are {MAX_BYTES}; save fewer images")
                yield {UNNAMED: _Member(size, lambda: file)}
            elif start.startswith(b"PK"):
                with zipfile.ZipFile(file) as archive:
                    yield _archive_members(archive, size, path)
            else:
                matlab = "; save it with -v7.3, which is HDF5" if start == b"MATLAB" else ""
                raise InputError(f"{path}: begins with {start!r}; accepted are .npz and .npy files of numpy{matlab}")
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); give a readable file or download it again"
        ) from error
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged file
        raise InputError(f"{path}: damaged ({_reason(error)}); download it or save it again") from error


class _File(io.FileIO):
    """A file that refuses to read more than MAX_READ bytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_READ:
            raise zipfile.BadZipFile(f"a directory of {size} bytes; accepted are {MAX_READ}")
        return super().read(size) or b""


def _archive_members(archive: zipfile.ZipFile, size: int, path: Path) -> dict[str, _Member]:
    entries = archive.infolist()
    limit = min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * size))
    if len(entries) > MAX_ARRAYS:
        raise InputError(f"{path}: holds {len(entries)} arrays; accepted are {MAX_ARRAYS}; save images as one array")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limit:
        raise InputError(
            f"{path}: its {size} bytes unpack to {unpacked}; accepted are {limit}; "
            "save fewer images, or uncompressed with numpy.savez"
        )
    names = [entry.filename.removesuffix(".npy") for entry in entries]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: has the array {_printable(twice[0])} more than once; save it again with numpy.savez")
    named = dict(zip(names, entries, strict=True))
    for name, entry in named.items():
        if entry.flag_bits & ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(
                f"{path}: {_printable(name)} is encrypted or not compressed as by numpy; save it again with numpy.savez"
            )
    return {name: _Member(entry.file_size, partial(archive.open, entry)) for name, entry in named.items()}


def _read_member(member: _Member, what: str) -> np.ndarray:
    with member.open() as stream:
        data = read_up_to(stream, member.size)  # type: ignore[arg-type]
    if len(data) != member.size:
        raise InputError(f"{what}: {len(data)} of {member.size} bytes are present; download it or save it again")
    shape, order, dtype, start = _read_header(bytes(data[:MAX_HEADER]), what)
    if dtype.kind not in "biuf":
        raise InputError(f"{what}: is of type {_printable(str(dtype))}; accepted are booleans, integers and floats")
    if min(shape, default=0) < 0 or dtype.itemsize * math.prod(shape) != len(data) - start:
        raise InputError(
            f"{what}: its header says {_printable(str(shape))} of {dtype}, but {len(data) - start} bytes follow; "
            "download it or save it again"
        )
    array = np.frombuffer(data, dtype, offset=start)
    if dtype.kind == "b":
        # numpy miscounts booleans stored as bytes other than 0 and 1.
        np.not_equal(array.view(np.uint8), 0, out=array)
    return to_native(array).reshape(shape, order=order)  # type: ignore[call-overload]


def _read_header(data: bytes, what: str) -> _Header:
    """Read the header at the beginning of `data` with numpy."""
    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"version {version}; accepted are {', '.join(map(str, readers))}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for headers of Python 2, and for odd literals in damaged headers
            shape, fortran, dtype = readers[version](stream, max_header_size=MAX_HEADER)
    except Exception as error:  # evaluating a literal raises many types
        raise InputError(
            f"{what}: has no header of a numpy array ({_reason(error)}); download it or save it again"
        ) from error
    return _Header(shape, "F" if fortran else "C", dtype, stream.tell())


def _reason(error: Exception) -> str:
    """Return the error message in one short line, even if it quotes the file."""
    return " ".join(ascii(str(error))[1:-1].split())[:200] or type(error).__name__


def _printable(name: str) -> str:
    return name if name.isprintable() and len(name) < 100 else f"{ascii(name)[1:-1][:100]}..."
