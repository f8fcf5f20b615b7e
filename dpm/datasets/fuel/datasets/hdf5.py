"""Data sets in the HDF5 layout of Fuel 0.2; layout.py describes the layout."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import h5py
import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.fuel import layout, probe
from dpm.datasets.fuel.datasets.base import Dataset
from dpm.datasets.fuel.schemes import SequentialExampleScheme
from dpm.datasets.fuel.utils import Request, Subset, check_positions

# Errors that h5py, or a field of the wrong type, raises for a damaged file.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
DRIVERS = (None, "sec2", "stdio", "core")  # the drivers of h5py that read one ordinary file

FilePath = str | os.PathLike[str]


class H5PYDataset(Dataset):
    """The examples of one or several sets of a file in Fuel's layout.

    Several sets are joined; their rows come in increasing order, without repeats. Each process opens the file when it
    is first needed, after a subprocess has validated it (probe.py); `close` may be called at any time. An h5py.File is
    used as it is, without validation. A pickled data set holds no data and reads them again when they are needed.

    Args:
        file_or_path: Path of the file, or an open h5py.File, which stays open.
        which_sets: Names of sets, such as ("train",).
        subset: Examples to use: a slice with step 1 or a list of positions, taken in increasing order; all if None.
        load_in_memory: Read everything now; the file is not used afterwards.
        driver: Driver of h5py: None, "sec2", "stdio" or "core".
        sort_indices: Read lists in increasing order and reorder the result; if False, refuse lists that are not
            increasing.
        **kwargs: `sources`, the sources to return in this order, all that the sets provide, sorted, if None; and
            `axis_labels` instead of those of the file.

    Attributes:
        provides_sources: Names of the sources that all sets have, sorted.
        sources: Names of the sources that `get_data` returns.
        axis_labels: Labels of the axes of each source of the file ("" if unlabeled).
        vlen_sources: Names of the sources whose examples differ in shape.
        subsets: The rows of each of `sources`.
        shapes: Shape of an example by source; None if the examples differ in shape.
        dtypes: numpy dtype by source.

    Raises:
        InputError: If the file is missing, damaged or not in Fuel's layout, or has no such set, source or subset.
    """

    interface_version = layout.INTERFACE_VERSION

    def __init__(
        self,
        file_or_path: FilePath | h5py.File,
        which_sets: Sequence[str],
        subset: slice | Sequence[int] | None = None,
        load_in_memory: bool = False,
        driver: str | None = None,
        sort_indices: bool = True,
        **kwargs: Any,
    ) -> None:
        external: Any = file_or_path if isinstance(file_or_path, h5py.File) else None
        self.path: Any = file_or_path if external is None else external.filename
        if isinstance(which_sets, str) or not all(isinstance(name, str) for name in which_sets):
            raise InputError(f"which_sets: got {which_sets!r}; expected several names, such as ('train',)")
        if driver not in DRIVERS:
            raise InputError(f"driver: got {driver!r}; expected {', '.join(map(repr, DRIVERS))}")
        self.which_sets, self.user_given_subset = which_sets, subset
        self.load_in_memory, self.driver, self.sort_indices = load_in_memory, driver, sort_indices
        self.external_file_handle = external
        self._file: h5py.File | None = None
        self._owner = os.getpid()
        self._data: tuple[np.ndarray, ...] | None = None
        try:
            with _reading(self.path):
                self._describe(self._handle(), kwargs.get("sources"))
            kwargs.setdefault("axis_labels", self.default_axis_labels)
            super().__init__(**kwargs)
            self.load()
        finally:
            self.close(None)
        self.example_iteration_scheme = SequentialExampleScheme(self.num_examples)

    def _describe(self, file: h5py.File, sources: Sequence[str] | None) -> None:
        table = layout.split_table(file, self.path)
        self.provides_sources = layout.common_sources(table, tuple(self.which_sets), self.path)
        if not self.provides_sources:
            raise InputError(f"{self.path}: {', '.join(self.which_sets)} have no source in common; name other sets")
        if not set(sources or ()) <= set(self.provides_sources):
            raise InputError(
                f"{self.path}: sources {sources} are not available in {', '.join(self.which_sets)}; "
                f"available: {', '.join(self.provides_sources)}"
            )
        self.vlen_sources, self.default_axis_labels = self.get_vlen_sources(file), self.get_axis_labels(file)

    def load(self) -> None:
        """Read the rows of the subsets, and the examples if they are kept in memory.

        Raises:
            InputError: If the sources differ in length, or there is no such subset.
        """
        with _reading(self.path):
            file = self._handle()
            arrays = {source: layout.source_array(file, source, self.path) for source in self.sources}
            self.shapes = {s: None if s in self.vlen_sources else array.shape[1:] for s, array in arrays.items()}
            self.dtypes = {
                source: h5py.check_vlen_dtype(array.dtype) if source in self.vlen_sources else array.dtype
                for source, array in arrays.items()
            }
            subsets = self.get_subsets(file, self.which_sets, self.sources)
            counts = {source: subset.num_examples for source, subset in zip(self.sources, subsets, strict=True)}
            if len(set(counts.values())) != 1:
                raise InputError(f"{self.path}: the sources differ in length, {counts}; convert the file again")
            self.subsets = [_part(subset, self.user_given_subset) for subset in subsets]
            if self.load_in_memory:
                self._data = self._read(slice(None))

    @property
    def num_examples(self) -> int:
        """Number of examples in all sets."""
        return self.subsets[0].num_examples

    @property
    def data_sources(self) -> tuple[np.ndarray, ...] | None:
        """The examples of each of `sources` if they are kept in memory, otherwise None."""
        if self.load_in_memory and self._data is None:
            try:
                self.load()
            finally:
                self.close(None)
        return self._data

    def get_data(self, state: Any = None, request: Any = None) -> tuple[Any, ...]:
        """Return examples in the order of the request.

        Args:
            state: What `open` returned.
            request: A slice, or positions 0 .. num_examples - 1 in any order, with repeats; or one position.

        Returns:
            For each of `sources` one array (n, ...), or an array (n,) of arrays if the examples differ in shape; for
            one position the example without the axis n.

        Raises:
            InputError: For another kind of request, a position out of range, a state together with `load_in_memory`,
                or a file that became unreadable.
        """
        single = isinstance(request, Integral) and not isinstance(request, bool)
        rows: Request = [int(request)] if single else request
        if self.data_sources is not None:
            if state is not None:
                raise InputError(f"state: got {state!r}; expected None, since the examples are in memory")
            positions = check_positions(rows, self.num_examples, "request")
            data = tuple(values[positions] for values in self.data_sources)
        else:
            with _reading(self.path):
                data = self._read(rows)
        return tuple(values[0] for values in data) if single else data

    def open(self) -> None:
        """Open the file now instead of when it is first needed; the state of the data set is None, as in Fuel 0.2."""
        if not self.load_in_memory:
            with _reading(self.path):
                self._handle()

    def close(self, state: Any) -> None:
        """Close the file; a later request opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _read(self, request: Request) -> tuple[np.ndarray, ...]:
        file = self._handle()
        rows = [subset.rows(request) for subset in self.subsets]
        if not self.sort_indices and (np.diff(rows[0]) <= 0).any():
            raise InputError("request: is not increasing; sort it, or use sort_indices=True")
        return tuple(layout.take(file[source], part) for source, part in zip(self.sources, rows, strict=True))

    def _handle(self) -> h5py.File:
        if self.external_file_handle is not None:
            return self.external_file_handle
        if self._owner != os.getpid():
            # HDF5's state must not be shared with the parent process after a fork.
            self.close(None)
            self._owner = os.getpid()
        if self._file is None:
            probe.check_file(self.path)
            self._file = h5py.File(self.path, "r", driver=self.driver)
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_data": None, "external_file_handle": None}

    @staticmethod
    def create_split_array(split_dict: Mapping[str, Mapping[str, Sequence[Any]]]) -> np.ndarray:
        """Return the array for the root attribute `split` of a file; see layout.split_array."""
        return layout.split_array(split_dict)

    @staticmethod
    def get_all_splits(h5file: h5py.File) -> tuple[str, ...]:
        """Return the names of the sets of an open file, in its order."""
        return tuple(dict.fromkeys(name for name, _ in layout.split_table(h5file, h5file.filename)))

    @staticmethod
    def get_all_sources(h5file: h5py.File) -> tuple[str, ...]:
        """Return the names of the sources of an open file, in its order."""
        return tuple(dict.fromkeys(source for _, source in layout.split_table(h5file, h5file.filename)))

    @staticmethod
    def get_provided_sources(h5file: h5py.File, split: str) -> tuple[str, ...]:
        """Return the names of the sources that a set of an open file has."""
        table = layout.split_table(h5file, h5file.filename)
        return tuple(source for (name, source), row in table.items() if name == split and row.available)

    @staticmethod
    def get_vlen_sources(h5file: h5py.File) -> list[str]:
        """Return the names of the sources of an open file whose examples differ in shape."""
        return [source for source in H5PYDataset.get_all_sources(h5file) if layout.is_variable(h5file[source])]

    @staticmethod
    def get_axis_labels(h5file: h5py.File) -> dict[str, tuple[str, ...]]:
        """Return the labels of the axes by source ("" if unlabeled) of an open file."""
        return {source: layout.axis_labels(h5file[source]) for source in H5PYDataset.get_all_sources(h5file)}

    @staticmethod
    def get_subsets(h5file: h5py.File, splits: Sequence[str], sources: Sequence[str]) -> list[Subset]:
        """Return for each source the rows of all the given sets of an open file."""
        table = layout.split_table(h5file, h5file.filename)
        return [
            Subset(
                np.concatenate([layout.rows_of(h5file, table[name, source], h5file[source]) for name in splits]),
                len(h5file[source]),
            )
            for source in sources
        ]


def set_names(path: FilePath) -> tuple[str, ...]:
    """Return the names of the sets in a file, in the order of the file.

    Raises:
        InputError: As H5PYDataset.
    """
    with _reading(path):
        probe.check_file(path)
        with h5py.File(path, "r") as file:
            return H5PYDataset.get_all_splits(file)


@contextmanager
def _reading(path: FilePath) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give the path of a file in Fuel's HDF5 layout") from error
    except DAMAGE as error:
        raise probe.explain(path, error) from error


def _part(subset: Subset, selected: slice | Sequence[int] | None) -> Subset:
    """Return the part of a subset that a user selected; nothing is refused, but a set without examples is not."""
    if selected is None:
        return subset
    part = Subset.subset_of(subset, selected)
    if part.is_empty:
        raise InputError(f"subset: {selected} of {subset.num_examples} examples; accepted: at least one example")
    return part
