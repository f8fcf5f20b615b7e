"""Looking HDF5 files from strangers through, in a process of its own.

A damaged file can crash the HDF5 library, keep it busy for ever or make it ask for all memory, and a made one can
point to other files. So a child process reads a file first, within limits of time and memory; this one opens what the
child read to the end. The child stays, so that the next file costs a few milliseconds.
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

#: Bytes that the child reads of a file's data; of more, only what each array says of itself and its ends.
READ_WHOLE = 256 << 20
PIECE = 4 << 20
MEMORY = 384 << 20  # that the child may take beyond what it has at its start
CPU_SECONDS, CPU_BYTES_A_SECOND = 1.5, 50 << 20
#: Only for a disk that does not answer; the limit that matters is one of processor time.
WALL_SECONDS = 300
OBJECTS = 10_000
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
KINDS = "biufSVOU"
DIGEST = "sha256"  # attribute of an array that dpm wrote: of its bytes, row after row

_child: subprocess.Popen | None = None
_owner = 0
_passed: set[tuple] = set()


def check(path: Path) -> None:
    """Raise InputError where the file at `path` cannot be read to the end, or needs what lies outside of it.

    A file that passed is not read again until it changes. Paths that are no file are left to the caller.
    """
    if not os.path.exists(path):
        return
    if not os.path.isfile(path):
        raise InputError(f"{path}: is no file; give the path of a file in Fuel's HDF5 layout")
    facts = os.stat(path)
    key = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
    if key in _passed:
        return
    answer = _ask(os.path.abspath(path))
    if answer != "ok":
        raise InputError(
            f"{path}: cannot be read as HDF5 ({answer}); it is damaged, half written or of another kind: "
            "delete it and fetch or convert it again"
        )
    _passed.add(key)


def fault(path: Path, objects: int, total: int) -> str:
    """What keeps an HDF5 file that is no data set from being read to the end; empty if nothing does.

    objects: how many it may have, each under one name; total: bytes that all its arrays may unpack to.
    """
    answer = _ask(os.path.abspath(path), (objects, total))
    return "" if answer == "ok" else answer


def _ask(path: str, limits: tuple[int, int] | None = None) -> str:
    """What the child says of the file, "ok" or its fault; a child that dies of it, or finds no end, has said enough.

    limits: see fault; None: it is a data set.
    """
    child = _running()
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


def _running() -> subprocess.Popen:
    """The child of this process, started when there is none."""
    global _child, _owner
    if _child is None or _owner != os.getpid() or _child.poll() is not None:
        command = [sys.executable, "-m", "dpm.datasets.fuel.probe"]
        root = str(Path(__file__).parents[2])
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": root}
        _child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        )  # fmt: skip
        _owner = os.getpid()
    return _child


@atexit.register
def _end() -> None:
    global _child
    if _child is not None and _owner == os.getpid():
        _child.kill()
        _child.communicate()
        _child = None


def look_through(path: str, limits: Sequence[int] | None = None) -> None:
    """Read the file as far as the limits say; raises what h5py raises, or ValueError with the reason."""
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
                    total -= _look_at(item, name, most, limits is None)


def _look_at(dataset: h5py.Dataset, name: str, most: int, data: bool) -> int:
    """Read an array; returns the bytes that it unpacks to."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} lies in other files")
    if not filters_of(dataset) <= FILTERS:
        raise ValueError(f"{name!r} is packed by a filter other than gzip, lzf, shuffle and fletcher32")
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
            raise ValueError(f"{name!r} was written in part only")
    if n_bytes > most and (written or not data):
        raise ValueError(f"{name!r} says that it unpacks to {n_bytes} bytes, accepted are {most}")
    if n_bytes and written:
        _read(dataset, name, n_bytes, data)
    return n_bytes


def filters_of(dataset: h5py.Dataset) -> set[int]:
    """The numbers of the filters that pack an array."""
    plist = dataset.id.get_create_plist()
    return {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}


def _read(dataset: h5py.Dataset, name: str, n_bytes: int, data: bool) -> None:
    if dataset.ndim == 0:
        dataset[()]
        return
    row = max(1, n_bytes // len(dataset))
    if row > READ_WHOLE:
        if not data and dataset.chunks is None:  # bytes side by side: nothing that could be unpacked
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
        raise ValueError(f"the numbers of {name!r} are not those that were written")


def _allow_time(size: int) -> None:
    """From now on the child has so much processor time: for a data set in all, else for each object."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS + min(size, READ_WHOLE) / CPU_BYTES_A_SECOND)


def _limit_memory() -> None:
    with suppress(OSError, ValueError):  # only Linux tells what is in use
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def serve() -> None:
    """The child: a path, in hexadecimal, and limits from stdin; "ok" or what is wrong to stdout; a line each."""
    _limit_memory()
    for line in sys.stdin:
        name, limits = json.loads(line)
        try:
            look_through(os.fsdecode(bytes.fromhex(name)), limits)
            answer = "ok"
        except Exception as error:  # whatever it is, the file is not to be opened
            answer = " ".join(str(error).split()) or type(error).__name__
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
