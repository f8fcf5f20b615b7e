"""Streams of data: the examples or batches of a data set, epoch after epoch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from dpm.base.errors import InputError
from dpm.datasets.fuel.iterator import DataIterator
from dpm.datasets.fuel.schemes import IterationScheme

AxisLabels = dict[str, Any]


class AbstractDataStream(ABC):
    """Data in epochs, each an iterator over examples or batches.

    Args:
        iteration_scheme: Requests of an epoch; None if the stream takes no requests.
        axis_labels: Labels of the axes by source.

    Attributes:
        sources: Names of the arrays that an example or batch consists of.
    """

    sources: Any

    def __init__(self, iteration_scheme: IterationScheme | None = None, axis_labels: AxisLabels | None = None) -> None:
        self.iteration_scheme = iteration_scheme
        self.axis_labels: Any = axis_labels

    @property
    def produces_examples(self) -> bool:
        """True if the stream gives single examples, False if batches.

        Raises:
            InputError: On reading if there is no scheme and it was not set; on setting if there is a scheme.
        """
        if self.iteration_scheme:
            return self.iteration_scheme.requests_examples
        if not hasattr(self, "_produces_examples"):
            raise InputError(f"produces_examples: is not known for {type(self).__name__}; set it to True or False")
        return self._produces_examples

    @produces_examples.setter
    def produces_examples(self, value: bool) -> None:
        if self.iteration_scheme:
            raise InputError(f"produces_examples: {type(self.iteration_scheme).__name__} determines it; do not set it")
        self._produces_examples = value

    @abstractmethod
    def get_data(self, request: Any = None) -> Any:
        """Return the data of a request, a tuple with one entry for each source."""

    @abstractmethod
    def reset(self) -> None:
        """Start from the beginning of the data."""

    @abstractmethod
    def close(self) -> None:
        """Release files."""

    @abstractmethod
    def next_epoch(self) -> None:
        """Prepare the data for another epoch."""

    @abstractmethod
    def get_epoch_iterator(self, as_dict: bool = False) -> Any:
        """Return one epoch.

        Args:
            as_dict: Give {source: data} instead of tuples.
        """
        requests = self.iteration_scheme.get_request_iterator() if self.iteration_scheme else None
        return DataIterator(self, requests, as_dict=as_dict)

    def iterate_epochs(self, as_dict: bool = False) -> Iterator[Any]:
        """Yield one epoch after another, without end."""
        while True:
            yield self.get_epoch_iterator(as_dict=as_dict)


class DataStream(AbstractDataStream):
    """The data of a data set in the order of a scheme.

    Args:
        dataset: The data set.
        **kwargs: iteration_scheme and axis_labels of AbstractDataStream. The labels are those of the data set by
            default. Without a scheme the stream gives single examples.
    """

    def __init__(self, dataset: Any, **kwargs: Any) -> None:
        if dataset.axis_labels:
            kwargs.setdefault("axis_labels", dict(dataset.axis_labels))
        super().__init__(**kwargs)
        if not self.iteration_scheme:
            self.produces_examples = True
        if self.produces_examples and self.axis_labels:
            self.axis_labels = {
                source: labels and tuple(label for label in labels if label != "batch")
                for source, labels in self.axis_labels.items()
            }
        self.dataset = dataset
        self.data_state = dataset.open()
        self._fresh_state = True

    @property
    def sources(self) -> Any:
        """Names of the sources, those of the data set unless they were set."""
        return getattr(self, "_sources", self.dataset.sources)

    @sources.setter
    def sources(self, sources: Any) -> None:
        self._sources = sources

    def close(self) -> None:
        """Close the data set."""
        self.data_state = self.dataset.close(self.data_state)

    def reset(self) -> None:
        """Start from the beginning of the data."""
        self.data_state = self.dataset.reset(self.data_state)
        self._fresh_state = True

    def next_epoch(self) -> None:
        """Prepare the data set for another epoch."""
        self.data_state = self.dataset.next_epoch(self.data_state)

    def get_data(self, request: Any = None) -> Any:
        """Return the data of a request from the data set."""
        return self.dataset.get_data(self.data_state, request)

    def get_epoch_iterator(self, as_dict: bool = False) -> Any:
        """Return one epoch."""
        if self._fresh_state:
            self._fresh_state = False
        else:
            self.next_epoch()
        return super().get_epoch_iterator(as_dict=as_dict)

    @classmethod
    def default_stream(cls, dataset: Any, **kwargs: Any) -> Any:
        """Return the stream with the default transformers of the data set."""
        return dataset.apply_default_transformers(cls(dataset, **kwargs))
