"""Validate untrusted HDF5 files in a subprocess.

A damaged file can crash the HDF5 library, make it loop forever or allocate all memory, and a crafted file can refer to
other files. So a child process first reads the whole file, within limits on time and memory; this process opens only
files that passed. The child keeps running, so that the next file takes a few milliseconds.
"""

import atexit
import errno
import hashlib
import json
import math
import os
import resource
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import h5py

from dpm.base.errors import InputError
from dpm.datasets.formats.signatures import HDF5, find_format, first_bytes
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
DIGEST = "sha256"  # attribute of arrays written by dpm: hash of the bytes, row by row

#: How to go on, by kind of fault. Only the first kind is the fault of the file's bytes.
ADVICE = {
    "damaged": "it is damaged or incomplete; download or convert it again",
    "format": "it is of another format, or was not written completely; give an HDF5 file, or download it again",
    "refused": "it may be sound, but is not accepted; copy its arrays into a plain file, with h5repack or h5py",
    "changed": "it was changed since, or is damaged; convert it again, or remove the attribute sha256 of this array",
    "limit": "it may be sound; try again, or write it again with h5repack",
    "open": "a program has it open, or ended without closing it; then h5clear -s FILE marks it as closed",
    "unavailable": "it may be sound; try again, or copy it to another disk",
}
#: The same for errors of the system, which say nothing about the file's bytes.
SYSTEM_ADVICE = {
    errno.EAGAIN: "another process has it open for writing; wait until that has closed it",
    errno.ENOLCK: "its file system has no locks; set the environment variable HDF5_USE_FILE_LOCKING=FALSE, or copy it",
    errno.EACCES: "it may be sound; make it readable, such as by chmod u+r",
    errno.EPERM: "it may be sound; make it readable, such as by chmod u+r",
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.EBUSY, errno.EINTR, errno.ENOMEM), ADVICE["unavailable"]),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOENT, errno.ETIMEDOUT), ADVICE["unavailable"]),
    **dict.fromkeys((errno.ENODEV, errno.ENXIO, errno.ENOSYS), ADVICE["unavailable"]),
}
#: Signals that end a process because of what it executes.
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
READY = "ready"
#: Program of the child; its arguments are the import path of this process.
START = "import sys; sys.path[:] = sys.argv[1:]; from dpm.datasets.fuel import probe; probe.serve()"

_child: subprocess.Popen | None = None
_owner = 0
_passed: set[tuple] = set()


class Fault(NamedTuple):
    """The reason why a file cannot be used, and how to go on: a value of ADVICE or SYSTEM_ADVICE."""

    reason: str
    advice: str


class _Refused(ValueError):
    """Something in a sound file that is not accepted; its second argument is a key of ADVICE."""

    def __init__(self, reason: str, kind: str = "refused") -> None:
        super().__init__(reason)
        self.kind = kind


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
    if fault := _ask(os.path.abspath(path)):
        raise _input_error(path, fault)
    _passed.add(key)


def find_fault(path: Path, objects: int, total: int) -> str:
    """Return the reason why an HDF5 file other than a data set cannot be read completely; "" if it can.

    Args:
        path: The file.
        objects: Accepted number of objects, each under one name.
        total: Accepted size of all arrays in bytes, decompressed.

    Raises:
        InputError: If the file may be sound, but cannot be read now.
    """
    fault = _ask(os.path.abspath(path), (objects, total))
    if fault and fault.advice in (ADVICE["limit"], ADVICE["unavailable"], *SYSTEM_ADVICE.values()):
        raise _input_error(path, fault)
    return fault.reason if fault else ""


def explain(path: str | os.PathLike[str], error: BaseException) -> InputError:
    """Return the error line for an exception of h5py, or of the system, while `path` was read."""
    return _input_error(path, _fault_of(error, path))


def _input_error(path: str | os.PathLike[str], fault: Fault) -> InputError:
    return InputError(f"{path}: cannot be read as HDF5 ({fault.reason}); {fault.advice}")


def _fault_of(error: BaseException, path: str | os.PathLike[str]) -> Fault:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, _Refused):
        return Fault(reason, ADVICE[error.kind])
    if isinstance(error, MemoryError):
        return Fault("reading it takes too much memory", ADVICE["limit"])
    if isinstance(error, OSError) and error.errno in SYSTEM_ADVICE:
        return Fault(os.strerror(error.errno), SYSTEM_ADVICE[error.errno])
    if "h5clear" in reason:  # HDF5's flags of writers, in files of its newer formats
        return Fault("its writer has not closed it", ADVICE["open"])
    with suppress(OSError):
        if find_format(path) != HDF5:
            start = first_bytes(path)
            return Fault(f"it begins with {start!r}" if start else "it is empty", ADVICE["format"])
    return Fault(reason, ADVICE["damaged"])


def _ask(path: str, limits: tuple[int, int] | None = None) -> Fault | None:
    """Return the child's answer for a file; a crash or a time-out of the child is also a fault.

    limits: (objects, total) of find_fault; None for a data set.
    """
    child = _get_child()
    assert child.stdin is not None
    assert child.stdout is not None
    answer = ""
    with suppress(BrokenPipeError):
        child.stdin.write(json.dumps([os.fsencode(path).hex(), limits]) + "\n")
        child.stdin.flush()
        answer = _read_line(child)
    if not answer:
        with suppress(subprocess.TimeoutExpired):
            child.wait(1)
        status = child.poll()
        _end()
        return _fault_of_end(status)
    found = json.loads(answer)
    return Fault(*found) if found else None


