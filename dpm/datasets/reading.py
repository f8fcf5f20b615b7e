"""Read plain and gzip-compressed files within limits, and replace a file in one step."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dpm.base import atomic
from dpm.base.errors import InputError

CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
# Deflate needs at least 2 bits for a copy of at most 258 bytes.
DEFLATE_MAX_RATIO = 1032
# Accepted ratio of unpacked to packed size, and the unpacked size that is accepted at any ratio: sparse images compress
# well, decompression bombs better.
MAX_RATIO = 200
SMALL_BYTES = 256 << 20


def is_gzip(path: Path) -> bool:
    """Return True if the file starts with gzip's magic number, whatever its name."""
    with open(path, "rb") as stream:
        return stream.read(2) == GZIP_MAGIC


@contextmanager
def open_plain_or_gzip(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed if it is gzip.

    The first bytes decide, not the name, since browsers and mirrors compress and decompress without renaming.

    Args:
        path: The file.

    Yields:
        A stream over the contents.

    Raises:
        InputError: If the file cannot be opened; also for errors while the stream is read.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise InputError(f"{path}: is not a regular file; give the path of a readable file")
        if is_gzip(path):
            with gzip.open(path, "rb") as stream:
                yield stream  # type: ignore[misc]
        else:
            with open(path, "rb") as plain:
                yield plain
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged or incomplete gzip file ({error}); download it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a readable file") from error


def max_unpacked_bytes(path: Path) -> int:
    """Return an upper bound on the size of a file's contents once decompressed."""
    return os.path.getsize(path) * (DEFLATE_MAX_RATIO if is_gzip(path) else 1)


def read_up_to(stream: BinaryIO, limit: int) -> bytearray:
    """Read the next `limit` bytes of a stream, or fewer at its end; memory grows only with the bytes present."""
    data = bytearray()
    while piece := stream.read(min(CHUNK, limit - len(data))):
        data += piece
    return data


def to_native(array: np.ndarray) -> np.ndarray:
    """Return the array in native byte order, converted in place: a second copy may not fit into memory."""
    if not array.dtype.isnative:
        array.byteswap(inplace=True)
    return array.view(array.dtype.newbyteorder("="))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` in one step, see `dpm.base.atomic.atomic_write`.

    Raises:
        InputError: If the folder does not exist or is not writable.
    """
    if not path.parent.is_dir():
        raise InputError(
            f"{path}: cannot be written, there is no folder {path.parent}; create it, or give another path"
        )
    try:
        with atomic.atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        # HDF5's own text has internal names and flags.
        reason = os.strerror(error.errno) if error.errno else error
        raise InputError(f"{path}: cannot be written ({reason}); give a path in a writable folder") from error
