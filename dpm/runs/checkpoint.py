"""Checkpoints: one HDF5 file that holds a whole run, with nothing executable in it (docs/checkpoints.md).

Layout: the root attributes `format`, `format_version` and `sha256` (of meta); a text `meta` (JSON), which lists the
SHA-256 of every array under `arrays`; a group `parameters` with one data set for each Blocks path, and a group
`optimizer`. In files of version 1 each data set has its checksum as an attribute `sha256` instead. The user block in
front holds one line, the seal, with the SHA-256 of everything after it: HDF5 does not detect flipped bytes, and flipped
bytes in its own structures can crash the process. Anybody who changes a file can change the seal too, so untrusted
files are first validated in a subprocess.

Limits: 1,000 arrays of 2 GiB, with paths of 200 characters in groups 20 deep; 16 GiB in all, and unpacked at most
64 MiB or 20 times the file; 32 MiB of meta, with a million values and 20 levels.
"""

import hashlib
import io
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dpm.base.atomic import atomic_write
from dpm.base.errors import InputError
from dpm.base.hashing import hash_array
from dpm.datasets.fuel import probe

FORMAT = "dpm checkpoint"
FORMAT_VERSION = 2
USER_BLOCK = 512  # bytes, the least that HDF5 knows
SEAL = "dpm checkpoint; SHA-256 of all after the first 512 bytes: "
DEEPEST = 20  # groups, and levels of meta; a Blocks path has 7
MOST_ARRAYS = 1000
LARGEST_ARRAY = 2**31  # bytes
LARGEST_FILE = 2**34  # bytes
SMALL, LARGEST_RATIO = 2**26, 20  # bytes that any file may unpack to; bytes for each of the file's above that
COPIED_AT_ONCE = 2**20  # bytes, to the file
LARGEST_META = 2**25  # bytes of JSON
MOST_VALUES = 10**6  # in meta; a row of the log has nine
LONGEST_PATH = 200  # characters
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}


class Section(dict[str, Any]):
    """Part of meta; a missing key raises InputError, naming the file."""

    __slots__ = ("path",)
    path: Path

    def __missing__(self, key: str) -> Any:
        raise InputError(f"checkpoint {self.path}: holds no {key}; it was not written by train.py")


Contents = tuple[Section, dict[str, np.ndarray]]  # meta and arrays