def _read_line(child: subprocess.Popen) -> str:
    """Return the next line of the child; "" if it has ended, or does not answer in time."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:  # select.select fails above 1,024 open files
        selector.register(child.stdout, selectors.EVENT_READ)
        return child.stdout.readline().strip() if selector.select(WALL_SECONDS) else ""


def _fault_of_end(status: int | None) -> Fault:
    """Return the fault for the exit status of a child that has ended without an answer; None: it has not ended."""
    if status is None or status == -signal.SIGPROF:
        return Fault("reading it takes too long", ADVICE["limit"])
    if -status in CRASHES:
        return Fault(f"reading it crashes HDF5, {signal.Signals(-status).name}", ADVICE["damaged"])
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    return Fault(f"the process that checks it was ended, {name}", ADVICE["unavailable"])


def _get_child() -> subprocess.Popen:
    """Return the child of this process; start it if there is none.

    Raises:
        InputError: If it cannot be started.
    """
    global _child, _owner
    if _child is None or _owner != os.getpid() or _child.poll() is not None:
        try:
            _child = subprocess.Popen(
                [sys.executable or "python", "-c", START, *_import_path()], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        except OSError as error:
            raise _start_error(str(error)) from error
        _owner = os.getpid()
        line = _read_line(_child)
        while line != READY:  # a program that starts with Python may print something
            if not line:
                raise _start_error(_end())
            line = _read_line(_child)
    return _child


def _import_path() -> list[str]:
    """Return the import path of this process, which also finds this package if the working folder has changed."""
    root = str(Path(__file__).parents[3])
    paths = [os.path.abspath(entry) if entry else entry for entry in sys.path if isinstance(entry, str)]
    return paths if root in paths else [root, *paths]


def _start_error(reason: str) -> InputError:
    line = next((line.strip() for line in reversed(reason.splitlines()) if line.strip()), "it ended without a message")
    return InputError(
        f"the process that checks HDF5 files cannot start ({line}); the files may be sound; "
        f"expected is that {sys.executable or 'python'} imports h5py and dpm: install them there"
    )


@atexit.register
def _end() -> str:
    """End the child of this process; return what it has written to stderr."""
    global _child
    if _child is None or _owner != os.getpid():
        return ""
    child, _child = _child, None
    child.kill()
    return child.communicate()[1]


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
                    raise _Refused(f"it has more than {objects} objects")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise _Refused(f"{name!r} is a link to another place")
                item = group[name]
                if limits:
                    _allow_time(size)
                    if h5py.h5o.get_info(item.id).rc > 1:
                        raise _Refused(f"{name!r} has two names")
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif isinstance(item, h5py.Dataset) and item.shape is not None:
                    most = total if limits else max(SMALL_BYTES, MAX_RATIO * size)
                    total -= _read_array(item, name, most, limits is None)


def _read_array(dataset: h5py.Dataset, name: str, most: int, data: bool) -> int:
    """Check and read an array; return its decompressed size in bytes."""
    if dataset.external or dataset.is_virtual:
        raise _Refused(f"{name!r} is stored in other files")
    if not filters_of(dataset) <= FILTERS:
        raise _Refused(f"{name!r} uses a filter other than gzip, lzf, shuffle and fletcher32")
    try:
        dtype = dataset.dtype
    except TypeError:  # a type that numpy lacks, such as times: nobody reads this array
        return 0
    list(dataset.attrs.items())
    for dimension in dataset.dims:
        list(dimension)
    n_bytes = math.prod(dataset.shape) * dtype.itemsize
    written = dataset.id.get_storage_size() > 0
    chunks = 1
    if dataset.chunks is not None and n_bytes and written:
        for length, step in zip(dataset.shape, dataset.chunks, strict=True):
            chunks *= -(-length // step)
        if dataset.id.get_num_chunks() < chunks:
            raise ValueError(f"{name!r} was written only in part")
    if n_bytes > most and (written or not data):
        raise _Refused(f"{name!r} decompresses to {n_bytes} bytes; accepted are {most}")
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
        raise _Refused(f"{name!r} has examples of {row} bytes")
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
        raise _Refused(f"the values of {name!r} differ from those that were written", "changed")


def _allow_time(size: int) -> None:
    """Restart the limit on processor time: once for a data set, otherwise for each object."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS + min(size, READ_WHOLE) / CPU_BYTES_PER_SECOND)


def _limit_memory() -> None:
    with suppress(OSError, ValueError):  # only Linux reports the memory in use
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def serve() -> None:
    """Run the child: read (path in hexadecimal, limits) from stdin, and print a Fault or null, one line per file."""
    _limit_memory()
    # Nobody reads what HDF5 may print later.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    print(READY, flush=True)
    for line in sys.stdin:
        name, limits = json.loads(line)
        path = os.fsdecode(bytes.fromhex(name))
        fault = None
        try:
            read_through(path, limits)
        except Exception as error:  # of any kind: the file must not be opened
            fault = _fault_of(error, path)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(fault), flush=True)
