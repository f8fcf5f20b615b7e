"""Base classes of transformers: streams around another stream."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from dpm.base.errors import InputError
from dpm.datasets.fuel.exceptions import AxisLabelsMismatchError
from dpm.datasets.fuel.streams import AbstractDataStream

KINDS = {True: "examples", False: "batches"}

log = logging.getLogger(__name__)


class ExpectsAxisLabels:
    """Mixin for transformers of sources with known axes."""

    def verify_axis_labels(self, expected: tuple[str, ...], actual: tuple[str, ...] | None, source_name: str) -> None:
        """Compare the labels of a source with the expected ones, at the first call for this source.

        Args:
            expected: Labels that the transformer needs.
            actual: Labels of the source; None, if they are not known, is a warning of the log.
            source_name: Name of the source.

        Raises:
            AxisLabelsMismatchError: If they differ.
        """
        verified = self.__dict__.setdefault("_verified", set())
        if source_name in verified:
            return
        if actual is None:
            log.warning("%s: axes of %s are not labeled, expected %s", type(self).__name__, source_name, expected)
        elif expected != actual:
            raise AxisLabelsMismatchError(
                f"{type(self).__name__}: got axes {actual} of {source_name}; expected {expected}"
            )
        verified.add(source_name)


class Transformer(AbstractDataStream):
    """A stream that changes the data of another stream.

    A subclass overrides `transform_example`, `transform_batch` or both; or `get_data`, if it turns one into the other.

    Args:
        data_stream: The stream around which this one stands.
        produces_examples: True if this stream gives single examples, False if batches.
        **kwargs: Arguments of AbstractDataStream.

    Attributes:
        child_epoch_iterator: The current epoch of `data_stream`.
    """

    def __init__(self, data_stream: Any, produces_examples: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if produces_examples is not None:
            self.produces_examples = produces_examples
        self.data_stream = data_stream

    @property
    def sources(self) -> Any:
        """Names of the sources, those of `data_stream` unless they were set."""
        return getattr(self, "_sources", None) or self.data_stream.sources

    @sources.setter
    def sources(self, value: Any) -> None:
        self._sources = value

    def close(self) -> None:
        """Release files."""
        self.data_stream.close()

    def reset(self) -> None:
        """Start from the beginning of the data."""
        self.data_stream.reset()

    def next_epoch(self) -> None:
        """Prepare the data for another epoch."""
        self.data_stream.next_epoch()

    def get_epoch_iterator(self, as_dict: bool = False) -> Any:
        """Return one epoch, which is one of `data_stream`; see AbstractDataStream."""
        self.child_epoch_iterator = self.data_stream.get_epoch_iterator()
        return super().get_epoch_iterator(as_dict=as_dict)

    def get_data(self, request: Any = None) -> Any:
        """Return the next data, transformed.

        Raises:
            InputError: With a request.
            NotImplementedError: If `data_stream` gives examples and this stream batches, or the reverse.
        """
        refuse_request(request)
        data = next(self.child_epoch_iterator)
        if self.produces_examples != self.data_stream.produces_examples:
            raise NotImplementedError(
                f"{type(self).__name__}: gives {KINDS[self.produces_examples]}, its stream "
                f"{KINDS[self.data_stream.produces_examples]}; give it a stream of {KINDS[self.produces_examples]}"
            )
        return self.transform_example(data) if self.produces_examples else self.transform_batch(data)

    def transform_example(self, example: Any) -> Any:
        """Return an example, transformed."""
        raise _not_supported(self, "examples")

    def transform_batch(self, batch: Any) -> Any:
        """Return a batch, transformed."""
        raise _not_supported(self, "batches")


class AgnosticTransformer(Transformer, ABC):
    """A transformer that treats examples and batches alike; a subclass overrides `transform_any`."""

    @abstractmethod
    def transform_any(self, data: Any) -> Any:
        """Return an example or batch, transformed."""

    def transform_example(self, example: Any) -> Any:
        """Return an example, transformed."""
        return self.transform_any(example)

    def transform_batch(self, batch: Any) -> Any:
        """Return a batch, transformed."""
        return self.transform_any(batch)


class SourcewiseTransformer(Transformer):
    """A transformer of each source; a subclass overrides `transform_source_example`, `transform_source_batch` or both.

    Args:
        data_stream: The stream around which this one stands.
        produces_examples: True if this stream gives single examples, False if batches.
        which_sources: Names of the sources to transform; all if None.
        **kwargs: Arguments of AbstractDataStream.
    """

    def __init__(
        self, data_stream: Any, produces_examples: bool, which_sources: Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        self.which_sources = data_stream.sources if which_sources is None else which_sources
        super().__init__(data_stream, produces_examples, **kwargs)

    def transform_source_example(self, source_example: Any, source_name: str) -> Any:
        """Return one source of an example, transformed."""
        raise _not_supported(self, "examples")

    def transform_source_batch(self, source_batch: Any, source_name: str) -> Any:
        """Return one source of a batch, transformed."""
        raise _not_supported(self, "batches")

    def transform_example(self, example: Any) -> Any:
        """Return an example with the chosen sources transformed."""
        return self._transform_sources(example, self.transform_source_example)

    def transform_batch(self, batch: Any) -> Any:
        """Return a batch with the chosen sources transformed."""
        return self._transform_sources(batch, self.transform_source_batch)

    def _transform_sources(self, data: Any, transform: Callable[[Any, str], Any]) -> tuple[Any, ...]:
        return tuple(
            transform(values, source) if source in self.which_sources else values
            for values, source in zip(data, self.data_stream.sources, strict=True)
        )


class AgnosticSourcewiseTransformer(AgnosticTransformer, SourcewiseTransformer):
    """A sourcewise transformer that treats examples and batches alike; a subclass overrides `transform_any_source`."""

    def transform_any(self, data: Any) -> Any:
        """Return an example or batch with the chosen sources transformed."""
        return self._transform_sources(data, self.transform_any_source)

    @abstractmethod
    def transform_any_source(self, source_data: Any, source_name: str) -> Any:
        """Return one source of an example or batch, transformed."""


def refuse_request(request: Any) -> None:
    """Raise InputError if there is a request, for streams that take none."""
    if request is not None:
        raise InputError(f"request: got {request!r}; expected None, the stream inside has the iteration scheme")


def require_batches(data_stream: Any) -> None:
    """Raise InputError if a stream gives single examples."""
    if data_stream.produces_examples:
        raise InputError("data_stream: gives single examples; give one of batches, such as Batch(...)")


def keep_labels(kwargs: dict[str, Any], data_stream: Any, change: Callable[[str, Any], Any] | None = None) -> None:
    """Set the labels of a new stream to those of `data_stream`, changed by a function of source and labels.

    Labels that are already in `kwargs` are kept.
    """
    if labels := data_stream.axis_labels:
        changed = {source: change(source, axes) if change else axes for source, axes in labels.items()}
        kwargs.setdefault("axis_labels", changed)


def _not_supported(transformer: Transformer, kind: str) -> NotImplementedError:
    return NotImplementedError(f"{type(transformer).__name__}: does not take {kind}, which its stream gives")
