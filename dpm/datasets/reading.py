"""Reading plain and gzip-compressed files within stated limits, and replacing a file in one step."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dpm.base import atomic as files
from dpm.base.errors import InputError

CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
# Deflate spends at least 2 bits on a copy of at most 258 bytes.
DEFLATE_MOST = 1032
# A packed file may hold so many times its own size, and small ones more: sparse images pack well, bombs better.
MAX_RATIO = 200
SMALL_BYTES = 256 << 20


def is_gzip(path: Path) -> bool:
    """Whether the file at `path` begins as gzip does, whatever its name."""
    with open(path, "rb") as stream:
        return stream.read(2) == GZIP_MAGIC


@contextmanager
def open_plain_or_gzip(path: Path) -> Iterator[BinaryIO]:
    """A stream over the contents of `path`, unpacked if it is gzip.

    Browsers and mirrors pack and unpack without renaming, so the first bytes decide and not the name.
    Raises InputError, also for what goes wrong while the stream is read.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise InputError(f"{path}: is no file; give the path of a readable file")
        if is_gzip(path):
            with gzip.open(path, "rb") as stream:
                yield stream  # type: ignore[misc]
        else:
            with open(path, "rb") as plain:
                yield plain
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged or half downloaded gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a readable file") from error


def most_bytes(path: Path) -> int:
    """The most bytes that `path` can hold once unpacked."""
    return os.path.getsize(path) * (DEFLATE_MOST if is_gzip(path) else 1)


def read_up_to(stream: BinaryIO, limit: int) -> bytearray:
    """The next `limit` bytes of `stream`, fewer at its end; memory grows only with what is really there."""
    data = bytearray()
    while piece := stream.read(min(CHUNK, limit - len(data))):
        data += piece
    return data


def native(array: np.ndarray) -> np.ndarray:
    """The array in native byte order; its own bytes are turned, as a second copy may not fit into memory."""
    if not array.dtype.isnative:
        array.byteswap(inplace=True)
    return array.view(array.dtype.newbyteorder("="))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """As dpm.base.atomic.replacing; raises InputError if the folder cannot be written to."""
    try:
        with files.atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); give a path in a writable folder") from error
