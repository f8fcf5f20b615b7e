"""Validate untrusted HDF5 files in a subprocess.

A damaged file can crash the HDF5 library, make it loop forever or allocate all memory, and a crafted file can refer to
other files. So a child process first reads the whole file, within limits on time and memory; this process opens only
files that passed. The child keeps running, so that the next file takes a few milliseconds.
"""

import atexit
import hashlib
import json
import math
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import h5py

from dpm.base.errors import InputError
from dpm.datasets.reading import MAX_RATIO, SMALL_BYTES

#: The child reads arrays up to this size completely, and of larger ones the metadata and both ends.
READ_WHOLE = 256 << 20
PIECE = 4 << 20
MEMORY = 384 << 20  # limit on the memory that the child allocates after its start
CPU_SECONDS, CPU_BYTES_PER_SECOND = 1.5, 50 << 20
#: For a disk that does not respond; otherwise the limit on processor time applies.
WALL_SECONDS = 300
OBJECTS = 10_000
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
KINDS = "biufSVOU"
DIGEST = "sha256"  # attribute of arrays written by dpm: hash of the bytes, row by row

_child: subprocess.Popen | None = None
_owner = 0
_passed: set[tuple] = set()


def check_file(path: str | os.PathLike[str]) -> None:
    """Check that a data set can be read completely and does not refer to other files.

    A file that passed is not read again until it changes. A missing file is left to the caller.

    Raises:
        InputError: If the file did not pass.
    """
    if not os.path.exists(path):
        return
    if not os.path.isfile(path):
        raise InputError(f"{path}: is not a regular file; give the path of a file in Fuel's HDF5 layout")
    facts = os.stat(path)
    key = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
    if key in _passed:
        return
    answer = _ask(os.path.abspath(path))
    if answer != "ok":
        raise InputError(
            f"{path}: cannot be read as HDF5 ({answer}); it is damaged, incomplete or of another format; "
            "delete it and download or convert it again"
        )
    _passed.add(key)


def find_fault(path: Path, objects: int, total: int) -> str:
    """Return the reason why an HDF5 file other than a data set cannot be read completely; "" if it can.

    Args:
        path: The file.
        objects: Accepted number of objects, each under one name.
        total: Accepted size of all arrays in bytes, decompressed.
    """
    answer = _ask(os.path.abspath(path), (objects, total))
    return "" if answer == "ok" else answer


def _ask(path: str, limits: tuple[int, int] | None = None) -> str:
    """Return the child's answer for a file, "ok" or the fault; a crash or a time-out of the child is also a fault.

    limits: (objects, total) of find_fault; None for a data set.
    """
    child = _get_child()
    assert child.stdin is not None
    assert child.stdout is not None
    answer = ""
    with suppress(BrokenPipeError):
        child.stdin.write(json.dumps([os.fsencode(path).hex(), limits]) + "\n")
        child.stdin.flush()
        if select.select([child.stdout], [], [], WALL_SECONDS)[0]:
            answer = child.stdout.readline().strip()
    if not answer:
        _end()
        answer = "reading it takes too long" if child.returncode == -signal.SIGPROF else "reading it crashes HDF5"
    return answer


def _get_child() -> subprocess.Popen:
    """Return the child of this process; start it if there is none."""
    global _child, _owner
    if _child is None or _owner != os.getpid() or _child.poll() is not None:
        command = [sys.executable, "-m", "dpm.datasets.fuel.probe"]
        _child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=_child_environment(),
        )  # fmt: skip
        _owner = os.getpid()
    return _child


def _child_environment() -> dict[str, str]:
    """Return environment variables with which the child imports this package, whatever the working folder."""
    root = str(Path(__file__).parents[3])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


@atexit.register
def _end() -> None:
    global _child
    if _child is not None and _owner == os.getpid():
        _child.kill()
        _child.communicate()
        _child = None


