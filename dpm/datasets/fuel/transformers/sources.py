"""Transformers that map, filter, merge, rename and select."""

from collections.abc import Callable, Sequence
from typing import Any

from dpm.base.errors import InputError
from dpm.datasets.fuel.streams import AbstractDataStream, AxisLabels
from dpm.datasets.fuel.transformers.base import AgnosticTransformer, Transformer, keep_labels, refuse_request


class Mapping(Transformer):
    """Apply a function to each example or batch.

    Args:
        data_stream: The stream to transform.
        mapping: Function from a tuple with an entry for each source to another such tuple.
        add_sources: Names for the entries of the result, which then follow the original ones; without them the result
            replaces the data.
        **kwargs: Arguments of AbstractDataStream.
    """

    def __init__(
        self,
        data_stream: Any,
        mapping: Callable[[Any], Any],
        add_sources: tuple[str, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_stream, data_stream.produces_examples, **kwargs)
        self.mapping, self.add_sources = mapping, add_sources

    @property  # type: ignore[misc]
    def sources(self) -> Any:
        """Names of the sources, with the added ones."""
        return self.data_stream.sources + (self.add_sources or ())

    def get_data(self, request: Any = None) -> Any:
        """Return the next data, mapped."""
        refuse_request(request)
        data = next(self.child_epoch_iterator)
        mapped = self.mapping(data)
        return data + mapped if self.add_sources else mapped


class Filter(Transformer):
    """Keep the examples or batches for which a function is true.

    Args:
        data_stream: The stream to filter.
        predicate: Function of a tuple with an entry for each source.
        **kwargs: Arguments of AbstractDataStream.
    """

    def __init__(self, data_stream: Any, predicate: Callable[[Any], Any], **kwargs: Any) -> None:
        keep_labels(kwargs, data_stream)
        super().__init__(data_stream, data_stream.produces_examples, **kwargs)
        self.predicate = predicate

    def get_data(self, request: Any = None) -> Any:
        """Return the next data that the predicate keeps."""
        refuse_request(request)
        return next(filter(self.predicate, self.child_epoch_iterator))


class Merge(AbstractDataStream):
    """Join the sources of several streams; an epoch ends with the shortest.

    Args:
        data_streams: Streams that all give examples, or all batches.
        sources: New names for all their sources, in order.
        axis_labels: Labels of the axes by new name.

    Raises:
        InputError: If the streams are mixed, or the number of names is another one.
    """

    def __init__(
        self, data_streams: Sequence[Any], sources: Sequence[str], axis_labels: AxisLabels | None = None
    ) -> None:
        super().__init__(iteration_scheme=None, axis_labels=axis_labels)
        if len({stream.produces_examples for stream in data_streams}) != 1:
            raise InputError("data_streams: give both examples and batches, or there are none; give some of one kind")
        n = sum(len(stream.sources) for stream in data_streams)
        if n != len(sources):
            raise InputError(f"sources: got {len(sources)} names; expected one for each of {n} sources")
        self.data_streams, self.sources = data_streams, sources
        self.produces_examples = data_streams[0].produces_examples

    def close(self) -> None:
        """Release files."""
        for stream in self.data_streams:
            stream.close()

    def reset(self) -> None:
        """Start from the beginning of the data."""
        for stream in self.data_streams:
            stream.reset()

    def next_epoch(self) -> None:
        """Prepare the data for another epoch."""
        for stream in self.data_streams:
            stream.next_epoch()

    def get_epoch_iterator(self, as_dict: bool = False) -> Any:
        """Return one epoch, which is one of each stream."""
        self.child_epoch_iterators = [stream.get_epoch_iterator() for stream in self.data_streams]
        return super().get_epoch_iterator(as_dict=as_dict)

    def get_data(self, request: Any = None) -> tuple[Any, ...]:
        """Return the next data of all streams, joined."""
        refuse_request(request)
        joined: list[Any] = []
        for iterator in self.child_epoch_iterators:
            joined.extend(next(iterator))
        return tuple(joined)


class Rename(AgnosticTransformer):
    """Give sources other names.

    Args:
        data_stream: The stream.
        names: New name by old name.
        **kwargs: Arguments of AbstractDataStream.

    Raises:
        KeyError: If there is no source of an old name.
    """

    def __init__(self, data_stream: Any, names: dict[str, str], **kwargs: Any) -> None:
        if unknown := [name for name in names if name not in data_stream.sources]:
            raise KeyError(f"names: the stream has no {', '.join(unknown)}; its sources: {data_stream.sources}")
        self.sources = tuple(names.get(source, source) for source in data_stream.sources)
        if labels := data_stream.axis_labels:
            kwargs.setdefault("axis_labels", {names.get(source, source): axes for source, axes in labels.items()})
        super().__init__(data_stream, data_stream.produces_examples, **kwargs)

    def transform_any(self, data: Any) -> Any:
        """Return the data unchanged."""
        return data


class FilterSources(AgnosticTransformer):
    """Keep some sources, in the order of the stream.

    Args:
        data_stream: The stream.
        sources: Names of the sources to keep.
        **kwargs: Arguments of AbstractDataStream.

    Raises:
        InputError: If the stream has no such source.
    """

    def __init__(self, data_stream: Any, sources: Sequence[str], **kwargs: Any) -> None:
        if unknown := [source for source in sources if source not in data_stream.sources]:
            raise InputError(f"sources: got {', '.join(unknown)}; expected some of {', '.join(data_stream.sources)}")
        if labels := data_stream.axis_labels:
            kwargs.setdefault("axis_labels", {source: axes for source, axes in labels.items() if source in sources})
        super().__init__(data_stream, data_stream.produces_examples, **kwargs)
        self.sources = tuple(source for source in data_stream.sources if source in sources)

    def transform_any(self, data: Any) -> tuple[Any, ...]:
        """Return the data of the kept sources."""
        pairs = zip(data, self.data_stream.sources, strict=True)
        return tuple(values for values, source in pairs if source in self.sources)
