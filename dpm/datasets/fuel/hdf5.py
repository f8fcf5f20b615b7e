"""Data sets in the HDF5 layout of Fuel 0.2, read in its meaning and names (layout: hdf5_layout.py)."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.fuel import layout as hdf5_layout
from dpm.datasets.fuel import probe as hdf5_probe

# What h5py, or a field of another type than it should have, raises on a damaged file.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)

Request = slice | Sequence[int] | np.ndarray


class H5PYDataset:
    """The examples of one or several sets of a file in Fuel's layout.

    Several sets are joined; as in Fuel, the rows of a set given by indices come in increasing order and once.
    The file is opened when it is first needed, by each process for itself, after a process of its own has looked it
    through (hdf5_probe.py); `close` may be called at any time.

    Args:
        file: path of the file.
        which_sets: names of sets, such as ("train",).
        subset: of the sets' examples, a slice without a step or a list of positions, taken in increasing order; all
            if left out.
        load_in_memory: read everything now and leave the file alone afterwards.
        sources: the sources to give, in this order; all that the sets provide, sorted, if left out.

    Attributes:
        num_examples: number of examples in the sets together.
        provides_sources: names of the sources that every one of the sets has, sorted.
        sources: names of the sources that `get_data` gives.
        axis_labels: name of each source to the labels of its axes ("" where the file has none).
        shapes: name of each source to the shape of an example, None where each has its own.
        dtypes: name of each source to its numpy dtype.

    Raises InputError if the file is missing, damaged or not in Fuel's layout, and if it has no such set, source or
    subset.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        which_sets: Sequence[str] = ("train",),
        subset: slice | Sequence[int] | None = None,
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
                self._describe(self._handle(), subset, sources)
                if load_in_memory:
                    self._data = self._read(np.arange(self.num_examples))
        finally:
            self.close()

    def _describe(self, file: h5py.File, subset: slice | Sequence[int] | None, sources: Sequence[str] | None) -> None:
        table = hdf5_layout.split_table(file, self.path)
        self.provides_sources = hdf5_layout.provided_sources(table, self.which_sets, self.path)
        self.sources = self.provides_sources if sources is None else tuple(sources)
        if not self.sources or not set(self.sources) <= set(self.provides_sources):
            raise InputError(
                f"{self.path}: sources {self.sources} are not available in {', '.join(self.which_sets)}; "
                f"available: {', '.join(self.provides_sources) or 'none'}"
            )
        arrays = {source: hdf5_layout.source_array(file, source, self.path) for source in self.sources}
        self.axis_labels = {name: hdf5_layout.axis_labels(array) for name, array in arrays.items()}
        variable = {name: hdf5_layout.is_variable(array) for name, array in arrays.items()}
        self.shapes = {name: None if variable[name] else array.shape[1:] for name, array in arrays.items()}
        self.dtypes = {
            name: h5py.check_vlen_dtype(array.dtype) if variable[name] else array.dtype
            for name, array in arrays.items()
        }
        rows = {
            name: np.unique(
                np.concatenate([hdf5_layout.rows_of(file, table[key, name], array) for key in self.which_sets])
            )
            for name, array in arrays.items()
        }
        counts = {name: len(rows) for name, rows in rows.items()}
        if len(set(counts.values())) != 1:
            raise InputError(f"{self.path}: the sources differ in length, {counts}; convert the file again")
        kept = _subset(subset, next(iter(counts.values())))
        self._rows = {name: rows[kept] for name, rows in rows.items()}
        self.num_examples = len(kept)

    def get_data(self, request: Request) -> tuple[np.ndarray, ...]:
        """The requested examples, one array (n, ...) for each of `sources`, or (n,) of arrays of variable shape.

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

    def open(self) -> None:
        """Open the file now rather than when it is first needed."""
        with _reading(self.path):
            self._handle()

    def close(self) -> None:
        """Give the file back; a later request opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _read(self, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        file = self._handle()
        return tuple(hdf5_layout.take(file[source], self._rows[source][positions]) for source in self.sources)

    def _handle(self) -> h5py.File:
        if self._owner != os.getpid():
            # HDF5's state must not be shared with the process that forked this one.
            self.close()
            self._owner = os.getpid()
        if self._file is None:
            hdf5_probe.check(self.path)
            self._file = h5py.File(self.path, "r")
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}


def set_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the sets in a file, in its order. Raises InputError as H5PYDataset does."""
    path = Path(path)
    with _reading(path):
        hdf5_probe.check(path)
        with h5py.File(path, "r") as file:
            return tuple(dict.fromkeys(name for name, _ in hdf5_layout.split_table(file, path)))


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


def _subset(subset: slice | Sequence[int] | None, n: int) -> np.ndarray:
    """Positions in 0..n-1, increasing, as Fuel takes a subset."""
    if subset is None:
        return np.arange(n)
    if isinstance(subset, slice):
        kept = np.arange(n)[subset]
        if subset.step not in (None, 1) or not len(kept):
            raise InputError(f"subset: {subset} of {n} examples; accepted: a slice of step 1 that is not empty, a list")
        return kept
    if hasattr(subset, "__len__") and not len(subset):
        raise InputError("subset: is empty; name at least one position, or leave it out")
    return np.unique(_positions(subset, n, "subset"))


def _positions(request: Request, n: int, what: str = "request") -> np.ndarray:
    if isinstance(request, slice):
        return np.arange(n)[request]
    positions = np.asarray(request)
    if positions.size == 0 and positions.ndim == 1:
        return np.arange(0)
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        raise InputError(f"{what}: {request!r} is neither a slice nor a list or 1-d array of integers")
    if not 0 <= positions.min() <= positions.max() < n:
        raise InputError(f"{what}: positions {positions.min()}..{positions.max()}; accepted: 0..{n - 1}")
    return positions.astype(np.int64)
