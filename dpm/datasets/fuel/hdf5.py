"""Read data sets in the HDF5 layout of Fuel 0.2, with Fuel's names and semantics; layout.py describes the layout."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.fuel import layout, probe

# Errors that h5py, or a field of the wrong type, raises for a damaged file.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)

Request = slice | Sequence[int] | np.ndarray


class H5PYDataset:
    """The examples of one or several sets of a file in Fuel's layout.

    Several sets are joined. As in Fuel, rows of a set that is defined by indices come in increasing order, without
    repeats. Each process opens the file when it is first needed, after a subprocess has validated it (probe.py);
    `close` may be called at any time.

    Args:
        file: Path of the file.
        which_sets: Names of sets, such as ("train",).
        subset: Examples to use: a slice with step 1 or a list of positions, taken in increasing order; all if None.
        load_in_memory: Read everything now; the file is not used afterwards.
        sources: Sources to return, in this order; all that the sets provide, sorted, if None.

    Attributes:
        num_examples: Number of examples in all sets.
        provides_sources: Names of the sources that all sets have, sorted.
        sources: Names of the sources that `get_data` returns.
        axis_labels: Labels of the axes by source ("" if unlabeled).
        shapes: Shape of an example by source; None if the examples differ in shape.
        dtypes: numpy dtype by source.

    Raises:
        InputError: If the file is missing, damaged or not in Fuel's layout, or has no such set, source or subset.
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
        table = layout.split_table(file, self.path)
        self.provides_sources = layout.common_sources(table, self.which_sets, self.path)
        self.sources = self.provides_sources if sources is None else tuple(sources)
        if not self.sources or not set(self.sources) <= set(self.provides_sources):
            raise InputError(
                f"{self.path}: sources {self.sources} are not available in {', '.join(self.which_sets)}; "
                f"available: {', '.join(self.provides_sources) or 'none'}"
            )
        arrays = {source: layout.source_array(file, source, self.path) for source in self.sources}
        self.axis_labels = {name: layout.axis_labels(array) for name, array in arrays.items()}
        variable = {name: layout.is_variable(array) for name, array in arrays.items()}
        self.shapes = {name: None if variable[name] else array.shape[1:] for name, array in arrays.items()}
        self.dtypes = {
            name: h5py.check_vlen_dtype(array.dtype) if variable[name] else array.dtype
            for name, array in arrays.items()
        }
        rows = {
            name: np.unique(np.concatenate([layout.rows_of(file, table[key, name], array) for key in self.which_sets]))
            for name, array in arrays.items()
        }
        counts = {name: len(rows) for name, rows in rows.items()}
        if len(set(counts.values())) != 1:
            raise InputError(f"{self.path}: the sources differ in length, {counts}; convert the file again")
        kept = _subset(subset, next(iter(counts.values())))
        self._rows = {name: rows[kept] for name, rows in rows.items()}
        self.num_examples = len(kept)

    def get_data(self, request: Request) -> tuple[np.ndarray, ...]:
        """Return examples in the order of the request.

        Args:
            request: A slice, or positions 0 .. num_examples - 1 in any order, with repeats.

        Returns:
            For each of `sources` one array (n, ...), or an array (n,) of arrays if the examples differ in shape.

        Raises:
            InputError: For another kind of request, a position out of range, or a file that became unreadable.
        """
        positions = _positions(request, self.num_examples)
        if self._data is not None:
            return tuple(data[positions] for data in self._data)
        with _reading(self.path):
            return self._read(positions)

    def open(self) -> None:
        """Open the file now instead of when it is first needed."""
        with _reading(self.path):
            self._handle()

    def close(self) -> None:
        """Close the file; a later request opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _read(self, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        file = self._handle()
        return tuple(layout.take(file[source], self._rows[source][positions]) for source in self.sources)

    def _handle(self) -> h5py.File:
        if self._owner != os.getpid():
            # HDF5's state must not be shared with the parent process after a fork.
            self.close()
            self._owner = os.getpid()
        if self._file is None:
            probe.check_file(self.path)
            self._file = h5py.File(self.path, "r")
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}


def set_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of the sets in a file, in the order of the file.

    Raises:
        InputError: As H5PYDataset.
    """
    path = Path(path)
    with _reading(path):
        probe.check_file(path)
        with h5py.File(path, "r") as file:
            return tuple(dict.fromkeys(name for name, _ in layout.split_table(file, path)))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give the path of a file in Fuel's HDF5 layout") from error
    except DAMAGE as error:
        raise probe.explain(path, error) from error


def _subset(subset: slice | Sequence[int] | None, n: int) -> np.ndarray:
    """Return increasing positions in 0..n-1, Fuel's semantics of a subset."""
    if subset is None:
        return np.arange(n)
    if isinstance(subset, slice):
        kept = np.arange(n)[subset]
        if subset.step not in (None, 1) or not len(kept):
            raise InputError(f"subset: {subset} of {n} examples; accepted: a non-empty slice of step 1, or a list")
        return kept
    if hasattr(subset, "__len__") and not len(subset):
        raise InputError("subset: is empty; give at least one position, or leave it out")
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
