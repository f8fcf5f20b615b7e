"""Checkpoints: one HDF5 file that holds all of a run, nothing in it executable.

Layout: the root's attributes `format`, `format_version` and `sha256` (of meta); a text `meta` (JSON), a group
`parameters` with one data set for each Blocks path, a group `optimizer`. Every data set has an attribute `sha256` over
its type, shape and bytes, since HDF5 does not notice flipped bytes. Flipped bytes in its own structures can even
crash the process, so the user block in front holds a line with the SHA-256 of all that follows it, which is checked
before HDF5 opens the file.
"""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np

from dpm.errors import InputError
from dpm.files import replacing

FORMAT = "dpm checkpoint"
FORMAT_VERSION = 1
USER_BLOCK = 512  # bytes, the least that HDF5 knows
SEAL = "dpm checkpoint; SHA-256 of all after the first 512 bytes: "
DEEPEST = 20  # groups; a Blocks path has 7
LARGEST_ARRAY = 2**31  # bytes
LARGEST_META = 2**26  # characters of JSON


def save(path, meta, arrays):
    """Write a checkpoint so that at every moment `path` is either the old or the new file, complete.

    meta: what JSON can hold; arrays: dict of name ("parameters/...", "optimizer/...") to array.
    Raises OSError where the file cannot be written; the old file is then still there.
    """
    text = json.dumps(meta)
    with replacing(path) as temporary:
        with h5py.File(temporary, "w", userblock_size=USER_BLOCK) as file:
            file.attrs["format"] = FORMAT
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["sha256"] = hashlib.sha256(text.encode()).hexdigest()
            file.create_dataset("meta", data=text)
            for name, array in arrays.items():
                dataset = file.create_dataset(name, data=array)
                dataset.attrs["sha256"] = array_hash(array)
        with open(temporary, "r+b") as stream:
            seal = _seal(stream)
            stream.seek(0)
            stream.write(seal)


def load(path):
    """(meta, arrays) of a checkpoint, all checked. Raises InputError, naming the file, for anything else."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"checkpoint {path}: no such file; give the checkpoint.h5 of a run folder")
    try:
        _check_seal(path)
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise InputError(f"checkpoint {path}: an HDF5 file, but not a checkpoint of dpm")
            version = file.attrs["format_version"]
            if version != FORMAT_VERSION:
                raise InputError(f"checkpoint {path}: format version {version}; this program reads {FORMAT_VERSION}")
            meta = _read_meta(file)
            arrays = dict(_read_arrays(file, ""))
    except InputError:
        raise
    except Exception as error:  # h5py raises many types for a damaged file
        raise InputError(f"checkpoint {path}: damaged or not an HDF5 file ({_first_line(error)})") from None
    return meta, arrays


def load_run(path):
    """As load, for the checkpoint of a run: meta holds its config, model and state."""
    meta, arrays = load(path)
    missing = [key for key in ("config", "model", "state") if not isinstance(meta, dict) or key not in meta]
    if missing:
        raise InputError(f"checkpoint {path}: holds no {missing[0]}; it was not written by train.py")
    return meta, arrays


def split(arrays):
    """The arrays of a checkpoint as (parameters by Blocks path, optimizer's arrays by name)."""
    parts = []
    for prefix in ("/parameters", "/optimizer/"):
        parts.append({name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)})
    return tuple(parts)


def array_hash(array):
    """SHA-256 over type, shape and bytes."""
    array = np.ascontiguousarray(array)
    return rows_hash(array.dtype, array.shape, [array] if array.size else [])


def rows_hash(dtype, shape, parts):
    """array_hash of an array that comes in parts, arrays whose rows follow one another."""
    digest = hashlib.sha256(f"{dtype.str}{tuple(shape)}".encode())
    for part in parts:
        digest.update(part.data)
    return digest.hexdigest()


def _seal(stream):
    """The line of the user block: the checksum of all that follows the block in an open file."""
    stream.seek(USER_BLOCK)
    return f"{SEAL}{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode()


def _check_seal(path):
    with open(path, "rb") as stream:
        head = stream.read(USER_BLOCK)
        # A file without the line, such as h5repack writes, is left to the other checksums.
        if head.startswith(SEAL.encode()) and head.rstrip(b"\0") != _seal(stream):
            raise ValueError("its checksum does not agree")


def _read_meta(file):
    if not isinstance(file.get("meta", getlink=True), h5py.HardLink):
        raise ValueError("meta is a link")
    dataset = file["meta"]
    text = dataset[()]
    if not isinstance(text, bytes) or len(text) > LARGEST_META:
        raise ValueError("meta is not a text of sensible length")
    if hashlib.sha256(text).hexdigest() != file.attrs["sha256"]:
        raise ValueError("the checksum of meta does not agree")
    return json.loads(text)


def _read_arrays(group, prefix):
    for name in group:
        if not prefix and name == "meta":
            continue
        where = f"{prefix}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{where} is a link")
        item = group[name]
        if isinstance(item, h5py.Group):
            if where.count("/") > DEEPEST:  # as in a group that holds itself
                raise ValueError(f"{where} is too deep")
            yield from _read_arrays(item, where)
            continue
        if item.dtype.kind not in "fiub" or item.external or item.is_virtual:
            raise ValueError(f"{where} is not a plain array of numbers")
        if item.size * item.dtype.itemsize > LARGEST_ARRAY:
            raise ValueError(f"{where} claims {item.size * item.dtype.itemsize} bytes")
        array = item[()]
        if array_hash(array) != item.attrs["sha256"]:
            raise ValueError(f"the checksum of {where} does not agree")
        yield where, array


def _first_line(error):
    return str(error).partition("\n")[0] or type(error).__name__
