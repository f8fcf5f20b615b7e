"""Fuel's HDF5 layout: functions of an open file.

The sources (`features`, `targets`, ...) are arrays of the root group. The root attribute `split` has one row for each
pair of set and source: `start` and `stop`, or a reference to an array of `indices`, and a flag `available`. Examples of
variable shape are stored flat; a scale `shapes` of their first axis holds the shape of each.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from os import PathLike
from typing import Any, NamedTuple

import h5py
import numpy as np

from dpm.base.errors import InputError

INTERFACE_VERSION = "0.3"


class Row(NamedTuple):
    """A row of the split table."""

    start: int
    stop: int
    indices: h5py.Reference
    available: bool


def split_table(file: h5py.File, path: str | PathLike[str]) -> dict[tuple[str, str], Row]:
    """Return the rows of the split table by (set, source).

    Raises:
        InputError: If the file has no such table.
    """
    split = file.attrs.get("split")
    fields = ("split", "source", "start", "stop", "indices", "available")
    names = getattr(getattr(split, "dtype", None), "names", None) or ()
    if split is None or not set(fields) <= set(names):
        raise InputError(
            f"{path}: not a Fuel data set, its root has no attribute 'split' with {', '.join(fields)}; "
            "convert it: python -m dpm datasets convert arrays --input FILE"
        )
    return {
        (row["split"].decode(), row["source"].decode()): Row(
            int(row["start"]), int(row["stop"]), row["indices"], bool(row["available"])
        )
        for row in split
    }


def split_array(sets: Mapping[str, Mapping[str, Sequence[Any]]]) -> np.ndarray:
    """Return the array for the root attribute `split`.

    Args:
        sets: {set: {source: (start, stop)}}, where the tuple may also have a reference to an array of indices and a
            comment. A pair that is missing is marked as unavailable.
    """
    sources = sorted({source for members in sets.values() for source in members})
    rows = []
    for name, source in product(sets, sources):
        given = sets[name].get(source, ())
        # The comment must not be empty: such a field cannot be pickled.
        start, stop, indices, comment = tuple(given) + (0, 0, h5py.Reference(), ".")[len(given) :]
        rows.append((name.encode(), source.encode(), start, stop, indices, bool(given), (comment or ".").encode()))
    dtype = np.dtype(
        [
            ("split", f"S{max(len(row[0]) for row in rows)}"),
            ("source", f"S{max(len(row[1]) for row in rows)}"),
            ("start", np.int64),
            ("stop", np.int64),
            ("indices", h5py.ref_dtype),
            ("available", np.bool_),
            ("comment", f"S{max(len(row[-1]) for row in rows)}"),
        ]
    )
    return np.array(rows, dtype)


def common_sources(
    table: Mapping[tuple[str, str], Row], which_sets: Sequence[str], path: str | PathLike[str]
) -> tuple[str, ...]:
    """Return the sources that all given sets have, sorted.

    Raises:
        InputError: If a set is unknown.
    """
    known = dict.fromkeys(name for name, _ in table)
    unknown = [name for name in which_sets if name not in known]
    if unknown or not which_sets:
        raise InputError(
            f"{path}: has no set {', '.join(map(repr, unknown)) or '(none was requested)'}; "
            f"its sets: {', '.join(known)}"
        )
    sources = {source for _, source in table}
    return tuple(sorted(s for s in sources if all((k, s) in table and table[k, s].available for k in which_sets)))


def source_array(file: h5py.File, name: str, path: str | PathLike[str]) -> h5py.Dataset:
    """Return the array of a source.

    Raises:
        InputError: If it is not an array of examples, or was never written.
    """
    source = file[name]
    if not isinstance(source, h5py.Dataset) or source.ndim == 0:
        raise InputError(f"{path}: source {name!r} is not an array of examples; convert the file again")
    if source.dtype.kind == "O" and not is_variable(source):
        raise InputError(f"{path}: source {name!r} holds texts; accepted are numbers and byte strings of one length")
    if source.size and source.id.get_storage_size() == 0:
        raise InputError(f"{path}: source {name!r} was never written, its conversion was interrupted; convert it again")
    return source


def axis_labels(source: h5py.Dataset) -> tuple[str, ...]:
    """Return the labels of the axes ("" if unlabeled), including those of each example if its shape is variable."""
    labels = _stored_labels(source)
    if is_variable(source) and "shape_labels" in source.dims[0]:
        return (labels[0], *(label.decode() for label in source.dims[0]["shape_labels"][...]))
    return labels


def _stored_labels(source: h5py.Dataset) -> tuple[str, ...]:
    # Do not use source.dims: it crashes the process if this attribute is damaged.
    if "DIMENSION_LABELS" not in source.attrs:
        return ("",) * source.ndim
    if source.attrs.get_id("DIMENSION_LABELS").shape != (source.ndim,):
        raise ValueError("its axis labels do not fit its axes")
    stored = source.attrs["DIMENSION_LABELS"]
    return tuple(label.decode() if isinstance(label, bytes) else str(label) for label in stored)


def is_variable(source: h5py.Dataset) -> bool:
    """Return True if the examples are stored flat, each with its own shape."""
    return h5py.check_vlen_dtype(source.dtype) is not None and h5py.check_string_dtype(source.dtype) is None


def rows_of(file: h5py.File, row: Row, source: h5py.Dataset) -> np.ndarray:
    """Return the rows (n,) of the source that a row of the table selects, in the order of the table.

    Raises:
        ValueError: If the row of the table is damaged.
    """
    rows = file[row.indices][...] if row.indices else np.array([row.start, row.stop - 1])
    if row.start > row.stop or rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise ValueError("its split attribute is damaged")
    if not row.indices and row.start == row.stop:
        return np.arange(0)
    if rows.size and not 0 <= rows.min() <= rows.max() < len(source):
        raise ValueError(f"its split attribute names rows {rows.min()}..{rows.max()} of {len(source)}")
    return rows.astype(np.int64) if row.indices else np.arange(row.start, row.stop)


def take(source: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Read rows of a source.

    Args:
        source: The array.
        rows: Row numbers (n,) in any order, with repeats.

    Returns:
        The rows in this order, (n, ...); an object array of arrays for examples of variable shape.
    """
    if len(rows) == 0:
        return source[:0]
    # HDF5 reads increasing rows without repeats; read runs of neighboring rows at once.
    order = np.argsort(rows, kind="stable")
    increasing = rows[order]
    result = np.empty((len(rows), *source.shape[1:]), source.dtype)
    begins = np.flatnonzero(np.diff(increasing, prepend=-2) > 1)
    for begin, end in zip(begins, [*begins[1:], len(rows)], strict=True):
        first, last = increasing[begin], increasing[end - 1]
        result[order[begin:end]] = source[first : last + 1][increasing[begin:end] - first]
    return _reshape(result, take(source.dims[0]["shapes"], rows)) if is_variable(source) else result


def _reshape(examples: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    result = np.empty(len(examples), object)
    for i, (example, shape) in enumerate(zip(examples, shapes, strict=True)):
        result[i] = example.reshape(shape)
    return result
