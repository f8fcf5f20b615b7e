"""Arrays of numbers from numpy's .npz and .npy files, and which of them are the training and the test images.

The files may come from strangers: nothing is unpickled and nothing extracted, the names in an archive are no more than
keys, and nothing is allocated that a file does not hold.
"""

import io
import math
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from dpm.base.errors import InputError
from dpm.datasets.reading import MAX_RATIO, SMALL_BYTES, native, read_up_to

# What numpy calls a single array that is given no name.
UNNAMED = "arr_0"
TRAIN = ("xtrain", "trainx", "train", "trainimages", "traindata")
TEST = tuple(name.replace("train", "test") for name in TRAIN)
ONLY = ("features", "x", "images", "data", "arr0")
LISTED = 20

MAX_BYTES = 4 << 30
# Arrays of numbers have headers of about 100 bytes; a longer one would only keep numpy's parser busy.
MAX_HEADER = 4096
# Reading an array, however small, takes some 0.2 ms.
MAX_ARRAYS = 5000
# zipfile takes the whole directory of an archive in one read, about 60 bytes an array.
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
    """All arrays of an .npz file by name, or the one of an .npy file as "arr_0", in native byte order.

    The first bytes decide which it is, not the name.
    Raises InputError if the file is unreadable, damaged, encrypted, packed as numpy does not, if a name comes twice, if
    an array is not of booleans, integers or floats or is longer or shorter than its header says, and beyond the
    limits of this module.
    """
    with _members(Path(path)) as members:
        return {name: _read(member, f"{path}: {_shown(name)}") for name, member in members.items()}


def image_sets(path: str | os.PathLike[str], key: str | None = None) -> dict[str, np.ndarray]:
    """The training images as "train" and, where the file has them, the test images as "test"; no other array is read.

    Without `key` the names tell: x_train, train_x, train, train_images or train_data with the same for test, else
    features, x, images, data or arr_0, all in any case, with or without underscores.
    Raises InputError as `read_arrays`, and with the list of all arrays if `key` is none of them or the names leave it
    open which are meant.
    """
    with _members(Path(path)) as members:
        if key is None:
            chosen = _chosen(list(members))
            problem = "its names do not tell which array holds the images"
        else:
            chosen = {"train": key} if key in members else {}
            problem = f"has no array {_shown(key)}"
        if not chosen:
            raise InputError(f"{path}: {problem}; it has {_listed(members, path)}; name one with --key NAME")
        return {which: _read(members[name], f"{path}: {_shown(name)}") for which, name in chosen.items()}


def _chosen(names: list[str]) -> dict[str, str]:
    """{} if the names leave it open."""
    train, test, only = (
        [name for name in names if name.lower().replace("_", "").replace("-", "") in known]
        for known in (TRAIN, TEST, ONLY)
    )
    if len(train) == 1 and len(test) <= 1:
        return {"train": train[0]} | ({"test": test[0]} if test else {})
    return {"train": only[0]} if len(only) == 1 and not train and not test else {}


def _listed(members: dict[str, _Member], path: str | os.PathLike[str]) -> str:
    parts = []
    for name, member in islice(members.items(), LISTED):
        with member.open() as stream:
            header = _header(stream.read(MAX_HEADER), f"{path}: {_shown(name)}")
        parts.append(f"{_shown(name)} {_shown(str(header.shape))} {_shown(str(header.dtype))}")
    more = [f"{len(members) - LISTED} more"] if len(members) > LISTED else []
    return ", ".join(parts + more) or "no arrays"