def read_through(path: str, limits: Sequence[int] | None = None) -> None:
    """Read a file within the limits, in the child.

    Args:
        path: The file.
        limits: (objects, total) of `find_fault`; None for a data set.

    Raises:
        ValueError: With the reason, if the file exceeds the limits; h5py raises other errors for a damaged file.
    """
    size = os.path.getsize(path)
    objects, total = limits or (OBJECTS, 0)
    _allow_time(size)
    with h5py.File(path, "r") as file:
        list(file.attrs.items())
        count, groups = 0, [file]
        while groups:
            group = groups.pop()
            for name in group:
                count += 1
                if count > objects:
                    raise ValueError(f"it has more than {objects} objects")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name!r} is a link to another place")
                item = group[name]
                if limits:
                    _allow_time(size)
                    if h5py.h5o.get_info(item.id).rc > 1:
                        raise ValueError(f"{name!r} has two names")
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif isinstance(item, h5py.Dataset) and item.shape is not None:
                    most = total if limits else max(SMALL_BYTES, MAX_RATIO * size)
                    total -= _read_array(item, name, most, limits is None)


def _read_array(dataset: h5py.Dataset, name: str, most: int, data: bool) -> int:
    """Check and read an array; return its decompressed size in bytes."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} is stored in other files")
    if not filters_of(dataset) <= FILTERS:
        raise ValueError(f"{name!r} uses a filter other than gzip, lzf, shuffle and fletcher32")
    if dataset.dtype.kind not in KINDS:
        raise ValueError(f"{name!r} holds {dataset.dtype}")
    list(dataset.attrs.items())
    for dimension in dataset.dims:
        list(dimension)
    n_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
    written = dataset.id.get_storage_size() > 0
    chunks = 1
    if dataset.chunks is not None and n_bytes and written:
        for length, step in zip(dataset.shape, dataset.chunks, strict=True):
            chunks *= -(-length // step)
        if dataset.id.get_num_chunks() < chunks:
            raise ValueError(f"{name!r} was written only in part")
    if n_bytes > most and (written or not data):
        raise ValueError(f"{name!r} decompresses to {n_bytes} bytes; accepted are {most}")
    if n_bytes and written:
        _read_values(dataset, name, n_bytes, data)
    return n_bytes


def filters_of(dataset: h5py.Dataset) -> set[int]:
    """Return the numbers of the HDF5 filters of an array."""
    plist = dataset.id.get_create_plist()
    return {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}


def _read_values(dataset: h5py.Dataset, name: str, n_bytes: int, data: bool) -> None:
    if dataset.ndim == 0:
        dataset[()]
        return
    row = max(1, n_bytes // len(dataset))
    if row > READ_WHOLE:
        if not data and dataset.chunks is None:  # contiguous: there is nothing to decompress
            return
        raise ValueError(f"{name!r} has examples of {row} bytes")
    step = max(1, PIECE // row)
    last = len(dataset) - step
    if n_bytes > READ_WHOLE:
        dataset[:step], dataset[max(0, last) :]
        return
    digest = hashlib.sha256()
    for start in range(0, len(dataset), step):
        piece = dataset[start : start + step]
        if data and DIGEST in dataset.attrs:
            digest.update(piece.tobytes())
    if data and dataset.attrs.get(DIGEST, digest.hexdigest()) != digest.hexdigest():
        raise ValueError(f"the values of {name!r} differ from those that were written")


def _allow_time(size: int) -> None:
    """Restart the limit on processor time: once for a data set, otherwise for each object."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS + min(size, READ_WHOLE) / CPU_BYTES_PER_SECOND)


def _limit_memory() -> None:
    with suppress(OSError, ValueError):  # only Linux reports the memory in use
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def serve() -> None:
    """Run the child: read (path in hexadecimal, limits) from stdin and print "ok" or the fault, one line per file."""
    _limit_memory()
    for line in sys.stdin:
        name, limits = json.loads(line)
        try:
            read_through(os.fsdecode(bytes.fromhex(name)), limits)
            answer = "ok"
        except Exception as error:  # of any kind: the file must not be opened
            answer = " ".join(str(error).split()) or type(error).__name__
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
