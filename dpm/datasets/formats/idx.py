"""Read the idx format of MNIST: a magic number, the dimensions, then the values, all big-endian."""

import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.reading import (
    MAX_RATIO,
    SMALL_BYTES,
    max_unpacked_bytes,
    open_plain_or_gzip,
    read_up_to,
    to_native,
)

# Types by the third byte of the magic number.
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 4
MAX_BYTES = 2 << 30


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the array of an idx file, plain or gzip-compressed.

    Nothing larger than the file can hold is allocated.

    Args:
        path: The file.

    Returns:
        The array in native byte order.

    Raises:
        InputError: If the file is unreadable, not idx, larger than MAX_BYTES, or if its length contradicts its header.
    """
    path = Path(path)
    with open_plain_or_gzip(path) as stream:
        dtype, shape = _header(stream, path)
        size = dtype.itemsize * math.prod(shape)
        limit = min(MAX_BYTES, max_unpacked_bytes(path), max(SMALL_BYTES, MAX_RATIO * path.stat().st_size))
        if size > limit:
            raise InputError(
                f"{path}: its header says {shape}, {size} bytes; expected at most {limit} from the size of the file; "
                "download it again"
            )
        data = read_up_to(stream, size + 1)
    if len(data) != size:
        n_read = f"only {len(data)}" if len(data) < size else "more"
        raise InputError(f"{path}: its header says {shape}, {size} bytes, but {n_read} follow; download it again")
    return to_native(np.frombuffer(data, dtype)).reshape(shape)


def _header(stream: BinaryIO, path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise InputError(
            f"{path}: begins with {magic!r}; accepted are idx files of 1 to {MAX_DIMENSIONS} dimensions, "
            "plain or gzip; download it again"
        )
    dimensions = stream.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise InputError(f"{path}: ends inside its header; download it again")
    return np.dtype(DTYPES[magic[2]]), tuple(np.frombuffer(dimensions, ">u4").tolist())
