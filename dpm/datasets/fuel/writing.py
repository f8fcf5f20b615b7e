"""Write data sets in the HDF5 layout of Fuel 0.2, atomically."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.fuel.layout import INTERFACE_VERSION, split_array
from dpm.datasets.fuel.probe import DIGEST
from dpm.datasets.reading import atomic_write

# A chunk is a whole number of examples, so that a random minibatch decompresses few unused bytes.
CHUNK_BYTES = 1 << 16
PACKED_BYTES = 1 << 28
RESERVED = ("split", "h5py_interface_version", "fuel_convert_version", "fuel_convert_command")


def write_hdf5(
    path: str | os.PathLike[str],
    sets: Mapping[str, Mapping[str, Any]],
    axis_labels: Mapping[str, Sequence[str]] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write a data set in Fuel's layout; if this fails, `path` stays unchanged.

    Sources of up to PACKED_BYTES are gzip-compressed. Larger ones are read in batches, and decompression would take
    longer than reading.

    Args:
        path: The file to write or replace.
        sets: {"train": {"features": (n, ...), "targets": (n, 1)}, "test": {...}}; a set may lack a source.
        axis_labels: {"features": ("batch", "channel", "height", "width"), ...}.
        attributes: Additional attributes of the root, such as the origin of the data.

    Raises:
        InputError: If the arrays of a set differ in length, if the arrays of a source differ in dtype or in the shape
            of an example, if there is nothing to write, or if `path` is not writable.
    """
    path = Path(path)
    arrays = {name: {s: np.asarray(a) for s, a in members.items()} for name, members in sets.items()}
    labels, attributes = dict(axis_labels or {}), dict(attributes or {})
    _check_sets(arrays, labels)
    if taken := [name for name in attributes if name in RESERVED]:
        raise InputError(f"attributes: {', '.join(taken)} cannot be set; the names {', '.join(RESERVED)} are reserved")
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        bounds = _write_sources(file, arrays)
        for source, names in labels.items():
            for axis, label in zip(file[source].dims, names, strict=True):
                axis.label = label
        for name, value in attributes.items():
            file.attrs[name] = value
        file.attrs["split"] = split_array(bounds)
        # ASCII, as Fuel wrote it under Python 2.
        file.attrs.create("h5py_interface_version", INTERFACE_VERSION, dtype=h5py.string_dtype("ascii"))


def _check_sets(arrays: Mapping[str, Mapping[str, np.ndarray]], labels: Mapping[str, Sequence[str]]) -> None:
    examples: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
    for name, members in arrays.items():
        for source, array in members.items():
            if array.ndim == 0 or array.size == 0 or array.dtype.kind not in "biufS":
                raise InputError(
                    f"sets: {name}/{source} has shape {array.shape} and dtype {array.dtype}; "
                    "accepted: at least one example of numbers or byte strings, all of one shape"
                )
            kind = examples.setdefault(source, (array.dtype, array.shape[1:]))
            if kind != (array.dtype, array.shape[1:]):
                raise InputError(
                    f"sets: {name}/{source} has examples of {array.dtype} {array.shape[1:]}, another set of "
                    f"{kind[0]} {kind[1]}; give both the same dtype and shape"
                )
        if len({len(array) for array in members.values()}) > 1:
            lengths = {source: len(array) for source, array in members.items()}
            raise InputError(f"sets: the sources of {name} differ in length, {lengths}; make them equal")
    if not examples:
        raise InputError("sets: there is nothing to write; give at least one set with one source")
    for source, names in labels.items():
        if source not in examples or len(names) != 1 + len(examples[source][1]):
            raise InputError(
                f"axis_labels: {source!r} has labels {tuple(names)}; accepted: one label per axis of "
                f"{', '.join(examples)}"
            )


def _write_sources(
    file: h5py.File, arrays: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, tuple[int, int]]]:
    """Write the arrays; return {set: {source: (start, stop)}}."""
    bounds: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in arrays}
    for source in dict.fromkeys(s for members in arrays.values() for s in members):
        parts = {name: members[source] for name, members in arrays.items() if source in members}
        total, first = sum(map(len, parts.values())), next(iter(parts.values()))
        rows = min(total, max(1, CHUNK_BYTES // first[0].nbytes))
        target = file.create_dataset(
            source,
            (total, *first.shape[1:]),
            first.dtype,
            chunks=(rows, *first.shape[1:]),
            **({"compression": "gzip", "compression_opts": 9} if total * first[0].nbytes <= PACKED_BYTES else {}),
        )
        start, digest = 0, hashlib.sha256()
        for name, part in parts.items():
            stop = start + len(part)
            target[start:stop] = part
            digest.update(part.tobytes())
            bounds[name][source] = start, stop
            start = stop
        target.attrs[DIGEST] = digest.hexdigest()
    return bounds