@contextmanager
def _members(path: Path) -> Iterator[dict[str, _Member]]:
    """The arrays in `path` by name, unread; raises InputError, also for what goes wrong while they are read."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no regular file; give the path of an .npz or .npy file")
    try:
        with _File(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(len(npy.MAGIC_PREFIX))
            file.seek(0)
            if start == npy.MAGIC_PREFIX:
                if size > MAX_BYTES:
                    raise InputError(f"{path}: {size} bytes, accepted are {MAX_BYTES}; save fewer images")
                yield {UNNAMED: _Member(size, lambda: file)}
            elif start.startswith(b"PK"):
                with zipfile.ZipFile(file) as archive:
                    yield _archived(archive, size, path)
            else:
                raise InputError(f"{path}: begins with {start!r}; accepted are .npz and .npy files of numpy")
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); give a readable file or fetch it again"
        ) from error
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged file
        raise InputError(f"{path}: damaged ({_reason(error)}); fetch it again or save it anew") from error


class _File(io.FileIO):
    """A file that refuses to read more than MAX_READ bytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_READ:
            raise zipfile.BadZipFile(f"a directory of {size} bytes, accepted are {MAX_READ}")
        return super().read(size) or b""


def _archived(archive: zipfile.ZipFile, size: int, path: Path) -> dict[str, _Member]:
    entries = archive.infolist()
    limit = min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * size))
    if len(entries) > MAX_ARRAYS:
        raise InputError(f"{path}: holds {len(entries)} arrays, accepted are {MAX_ARRAYS}; save images as one array")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limit:
        raise InputError(
            f"{path}: its {size} bytes say that they unpack to {unpacked}, accepted are {limit}; "
            "save fewer images, or uncompressed with numpy.savez"
        )
    names = [entry.filename.removesuffix(".npy") for entry in entries]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: has the array {_shown(twice[0])} more than once; save it anew with numpy.savez")
    named = dict(zip(names, entries, strict=True))
    for name, entry in named.items():
        if entry.flag_bits & ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(
                f"{path}: {_shown(name)} is encrypted or packed as numpy does not; save it anew with numpy.savez"
            )
    return {name: _Member(entry.file_size, partial(archive.open, entry)) for name, entry in named.items()}


def _read(member: _Member, what: str) -> np.ndarray:
    with member.open() as stream:
        data = read_up_to(stream, member.size)  # type: ignore[arg-type]
    if len(data) != member.size:
        raise InputError(f"{what}: {len(data)} of the {member.size} bytes are there; fetch it again or save it anew")
    shape, order, dtype, start = _header(bytes(data[:MAX_HEADER]), what)
    if dtype.kind not in "biuf":
        raise InputError(f"{what}: is of type {_shown(str(dtype))}; accepted are booleans, integers and floats")
    if min(shape, default=0) < 0 or dtype.itemsize * math.prod(shape) != len(data) - start:
        raise InputError(
            f"{what}: its header says {_shown(str(shape))} of {dtype}, but {len(data) - start} bytes follow; "
            "fetch it again or save it anew"
        )
    array = np.frombuffer(data, dtype, offset=start)
    if dtype.kind == "b":
        # Other bytes than 0 and 1 would be booleans on which numpy miscounts.
        np.not_equal(array.view(np.uint8), 0, out=array)
    return native(array).reshape(shape, order=order)  # type: ignore[call-overload]


def _header(data: bytes, what: str) -> _Header:
    """The header at the beginning of `data`, read by numpy."""
    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"version {version}, accepted are {', '.join(map(str, readers))}")
        with warnings.catch_warnings():
            # Of Python 2's headers, and of odd literals in damaged ones.
            warnings.simplefilter("ignore")
            shape, fortran, dtype = readers[version](stream, max_header_size=MAX_HEADER)
    except Exception as error:  # numpy evaluates a literal, which raises many types
        raise InputError(
            f"{what}: has no header of a numpy array ({_reason(error)}); fetch it again or save it anew"
        ) from error
    return _Header(shape, "F" if fortran else "C", dtype, stream.tell())


def _reason(error: Exception) -> str:
    """The error in one line, however much of the file it quotes."""
    return " ".join(ascii(str(error))[1:-1].split())[:200] or type(error).__name__


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) < 100 else f"{ascii(name)[1:-1][:100]}..."
