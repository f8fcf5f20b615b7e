"""Data sets: named arrays, or sources, of examples."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from dpm.base.errors import InputError
from dpm.datasets.fuel.schemes import SequentialExampleScheme
from dpm.datasets.fuel.streams import AxisLabels, DataStream
from dpm.datasets.fuel.utils import Subset


class Dataset(ABC):
    """Base class of data sets; a subclass has `provides_sources` and overrides `get_data`.

    What changes while data are read is a state, which `open` returns and the caller keeps.

    Args:
        sources: Names of the sources to return; all if None.
        axis_labels: Labels of the axes by source.

    Attributes:
        provides_sources: Names of all sources.
        default_transformers: Tuples (transformer class, list of arguments, dict of keyword arguments).
        example_iteration_scheme: Scheme of `get_example_stream`.

    Raises:
        InputError: If there are no sources, or not those that were asked for.
    """

    provides_sources: Any = None
    default_transformers: tuple[Any, ...] = ()

    def __init__(self, sources: Sequence[str] | None = None, axis_labels: AxisLabels | None = None) -> None:
        if not self.provides_sources:
            raise InputError(f"provides_sources: {type(self).__name__} has none; give it the names of its sources")
        if sources is not None:
            if not sources or not set(sources) <= set(self.provides_sources):
                raise InputError(f"sources: got {sources}; available: {', '.join(self.provides_sources)}")
            self.sources = sources
        self.axis_labels: Any = axis_labels

    @property
    def sources(self) -> Any:
        """Names of the sources that `get_data` returns."""
        return getattr(self, "_sources", self.provides_sources)

    @sources.setter
    def sources(self, sources: Any) -> None:
        self._sources = sources

    def apply_default_transformers(self, stream: Any) -> Any:
        """Return a stream with the default transformers of this data set around it."""
        for transformer, arguments, keywords in self.default_transformers:
            stream = transformer(stream, *arguments, **keywords)
        return stream

    @property
    def example_iteration_scheme(self) -> Any:
        """Scheme of `get_example_stream`; None if examples come without requests."""
        if not hasattr(self, "_example_iteration_scheme"):
            raise AttributeError(f"{type(self).__name__} has no example_iteration_scheme; set it")
        return self._example_iteration_scheme

    @example_iteration_scheme.setter
    def example_iteration_scheme(self, value: Any) -> None:
        self._example_iteration_scheme = value

    def get_example_stream(self) -> DataStream:
        """Return a stream of single examples."""
        return DataStream(self, iteration_scheme=self.example_iteration_scheme)

    def open(self) -> Any:
        """Return the state at the beginning of the data; None if there is no state."""
        return None

    def reset(self, state: Any) -> Any:
        """Close a state and return a new one."""
        self.close(state)
        return self.open()

    def next_epoch(self, state: Any) -> Any:
        """Return the state for another epoch."""
        return self.reset(state)

    def close(self, state: Any) -> None:
        """Release what a state holds, such as an open file."""
        return None

    @abstractmethod
    def get_data(self, state: Any = None, request: Any = None) -> Any:
        """Return a tuple with the data of each of `sources`.

        Args:
            state: What `open` returned.
            request: Which examples, as an iteration scheme requests them.
        """

    def filter_sources(self, data: Sequence[Any]) -> tuple[Any, ...]:
        """Return the entries of `sources` from a tuple for all `provides_sources`."""
        pairs = zip(data, self.provides_sources, strict=False)
        return tuple(values for values, source in pairs if source in self.sources)


class IterableDataset(Dataset):
    """Examples from objects that can be iterated over; an epoch ends with the shortest.

    Args:
        iterables: {source: iterable}, or one iterable for the source "data".
        **kwargs: Arguments of Dataset.

    Raises:
        InputError: If an object is not iterable, or the lengths are known and differ.
    """

    example_iteration_scheme = None

    def __init__(self, iterables: Any, **kwargs: Any) -> None:
        named = iterables if isinstance(iterables, dict) else {"data": iterables}
        self.provides_sources = tuple(named)
        super().__init__(**kwargs)
        for source, iterable in named.items():
            if not isinstance(iterable, Iterable):
                raise InputError(f"iterables: {source!r} is {type(iterable).__name__}; expected an iterable object")
        self.iterables = [named[source] for source in self.sources]
        if all(hasattr(iterable, "__len__") for iterable in self.iterables):
            _check_lengths(dict(zip(self.sources, self.iterables, strict=True)))

    @property
    def num_examples(self) -> float:
        """Number of examples; nan if a length is not known."""
        if all(hasattr(iterable, "__len__") for iterable in self.iterables):
            return len(self.iterables[0])
        return float("nan")

    def open(self) -> Any:
        """Return an iterator over tuples of examples."""
        return zip(*self.iterables, strict=False)

    def get_data(self, state: Any = None, request: Any = None) -> tuple[Any, ...]:
        """Return the next example of a state.

        Raises:
            InputError: Without a state, or with a request.
        """
        if state is None or request is not None:
            raise InputError(
                f"request: got {request!r}, state {state!r}; expected None and a state; use a stream without a scheme"
            )
        return next(state)


class IndexableDataset(Dataset):
    """Examples from arrays or lists; each source is also an attribute.

    Args:
        indexables: {source: array or list}, or one for the source "data".
        start, stop: The examples to use, as those of a slice.
        **kwargs: Arguments of Dataset.

    Raises:
        InputError: If the sources differ in length.
    """

    def __init__(self, indexables: Any, start: int | None = None, stop: int | None = None, **kwargs: Any) -> None:
        named = indexables if isinstance(indexables, dict) else {"data": indexables}
        self.provides_sources = tuple(named)
        super().__init__(**kwargs)
        whole = start is None and stop is None  # so that a single object needs no slices
        self.indexables = [named[source] if whole else named[source][start:stop] for source in self.sources]
        _check_lengths(dict(zip(self.sources, self.indexables, strict=True)))
        self.example_iteration_scheme = SequentialExampleScheme(self.num_examples)
        self.start, self.stop = start, stop
        self.subset = Subset(slice(None), self.num_examples)

    def __getattr__(self, attr: str) -> Any:
        # Not the attributes that are missing while an object is copied or unpickled.
        if not attr.startswith("_") and attr not in ("indexables", "sources") and attr in self.sources:
            return self.indexables[self.sources.index(attr)]
        raise AttributeError(f"{type(self).__name__} has no attribute or source {attr!r}")

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.indexables[0])

    def get_data(self, state: Any = None, request: Any = None) -> tuple[Any, ...]:
        """Return examples.

        Args:
            state: None.
            request: A position, a slice or a list of positions.

        Raises:
            InputError: With a state, without a request, or as Subset.rows.
        """
        if state is not None or request is None:
            raise InputError(f"request: got {request!r}, state {state!r}; expected positions, and None as state")
        return tuple(self.subset.index_within_subset(indexable, request) for indexable in self.indexables)


def _check_lengths(members: dict[str, Any]) -> None:
    lengths = {source: len(values) for source, values in members.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"sources: differ in length, {lengths}; make them equal")
