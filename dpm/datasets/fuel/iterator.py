"""One epoch of a stream."""

from collections.abc import Iterator
from typing import Any


class DataIterator:
    """The data of a stream for each request; it can be pickled if the stream and the requests can.

    Args:
        data_stream: A DataStream or Transformer.
        request_iterator: Requests of the epoch; None if the stream takes none.
        as_dict: Give {source: data} instead of tuples in the order of `data_stream.sources`.
    """

    def __init__(self, data_stream: Any, request_iterator: Iterator[Any] | None = None, as_dict: bool = False) -> None:
        self.data_stream, self.request_iterator, self.as_dict = data_stream, request_iterator, as_dict

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.request_iterator is None:
            data = self.data_stream.get_data()
        else:
            data = self.data_stream.get_data(next(self.request_iterator))
        return dict(zip(self.data_stream.sources, data, strict=False)) if self.as_dict else data