def save(path: str | Path, meta: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write a checkpoint so that `path` is at every moment either the old or the new file, complete.

    Args:
        path: the file.
        meta: what JSON can hold, by name.
        arrays: arrays by name, "/parameters/..." or "/optimizer/...".

    Raises:
        OSError: the file cannot be written; the old one is still there.
        ValueError: `load` would refuse the contents; the old file is still there.
    """
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    _check_meta(meta)
    for name, array in arrays.items():
        _check_name(name)
        _check_type(name, array.dtype, array.shape)
    if len(arrays) > MOST_ARRAYS or sum(array.nbytes for array in arrays.values()) > LARGEST_FILE:
        raise ValueError(f"more than {MOST_ARRAYS} arrays or {LARGEST_FILE} bytes")
    if "arrays" in meta:
        raise ValueError("meta has a key 'arrays', which is reserved for the checksums")
    text = json.dumps(meta | {"arrays": {name: hash_array(array) for name, array in arrays.items()}}).encode()
    _check_text(text)
    stream = io.BytesIO()
    # HDF5 crashes the process, at once or at its end, if a write to the disk fails: let it write to memory.
    with h5py.File(stream, "w", userblock_size=USER_BLOCK) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["sha256"] = hashlib.sha256(text).hexdigest()
        file.create_dataset("meta", data=text.decode())
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    # No view of the stream may outlive this block, not even in the traceback of a failed write: the stream could not be
    # freed before it.
    with stream.getbuffer() as content:
        seal = f"{SEAL}{hashlib.sha256(content[USER_BLOCK:]).hexdigest()}\n".encode()
        content[: len(seal)] = seal
    stream.seek(0)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(stream, file, COPIED_AT_ONCE)


def load(path: str | Path) -> Contents:
    """Return (meta, arrays) of a checkpoint, all checked. Raises InputError, naming the file, for anything else."""
    meta, arrays, _ = load_with_facts(path)
    return meta, arrays


def load_with_facts(path: str | Path) -> "tuple[Section, dict[str, np.ndarray], dict[str, Any]]":
    """Load as `load` does; the third item has the file's `format_version` and whether it is `sealed` by a checksum."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"checkpoint {path}: no such file; give a run folder, or its checkpoint.h5")
    try:
        sealed = _check_seal(path)
        if fault := probe.find_fault(path, 2 * MOST_ARRAYS, _most_bytes(path)):
            raise ValueError(fault)
        with h5py.File(path, "r") as file:
            return _read_checked(file, path, sealed)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # h5py raises many types for a damaged file
        if isinstance(error, OSError) and error.errno in probe.SYSTEM_ADVICE:
            raise probe.explain(f"checkpoint {path}", error) from None
        raise InputError(f"checkpoint {path}: damaged or not an HDF5 file ({_first_line(error)})") from None


def load_run(path: str | Path) -> Contents:
    """Load the checkpoint of a run, whose meta has a config, a model and a state.

    A missing entry raises InputError when it is used.
    """
    meta, arrays = load(path)
    check_run(path, meta)
    return meta, arrays


def check_run(path: str | Path, meta: "Section") -> None:
    """Raise InputError unless meta has a config, a model and a state, of the types that train.py writes."""
    wrong = [key for key in ("config", "model", "state") if not isinstance(meta[key], Section)]
    config, state = meta["config"], meta["state"]
    if not wrong:
        parts = ("flags", "data", "versions", "model")
        wrong += [key for key in parts if not isinstance(config.get(key, config), Section)]
        wrong += [key for key, value in state.items() if not _fits_state(key, value)]
    if wrong:
        raise InputError(f"checkpoint {path}: its {wrong[0]!r} has another type than train.py writes")


def _fits_state(key: str, value: object) -> bool:
    if key == "rows":
        return isinstance(value, list) and all(isinstance(row, Section) for row in value)
    number = math.isfinite(value) if isinstance(value, float) else type(value) is int and 0 <= value < 2**53
    return key[:1].isalpha() and number


def split(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Split the arrays of a checkpoint into (parameters by Blocks path, arrays of the optimizer by name)."""

    def below(prefix: str) -> dict[str, np.ndarray]:
        return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}

    return below("/parameters"), below("/optimizer/")


def _seal(stream: io.BufferedReader) -> bytes:
    """Return the line of the user block: the checksum of everything after the block."""
    stream.seek(USER_BLOCK)
    return f"{SEAL}{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode()


def _check_seal(path: Path) -> bool:
    """Return True if the file has a seal; raise ValueError if the seal does not agree."""
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"it has {path.stat().st_size} bytes, accepted are {LARGEST_FILE}")
    with open(path, "rb") as stream:
        head = stream.read(USER_BLOCK)
        if not head.startswith(SEAL.encode()):
            return False
        if head.rstrip(b"\0") != _seal(stream):
            raise ValueError("its checksum does not agree")
    return True


def _most_bytes(path: Path) -> int:
    """Return how many bytes the arrays of a file of this size may unpack to."""
    return max(SMALL, LARGEST_RATIO * path.stat().st_size)


def _read_checked(file: h5py.File, path: Path, sealed: bool) -> "tuple[Section, dict[str, np.ndarray], dict[str, Any]]":
    """Read an open file for load_with_facts."""
    if str(file.attrs.get("format")) != FORMAT:
        raise InputError(f"checkpoint {path}: an HDF5 file, but not a checkpoint of dpm")
    version = int(file.attrs["format_version"])
    if version not in (1, FORMAT_VERSION):
        raise InputError(f"checkpoint {path}: format version {version}; this program reads 1 and {FORMAT_VERSION}")
    if version == 1 and not sealed:
        raise ValueError("its first line, the checksum of all of it, is gone")
    meta = _read_meta(file, path)
    hashes = None
    if version > 1:
        hashes = meta.pop("arrays", None)
        if not isinstance(hashes, Section):
            raise ValueError("meta lists no arrays")
    return meta, _read_arrays(file, hashes), {"format_version": version, "sealed": sealed}


def _read_meta(file: h5py.File, path: Path) -> "Section":
    if not isinstance(file.get("meta", getlink=True), h5py.HardLink):
        raise ValueError("meta is missing or a link")
    dataset = file["meta"]
    if not isinstance(dataset, h5py.Dataset) or h5py.check_string_dtype(dataset.dtype) is None or dataset.shape != ():
        raise ValueError("meta is not a text")
    text = dataset[()]
    if not isinstance(text, bytes):
        raise ValueError("meta is not a text")
    _check_text(text)
    if hashlib.sha256(text).hexdigest() != file.attrs["sha256"]:
        raise ValueError("the checksum of meta does not agree")

    def section(pairs: list[tuple[str, Any]]) -> "Section":
        found = Section(pairs)
        if len(found) < len(pairs):
            raise ValueError("meta has a key twice")
        found.path = path
        return found

    meta: Section = json.loads(text, object_pairs_hook=section)
    _check_meta(meta)
    return meta


def _check_text(text: bytes) -> None:
    """Raise ValueError for JSON that would be slow to read; every value but the first of a list follows a comma."""
    if len(text) > LARGEST_META or text.count(b",") > MOST_VALUES:
        raise ValueError(f"meta has more than {LARGEST_META} bytes or {MOST_VALUES} values")


def _check_meta(meta: object) -> None:
    """Raise ValueError unless meta is a dict of at most DEEPEST levels."""
    if not isinstance(meta, dict):
        raise ValueError("meta is not a JSON object")
    level: list[Any] = [meta]
    for _ in range(DEEPEST):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [value for part in parts for value in part]
    if level:
        raise ValueError(f"meta is more than {DEEPEST} levels deep")


def _read_arrays(file: h5py.File, hashes: dict[str, str] | None) -> dict[str, np.ndarray]:
    """Return the arrays by path. hashes: as listed in meta, or None if each array has its own attribute."""
    arrays: dict[str, np.ndarray] = {}
    for where, dataset in _datasets(file, ""):
        if len(arrays) == MOST_ARRAYS:
            raise ValueError(f"it has more than {MOST_ARRAYS} arrays")
        _check_dataset(where, dataset)
        if hashes is not None and where not in hashes:
            raise ValueError(f"{where} is not among the arrays that meta lists")
        array = dataset[()]
        if hashes is None:
            agrees = hash_array(np.atleast_1d(array)) == dataset.attrs["sha256"]
        else:
            agrees = hash_array(array) == hashes[where]
        if not agrees:
            raise ValueError(f"the checksum of {where} does not agree")
        arrays[where] = array
    if hashes is not None and len(arrays) < len(hashes):
        raise ValueError(f"{min(hashes.keys() - arrays.keys())!r} is missing")
    return arrays


def _datasets(group: h5py.Group, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield (path, data set) of everything in a group but meta; raise ValueError for what no checkpoint has."""
    for name in group:
        if not prefix and name == "meta":
            continue
        where = f"{prefix}/{name}"
        _check_name(where)
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{where} is a link")
        item = group[name]
        if isinstance(item, h5py.Group):
            if where.count("/") > DEEPEST:  # as in a group that holds itself
                raise ValueError(f"{where} is too deep")
            yield from _datasets(item, where)
        else:
            yield where, item


def _check_name(where: str) -> None:
    parts = where.split("/")
    if len(where) > LONGEST_PATH or not where.isprintable():
        raise ValueError(f"the name {where[:LONGEST_PATH]!r} is too long, or not printable")
    if parts[0] or parts[1:2] not in (["parameters"], ["optimizer"]) or {"", ".", ".."} & set(parts[1:]):
        raise ValueError(f"{where} is neither parameters nor optimizer")


def _check_dataset(where: str, dataset: Any) -> None:
    """Raise ValueError unless a data set is one that `save` writes, plain or compressed by gzip."""
    plain = isinstance(dataset, h5py.Dataset) and dataset.shape is not None
    if not plain or dataset.external or dataset.is_virtual:
        raise ValueError(f"{where} is not a plain array of numbers")
    filters = probe.filters_of(dataset)
    n_bytes = _check_type(where, dataset.dtype, dataset.shape)
    # The subprocess unpacks at most READ_WHOLE bytes of an array.
    if not filters <= FILTERS or (filters and n_bytes > probe.READ_WHOLE):
        raise ValueError(f"{where} is packed by another filter than gzip and shuffle, or is too large to be packed")


def _check_type(where: str, dtype: np.dtype, shape: tuple[int, ...]) -> int:
    """Return the bytes of an array; raise ValueError if it does not hold numbers or is too large."""
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise ValueError(f"{where} is not a plain array of numbers")
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > LARGEST_ARRAY:
        raise ValueError(f"{where} claims {n_bytes} bytes, accepted are {LARGEST_ARRAY}")
    return n_bytes


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
