"""What a worker does: check that it may compute, keep what pieces share, and compute pieces one after the other."""

import hashlib
import os
import pickle
import platform
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import dpm
from dpm.base import blas
from dpm.base.errors import InputError
from dpm.base.memory import keep_freed_memory
from dpm.cluster.recipes import Recipe, build_model
from dpm.engines.graph_cache import CODE

PACKAGES = ("numpy", "scipy", "pytensor", "numba", "jax", "jaxlib")
MOST_OBJECTS = 32  # shared ones that a worker keeps, and that are kept to be sent: those used last
ONE_CORE = {"NPROC": "1"}  # XLA reads it when JAX starts, so that its threads share one core

_lock = threading.Lock()
_objects: OrderedDict[str, Any] = OrderedDict()


class WorkerError(InputError):
    """A worker cannot take part. The message names it."""


class Packed(NamedTuple):
    """A pickled object and its SHA-256."""

    digest: str
    content: bytes


class Answer(NamedTuple):
    """Results of consecutive pieces.

    Attributes:
        results: one for each piece.
        reported: the work that the computation reported.
        seconds: the time that it took.
    """

    results: list[Any]
    reported: int
    seconds: float


def versions() -> dict[str, str]:
    """Return what two processes must have in common, by name: bits depend on it, or pickled objects do."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "dpm": f"{dpm.__version__} (files {CODE[:8]})"}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def has_dashboard() -> bool:
    """Return True in the process of a scheduler that serves a dashboard."""
    return "distributed.dashboard.scheduler" in sys.modules


def check_versions(worker: str, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise WorkerError, naming the worker by its address, unless it has the expected versions."""
    for name in sorted(expected.keys() | found.keys()):
        here, there = expected.get(name, "none"), found.get(name, "none")
        if here != there:
            raise WorkerError(
                f"--cluster: worker {worker} has {name} {there}; expected {here}, as here; install the same there"
            )


def pack(value: Any) -> Packed:
    """Pickle a value; functions and classes that no module holds are written out."""
    import cloudpickle

    content = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return Packed(hashlib.sha256(content).hexdigest(), content)


def keep(content: bytes) -> bytes:
    """Return the bytes: the task on which all pieces that share an object depend."""
    return content


def compute_pieces(
    expected: Mapping[str, str], compute: Packed, digests: Sequence[str], contents: Sequence[bytes], pieces: bytes
) -> Answer:
    """Compute consecutive pieces on this worker; threads of one worker take turns.

    Args:
        expected: versions of the process that asks.
        compute: generator function of the shared objects, the pieces and a report.
        digests, contents: SHA-256 and bytes of each shared object.
        pieces: list of pieces, pickled.

    Raises:
        WorkerError: the worker has other versions, another device, or other bytes than were sent.
        InputError: as of the computation.
    """
    worker = _prepare_worker()
    check_versions(worker, versions(), expected)
    with _lock:
        function, *shared = (
            _unpack(worker, Packed(*packed)) for packed in (compute, *zip(digests, contents, strict=True))
        )
        work: list[int] = []
        begin = time.monotonic()
        results = list(function(*shared, pickle.loads(pieces), work.append))
        return Answer(results, sum(work), time.monotonic() - begin)


def _unpack(worker: str, packed: Packed) -> Any:
    """Return the object of packed bytes, which is built once; a recipe becomes a compiled model."""
    if packed.digest not in _objects:
        if hashlib.sha256(packed.content).hexdigest() != packed.digest:
            raise WorkerError(
                f"--cluster: worker {worker} got other parameters or data than were sent; expected SHA-256 "
                f"{packed.digest[:8]}; start it again"
            )
        value = pickle.loads(packed.content)
        try:
            _objects[packed.digest] = build_model(value) if isinstance(value, Recipe) else value
        except InputError as error:
            raise WorkerError(f"--cluster: worker {worker}: {error}") from None
    drop_oldest(_objects, packed.digest)
    return _objects[packed.digest]


def drop_oldest(objects: OrderedDict[Any, Any], used: Any) -> None:
    """Note that the object under a key is used, and keep the MOST_OBJECTS that were used last."""
    objects.move_to_end(used)
    while len(objects) > MOST_OBJECTS:
        objects.popitem(last=False)


def get_address() -> str:
    """Return the address of the worker that computes in this thread. Raises ValueError outside of a task."""
    from distributed import get_worker

    return str(get_worker().address)


def _prepare_worker() -> str:
    """Return the address of the worker that this thread belongs to, and prepare its process at the first time."""
    try:
        address = get_address()
    except ValueError:
        return "here"
    _prepare_process()
    return address


@cache
def _prepare_process() -> None:
    """Confine the process of a worker to one core, and let it keep the memory that it frees.

    Dask's nanny starts it so that the C library returns freed memory to the system at once.
    """
    os.environ.update(ONE_CORE)
    blas.controller().limit(limits=1, user_api="blas")
    keep_freed_memory()
