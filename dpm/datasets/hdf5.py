"""Data sets in the HDF5 layout of Fuel 0.2: read in its meaning and names, and written whole or not at all.

The sources (`features`, `targets`, ...) are arrays of the root group. The root attribute `split` has one row
for each pair of set and source: `start` and `stop`, or a reference to an array of `indices`, and whether it
is `available`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from dpm.datasets.files import replacing
from dpm.errors import InputError

INTERFACE_VERSION = "0.3"
# A chunk is a whole number of examples, so that a random minibatch unpacks few bytes in vain.
CHUNK_BYTES = 1 << 16
RESERVED = ("split", "h5py_interface_version", "fuel_convert_version", "fuel_convert_command")
# What h5py, or a field of another type than it should have, raises on a damaged file.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)

Request = slice | Sequence[int] | np.ndarray


class H5PYDataset:
    """The examples of one or several sets of a file in Fuel's layout.

    Several sets are joined; as in Fuel, the rows of a set given by indices come in increasing order and once.
    The file is opened when it is first needed, by each process for itself, and `close` may be called at any
    time.

    Args:
        file: path of the file.
        which_sets: names of sets, such as ("train",).
        load_in_memory: read everything now and leave the file alone afterwards.
        sources: the sources to give, in this order; all that the sets provide, sorted, if left out.

    Attributes:
        num_examples: number of examples in the sets together.
        provides_sources: names of the sources that every one of the sets has, sorted.
        sources: names of the sources that `get_data` gives.
        axis_labels: name of each source to the labels of its axes ("" where the file has none).

    Raises InputError if the file is missing, damaged or not in Fuel's layout, if it has no such set or
    source, and if a source is of variable length.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        which_sets: Sequence[str] = ("train",),
        load_in_memory: bool = False,
        sources: Sequence[str] | None = None,
    ):
        self.path = Path(file)
        self.which_sets = (which_sets,) if isinstance(which_sets, str) else tuple(which_sets)
        self.load_in_memory = load_in_memory
        self._file: h5py.File | None = None
        self._owner = os.getpid()
        self._data: tuple[np.ndarray, ...] | None = None
        try:
            with _reading(self.path):
                self._describe(self._handle(), sources)
                if load_in_memory:
                    self._data = self._read(np.arange(self.num_examples))
        finally:
            self.close()

    def _describe(self, file: h5py.File, sources: Sequence[str] | None) -> None:
        table = _split_table(file, self.path)
        self.provides_sources = _provided(table, self.which_sets, self.path)
        self.sources = self.provides_sources if sources is None else tuple(sources)
        if not self.sources or not set(self.sources) <= set(self.provides_sources):
            raise InputError(
                f"{self.path}: sources {self.sources} are not available in {', '.join(self.which_sets)}; "
                f"available: {', '.join(self.provides_sources) or 'none'}"
            )
        arrays = {source: _source(file, source, self.path) for source in self.sources}
        self.axis_labels = {name: _labels(array) for name, array in arrays.items()}
        self._rows = {
            name: np.unique(np.concatenate([_rows(file, table[key, name], array) for key in self.which_sets]))
            for name, array in arrays.items()
        }
        counts = {name: len(rows) for name, rows in self._rows.items()}
        if len(set(counts.values())) != 1:
            raise InputError(f"{self.path}: the sources differ in length, {counts}; convert the file again")
        self.num_examples = next(iter(counts.values()))

    def get_data(self, request: Request) -> tuple[np.ndarray, ...]:
        """The requested examples, one array (n, ...) for each of `sources`.

        Args:
            request: a slice, or positions 0 .. num_examples - 1 in any order and with repeats, which the
                result keeps.

        Raises InputError for another kind of request, a position out of range, or a file that became
        unreadable.
        """
        positions = _positions(request, self.num_examples)
        if self._data is not None:
            return tuple(data[positions] for data in self._data)
        with _reading(self.path):
            return self._read(positions)

    def close(self) -> None:
        """Give the file back; a later request opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _read(self, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        file = self._handle()
        return tuple(_take(file[source], self._rows[source][positions]) for source in self.sources)

    def _handle(self) -> h5py.File:
        if self._owner != os.getpid():
            # HDF5's state must not be shared with the process that forked this one.
            self.close()
            self._owner = os.getpid()
        if self._file is None:
            self._file = h5py.File(self.path, "r")
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give the path of a file in Fuel's HDF5 layout") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as HDF5 ({reason}); it is damaged, half written or of another kind: "
            "delete it and fetch or convert it again"
        ) from error


class _Row(NamedTuple):
    start: int
    stop: int
    indices: h5py.Reference
    available: bool


def _split_table(file: h5py.File, path: Path) -> dict[tuple[str, str], _Row]:
    split = file.attrs.get("split")
    fields = ("split", "source", "start", "stop", "indices", "available")
    names = getattr(getattr(split, "dtype", None), "names", None) or ()
    if split is None or not set(fields) <= set(names):
        raise InputError(
            f"{path}: no Fuel data set, its root has no attribute 'split' with {', '.join(fields)}; "
            "write it with dpm.datasets.write_hdf5 or fuel-convert"
        )
    return {
        (row["split"].decode(), row["source"].decode()): _Row(
            int(row["start"]), int(row["stop"]), row["indices"], bool(row["available"])
        )
        for row in split
    }


def _provided(table: Mapping[tuple[str, str], _Row], which_sets: Sequence[str], path: Path) -> tuple[str, ...]:
    known = dict.fromkeys(name for name, _ in table)
    unknown = [name for name in which_sets if name not in known]
    if unknown or not which_sets:
        raise InputError(
            f"{path}: has no set {', '.join(map(repr, unknown)) or '(none was asked for)'}; "
            f"its sets: {', '.join(known)}"
        )
    sources = {source for _, source in table}
    return tuple(sorted(s for s in sources if all((k, s) in table and table[k, s].available for k in which_sets)))


def _source(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    source = file[name]
    if not isinstance(source, h5py.Dataset) or source.ndim == 0:
        raise InputError(f"{path}: source {name!r} is not an array of examples; convert the file again")
    if source.dtype.kind == "O":
        raise InputError(
            f"{path}: source {name!r} is of variable length; accepted are examples of one shape: "
            "resize the images and convert them again"
        )
    if source.size and not source.is_virtual and source.id.get_storage_size() == 0:
        raise InputError(
            f"{path}: source {name!r} was never written, its conversion was interrupted; delete it and convert again"
        )
    return source


def _labels(source: h5py.Dataset) -> tuple[str, ...]:
    # Not through source.dims, which crashes the process if this attribute is damaged.
    if "DIMENSION_LABELS" not in source.attrs:
        return ("",) * source.ndim
    if source.attrs.get_id("DIMENSION_LABELS").shape != (source.ndim,):
        raise ValueError("its axis labels do not fit its axes")
    stored = source.attrs["DIMENSION_LABELS"]
    return tuple(label.decode() if isinstance(label, bytes) else str(label) for label in stored)


def _rows(file: h5py.File, row: _Row, source: h5py.Dataset) -> np.ndarray:
    rows = file[row.indices][...] if row.indices else np.array([row.start, row.stop - 1])
    if row.start > row.stop or rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise ValueError("its split attribute makes no sense")
    if not row.indices and row.start == row.stop:
        return np.arange(0)
    if rows.size and not 0 <= rows.min() <= rows.max() < len(source):
        raise ValueError(f"its split attribute names rows {rows.min()}..{rows.max()} of {len(source)}")
    return rows.astype(np.int64) if row.indices else np.arange(row.start, row.stop)


def _positions(request: Request, n: int) -> np.ndarray:
    if isinstance(request, slice):
        return np.arange(n)[request]
    positions = np.asarray(request)
    if positions.size == 0 and positions.ndim == 1:
        return np.arange(0)
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        raise InputError(f"request: {request!r} is neither a slice nor a list or 1-d array of integers")
    if not 0 <= positions.min() <= positions.max() < n:
        raise InputError(f"request: positions {positions.min()}..{positions.max()}; accepted: 0..{n - 1}")
    return positions.astype(np.int64)


def _take(source: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    if len(rows) == 0:
        return source[:0]
    # HDF5 itself reads increasing rows only, each once.
    wanted, place = np.unique(rows, return_inverse=True)
    first, stop = int(wanted[0]), int(wanted[-1]) + 1
    found = source[first:stop] if stop - first == len(wanted) else source[wanted]
    return found if np.array_equal(wanted, rows) else found[place]


def write_hdf5(
    path: str | os.PathLike[str],
    sets: Mapping[str, Mapping[str, Any]],
    axis_labels: Mapping[str, Sequence[str]] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write a data set in Fuel's layout, gzip-compressed; `path` holds all of it or stays what it was.

    Args:
        path: the file to write or replace.
        sets: {"train": {"features": (n, ...), "targets": (n, 1)}, "test": {...}}; a set may lack a source.
        axis_labels: {"features": ("batch", "channel", "height", "width"), ...}.
        attributes: further attributes of the root, such as where the data come from.

    Raises InputError if the arrays of a set differ in length, those of a source in dtype or shape of an
    example, if there is nothing to write, and if `path` cannot be written.
    """
    path = Path(path)
    arrays = {name: {s: np.asarray(a) for s, a in members.items()} for name, members in sets.items()}
    labels, attributes = dict(axis_labels or {}), dict(attributes or {})
    _check_sets(arrays, labels)
    if taken := [name for name in attributes if name in RESERVED]:
        raise InputError(f"attributes: {', '.join(taken)} cannot be chosen; leave out {', '.join(RESERVED)}")
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        bounds = _write_sources(file, arrays)
        for source, names in labels.items():
            for axis, label in zip(file[source].dims, names, strict=True):
                axis.label = label
        for name, value in attributes.items():
            file.attrs[name] = value
        file.attrs["split"] = _split_array(list(arrays), bounds)
        # Fuel wrote this under Python 2, as ASCII.
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
                    f"{kind[0]} {kind[1]}; make them alike"
                )
        if len({len(array) for array in members.values()}) > 1:
            lengths = {source: len(array) for source, array in members.items()}
            raise InputError(f"sets: the sources of {name} differ in length, {lengths}; make them alike")
    if not examples:
        raise InputError("sets: there is nothing to write; give at least one set with one source")
    for source, names in labels.items():
        if source not in examples or len(names) != 1 + len(examples[source][1]):
            raise InputError(
                f"axis_labels: {source!r} has labels {tuple(names)}; accepted: one label an axis of "
                f"{', '.join(examples)}"
            )


