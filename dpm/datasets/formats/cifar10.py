"""Read CIFAR-10 as published: the binary or the Python version, as an archive or unpacked.

Archives are read in memory, members by their exact names. Nothing is extracted, and the pickles of the Python version
are read without unpickling.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.formats.pickled import read_plain_pickle
from dpm.datasets.reading import CHUNK, open_plain_or_gzip, read_up_to

PIXELS = 3 * 32 * 32
# An unpacked archive has 186 MB, a batch 31 MB.
MAX_ARCHIVE_BYTES = 192 << 20
MAX_BATCH_BYTES = 32 << 20
# Limit on the headers that tarfile reads: about 512 bytes per member.
MAX_HEADER_BYTES = 1 << 20

ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")


class _Layout(NamedTuple):
    folder: str
    train: tuple[str, ...]
    test: str
    decode: Callable[[bytes, str], np.ndarray]


def _decode_binary(data: bytes, what: str) -> np.ndarray:
    if len(data) == 0 or len(data) % (1 + PIXELS):
        raise InputError(
            f"{what}: {len(data)} bytes; accepted are whole records of {1 + PIXELS} bytes; download it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + PIXELS)
    if records[:, 0].max() > 9:
        raise InputError(f"{what}: has the label {records[:, 0].max()}, accepted are 0..9; download it again")
    return records[:, 1:]


def _decode_python(data: bytes, what: str) -> np.ndarray:
    batch = read_plain_pickle(data, what)
    pixels = batch.get("data", batch.get(b"data")) if isinstance(batch, dict) else None
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS or len(pixels) == 0:
        raise InputError(f"{what}: holds no uint8 array 'data' of shape (n, {PIXELS}); download it again")
    return pixels


LAYOUTS = (
    _Layout(
        "cifar-10-batches-bin",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
        _decode_binary,
    ),
    _Layout(
        "cifar-10-batches-py",
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test_batch",
        _decode_python,
    ),
)
FOLDERS = tuple(layout.folder for layout in LAYOUTS)


def is_cifar10_folder(folder: Path) -> bool:
    """Return True if the folder itself contains a batch of either version."""
    return bool(_batches_in(folder))


def _batches_in(folder: Path) -> list[str]:
    names = [name for layout in LAYOUTS for name in (*layout.train, layout.test)]
    return [name for name in names if os.path.isfile(folder / name)]


def read_cifar10(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read the training and test images from an archive or a folder of unpacked batches.

    Args:
        path: An archive or a folder.

    Returns:
        Training and test images, uint8 (n, 3, 32, 32) each.

    Raises:
        InputError: If the path is unreadable, if a batch is missing, damaged or exceeds the limits of this module, or
            if a pickle contains more than plain values and pixels.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _images(path, lambda _, file: file, _batches_in(path), lambda name: _read_file(path / name))
    with open_plain_or_gzip(path) as stream:
        batches = _read_archive(stream, path)
    return _images(path, "{}/{}".format, batches, batches.pop)


def _images(
    path: Path,
    member_name: Callable[[str, str], str],
    present: Collection[str],
    read: Callable[[str], bytes],
) -> tuple[np.ndarray, np.ndarray]:
    for layout in LAYOUTS:
        names = [member_name(layout.folder, file) for file in (*layout.train, layout.test)]
        missing = [name for name in names if name not in present]
        if len(missing) == len(names):
            continue
        if missing:
            raise InputError(f"{path}: lacks {', '.join(missing)}; download it again")
        batches = [layout.decode(read(name), f"{path}: {name}") for name in names]
        train, test = np.concatenate(batches[:-1]), batches[-1]
        return train.reshape(-1, 3, 32, 32), np.ascontiguousarray(test).reshape(-1, 3, 32, 32)
    raise InputError(
        f"{path}: holds no CIFAR-10; accepted are {', '.join(ARCHIVES)} or the folders {', '.join(FOLDERS)}"
    )


def _read_file(path: Path) -> bytes:
    with open_plain_or_gzip(path) as stream:
        data = read_up_to(stream, MAX_BATCH_BYTES + 1)
    _check_size(len(data), str(path))
    return bytes(data)


class _Headers:
    """A view of an archive for tarfile that only moves forward, as damaged sizes point backward, within the limits."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path, self.tell, self.left = stream, path, stream.tell, MAX_HEADER_BYTES

    def check(self, position: int) -> None:
        if position > MAX_ARCHIVE_BYTES:
            raise InputError(f"{self.path}: unpacks to more than {MAX_ARCHIVE_BYTES} bytes; download it again")
        if position < self.tell():
            raise tarfile.ReadError("a member of negative size")

    def seek(self, position: int) -> int:
        self.check(position)
        return self.stream.seek(position)

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise tarfile.ReadError(f"more than {MAX_HEADER_BYTES} bytes of headers")
        return self.stream.read(size)


def _read_archive(stream: BinaryIO, path: Path) -> dict[str, bytes]:
    """Return the batches of an archive by the names of its members."""
    batches = {}
    wanted = {f"{layout.folder}/{file}" for layout in LAYOUTS for file in (*layout.train, layout.test)}
    try:
        headers = _Headers(stream, path)
        with tarfile.open(fileobj=headers, mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                headers.seek(member.offset_data)
                headers.check(member.offset_data + member.size)
                if member.name in wanted and member.isreg() and not member.issparse():
                    what = f"{path}: {member.name}"
                    if member.name in batches:
                        raise InputError(f"{what}: occurs more than once; download it again")
                    _check_size(member.size, what)
                    batches[member.name] = bytes(read_up_to(stream, member.size))
        # Read to the end, where gzip stores its checksum.
        while stream.read(CHUNK):
            headers.check(stream.tell())
    except (InputError, gzip.BadGzipFile, EOFError, zlib.error):
        raise
    except Exception as error:  # tarfile raises many types for a damaged archive
        raise InputError(f"{path}: not a readable CIFAR-10 archive ({str(error)[:200]}); download it again") from error
    return batches


def _check_size(size: int, what: str) -> None:
    if size > MAX_BATCH_BYTES:
        raise InputError(f"{what}: {size} bytes; accepted are {MAX_BATCH_BYTES}; download it again")
