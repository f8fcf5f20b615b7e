"""Positions within a data set, and the folders of data sets."""

import os
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import h5py
import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.fuel.config_parser import config
from dpm.datasets.fuel.exceptions import FileNotInPathError

Request = int | slice | Sequence[int] | np.ndarray


class Subset:
    """Some examples of a data set, in increasing order without repeats.

    Args:
        list_or_slice: Positions in any order, or a slice of step 1.
        original_num_examples: Number of examples of the data set.

    Attributes:
        list_or_slice: The slice, or the positions as a list; a slice if they are neighbors.

    Raises:
        InputError: For a slice with another step, or positions outside the data set.
    """

    def __init__(self, list_or_slice: Request, original_num_examples: int) -> None:
        self.original_num_examples = original_num_examples
        if isinstance(list_or_slice, slice):
            if list_or_slice.step not in (None, 1):
                raise InputError(f"subset: {list_or_slice}; accepted: a slice of step 1, or a list")
            self._rows = np.arange(original_num_examples)[list_or_slice]
            self.list_or_slice: Any = list_or_slice
        else:
            self._rows = np.unique(check_positions(list_or_slice, original_num_examples, "subset"))
            self.list_or_slice = _shorten(self._rows)

    def __add__(self, other: "Subset") -> "Subset":
        if self.original_num_examples != other.original_num_examples:
            raise InputError(
                f"subset: of {self.original_num_examples} examples, the other of {other.original_num_examples}; "
                "add subsets of one data set"
            )
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        return Subset(np.concatenate([self._rows, other._rows]), self.original_num_examples)

    def __getitem__(self, key: Request) -> Any:
        """Return the positions in the data set of a request within this subset, as a list or a slice."""
        if isinstance(key, slice) and key == slice(None):
            return self.list_or_slice
        rows = self.rows(key)
        steps = np.diff(rows)
        if isinstance(key, slice) and not self.is_list and len(rows) and (steps == steps[:1]).all():
            step = int(steps[0]) if len(steps) else 1
            if step > 0:
                return slice(int(rows[0]), int(rows[-1]) + step, step)
        return rows.tolist()

    def rows(self, request: Request) -> np.ndarray:
        """Return the positions in the data set of a request within this subset.

        Args:
            request: A slice, or positions below num_examples in any order, with repeats.

        Returns:
            Positions (n,).

        Raises:
            InputError: For another kind of request, or a position out of range.
        """
        return self._rows[check_positions(request, self.num_examples, "request")]

    @classmethod
    def subset_of(cls, subset: "Subset", list_or_slice: Request) -> "Subset":
        """Return the part of a subset that `list_or_slice` selects within it."""
        inner = cls(list_or_slice, subset.num_examples)
        if inner.num_examples == subset.num_examples:
            return subset
        return cls(subset._rows[inner._rows], subset.original_num_examples)

    @classmethod
    def empty_subset(cls, original_num_examples: int) -> "Subset":
        """Return a subset without examples."""
        return cls([], original_num_examples)

    @staticmethod
    def sorted_fancy_indexing(indexable: Any, request: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the items at positions in any order, with repeats, of an array that takes increasing ones."""
        unique, inverse = np.unique(np.asarray(request), return_inverse=True)
        return indexable[unique][inverse]

    @staticmethod
    def slice_to_numerical_args(slice_: slice, num_examples: int) -> tuple[int, int, int]:
        """Return start, stop and step of a slice with their defaults filled in."""
        start, stop, step = slice_.start, slice_.stop, slice_.step
        return (
            0 if start is None else start,
            num_examples if stop is None else stop,
            1 if step is None else step,
        )

    def get_list_representation(self) -> list[int]:
        """Return the positions of the examples."""
        return self._rows.tolist()

    def index_within_subset(self, indexable: Any, subset_request: Request, sort_indices: bool = False) -> Any:
        """Return items of an object that holds the whole data set.

        Args:
            indexable: An array, or any object with integer and slice indexing, such as a list.
            subset_request: A position within the subset, a slice, or a list of positions.
            sort_indices: Read a list in increasing order and reorder the result.

        Returns:
            For a position one item; otherwise an array or, from an object that is no array, a list.

        Raises:
            InputError: As `rows`.
        """
        if isinstance(subset_request, Integral):
            return indexable[int(self.rows([int(subset_request)])[0])]
        request = self[subset_request]
        if isinstance(request, slice):
            return indexable[request]
        if sort_indices:
            return self.sorted_fancy_indexing(indexable, request)
        if isinstance(indexable, np.ndarray | h5py.Dataset):
            return indexable[request]
        return [indexable[row] for row in request]

    @property
    def is_list(self) -> bool:
        """True if `list_or_slice` is a list."""
        return not isinstance(self.list_or_slice, slice)

    @property
    def num_examples(self) -> int:
        """Number of examples in the subset."""
        return len(self._rows)

    @property
    def is_empty(self) -> bool:
        """True if the subset has no examples."""
        return not len(self._rows)


def check_positions(request: Request, n: int, name: str) -> np.ndarray:
    """Return the positions (k,) of a request for some of n examples.

    Raises:
        InputError: If it is neither a slice nor positions 0 .. n - 1; `name` begins the message.
    """
    if isinstance(request, slice):
        return np.arange(n)[request]
    positions = np.asarray(request)
    if positions.size == 0 and positions.ndim == 1:
        return np.arange(0)
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        raise InputError(f"{name}: {request!r} is neither a slice nor a list or 1-d array of integers")
    if not 0 <= positions.min() <= positions.max() < n:
        raise InputError(f"{name}: positions {positions.min()}..{positions.max()}; accepted: 0..{n - 1}")
    return positions.astype(np.int64)


def find_in_data_path(filename: str) -> str:
    """Return the path of a file in the first folder of `config.data_path` that has it.

    Args:
        filename: Its name, such as "mnist.hdf5".

    Raises:
        FileNotInPathError: If no folder has it.
        ConfigurationError: If `data_path` is not set.
    """
    folders = [os.path.expanduser(os.path.expandvars(folder)) for folder in config.data_path]
    for folder in folders:
        if os.path.isfile(path := os.path.join(folder, filename)):
            return path
    raise FileNotInPathError(
        f"{filename}: is in none of the folders {', '.join(folders)}; put it there (python -m dpm datasets convert "
        "makes some), or set FUEL_DATA_PATH to its folder"
    )


def do_not_pickle_attributes(*lazy_properties: str) -> Callable[[type], type]:
    """Return a class decorator that leaves attributes out of pickles; `load` sets them again when they are needed.

    A class with its own `__getstate__` decides itself what a pickle has.

    Args:
        *lazy_properties: Names of the attributes.

    Raises:
        InputError: If the class has no method `load`.
    """

    def decorate(cls: type) -> type:
        if not hasattr(cls, "load"):
            raise InputError(f"{cls.__name__}: has no method load; add one that sets {', '.join(lazy_properties)}")
        for name in lazy_properties:
            setattr(cls, name, _lazy_property(f"_{name}"))
        if cls.__getstate__ is object.__getstate__:
            kept_out = {f"_{name}" for name in lazy_properties}
            cls.__getstate__ = lambda self: {k: v for k, v in self.__dict__.items() if k not in kept_out}  # type: ignore
        return cls

    return decorate


def _lazy_property(stored: str) -> property:
    def get(self: Any) -> Any:
        if stored not in self.__dict__:
            self.load()
        if stored not in self.__dict__:
            raise InputError(f"{stored[1:]}: was not set by the method load of {type(self).__name__}")
        return self.__dict__[stored]

    def set_(self: Any, value: Any) -> None:
        self.__dict__[stored] = value

    return property(get, set_)


def _shorten(rows: np.ndarray) -> Any:
    """Return increasing positions as a slice if they are neighbors, otherwise as a list."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1, None)
    return rows.tolist()