def _write_sources(
    file: h5py.File, arrays: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[tuple[str, str], tuple[int, int]]:
    bounds = {}
    for source in dict.fromkeys(s for members in arrays.values() for s in members):
        parts = {name: members[source] for name, members in arrays.items() if source in members}
        total, first = sum(map(len, parts.values())), next(iter(parts.values()))
        rows = min(total, max(1, CHUNK_BYTES // first[0].nbytes))
        target = file.create_dataset(
            source,
            (total, *first.shape[1:]),
            first.dtype,
            chunks=(rows, *first.shape[1:]),
            compression="gzip",
            compression_opts=9,
        )
        start = 0
        for name, part in parts.items():
            stop = start + len(part)
            target[start:stop] = part
            bounds[name, source] = start, stop
            start = stop
    return bounds


def _split_array(names: list[str], bounds: Mapping[tuple[str, str], tuple[int, int]]) -> np.ndarray:
    sources = sorted({source for _, source in bounds})
    pairs = [(name.encode(), source.encode()) for name, source in product(names, sources)]
    dtype = np.dtype(
        [
            ("split", f"S{max(len(name) for name, _ in pairs)}"),
            ("source", f"S{max(len(source) for _, source in pairs)}"),
            ("start", np.int64),
            ("stop", np.int64),
            ("indices", h5py.ref_dtype),
            ("available", np.bool_),
            ("comment", "S1"),
        ]
    )
    rows = [
        (name, source, *bounds.get(key, (0, 0)), h5py.Reference(), key in bounds, b".")
        for (name, source), key in zip(pairs, product(names, sources), strict=True)
    ]
    return np.array(rows, dtype)
