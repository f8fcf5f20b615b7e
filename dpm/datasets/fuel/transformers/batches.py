"""Transformers that collect examples in batches, take batches apart, or pad them."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.fuel.config_parser import config
from dpm.datasets.fuel.schemes import BatchSizeScheme
from dpm.datasets.fuel.transformers.base import Transformer, keep_labels, refuse_request, require_batches


class Batch(Transformer):
    """Collect single examples in batches.

    Args:
        data_stream: A stream of examples.
        iteration_scheme: Sizes of the batches, such as a ConstantScheme.
        strictness: If the last batch is smaller than requested: 0 gives it, 1 drops it, 2 is an error.
        **kwargs: Arguments of AbstractDataStream.

    Raises:
        InputError: If the stream gives batches, or the scheme requests examples.
    """

    def __init__(self, data_stream: Any, iteration_scheme: Any, strictness: int = 0, **kwargs: Any) -> None:
        if not data_stream.produces_examples:
            raise InputError("data_stream: gives batches; give one of single examples, such as Unpack(...)")
        if iteration_scheme.requests_examples:
            raise InputError("iteration_scheme: requests single examples; give one of batch sizes (ConstantScheme)")
        keep_labels(kwargs, data_stream, lambda _, labels: ("batch", *labels) if labels else None)
        super().__init__(data_stream, iteration_scheme=iteration_scheme, **kwargs)
        self.strictness = strictness

    def get_data(self, request: Any = None) -> tuple[np.ndarray, ...]:
        """Return the next batch.

        Args:
            request: Number of examples.

        Raises:
            InputError: Without a request, or for a batch that is too small with strictness 2.
        """
        if request is None:
            raise InputError("request: got None; expected a number of examples")
        examples = list(islice(self.child_epoch_iterator, request))
        if len(examples) < request and self.strictness > 1 and examples:
            raise InputError(f"request: {request} examples, {len(examples)} are left; use strictness 0 or 1")
        if not examples or (len(examples) < request and self.strictness):
            raise StopIteration
        return tuple(map(stack, zip(*examples, strict=True)))


class Unpack(Transformer):
    """Give the examples of batches one by one.

    Args:
        data_stream: A stream of batches.
        **kwargs: Arguments of AbstractDataStream.

    Raises:
        InputError: If the stream gives examples.
    """

    def __init__(self, data_stream: Any, **kwargs: Any) -> None:
        require_batches(data_stream)
        keep_labels(kwargs, data_stream, lambda _, labels: labels[1:] if labels else None)
        super().__init__(data_stream, produces_examples=True, **kwargs)

    def get_epoch_iterator(self, as_dict: bool = False) -> Any:
        """Return one epoch; see Transformer."""
        self.data: Any = iter(())
        return super().get_epoch_iterator(as_dict=as_dict)

    def get_data(self, request: Any = None) -> tuple[Any, ...]:
        """Return the next example."""
        refuse_request(request)
        for example in self.data:
            return example
        self.data = zip(*next(self.child_epoch_iterator), strict=False)
        return self.get_data()


class Cache(Transformer):
    """Divide large batches into smaller ones.

    Args:
        data_stream: A stream of batches, each at least as large as those requested.
        iteration_scheme: A BatchSizeScheme, such as a ConstantScheme.
        **kwargs: Arguments of AbstractDataStream.

    Attributes:
        cache: Examples that were read and not yet given, a list for each source.

    Raises:
        InputError: For another iteration scheme.
    """

    def __init__(self, data_stream: Any, iteration_scheme: BatchSizeScheme, **kwargs: Any) -> None:
        if not isinstance(iteration_scheme, BatchSizeScheme):
            raise InputError(
                f"iteration_scheme: got {type(iteration_scheme).__name__}; expected a BatchSizeScheme (ConstantScheme)"
            )
        keep_labels(kwargs, data_stream)
        super().__init__(data_stream, iteration_scheme=iteration_scheme, **kwargs)
        self.cache: list[list[Any]] = [[] for _ in self.sources]

    def get_epoch_iterator(self, as_dict: bool = False) -> Any:
        """Return one epoch, with an empty cache; see Transformer."""
        self.cache = [[] for _ in self.sources]
        return super().get_epoch_iterator(as_dict=as_dict)

    def get_data(self, request: Any = None) -> tuple[np.ndarray, ...]:
        """Return the next `request` examples; fewer if one more batch of the stream does not give so many."""
        if request is None:
            raise InputError("request: got None; expected a number of examples")
        if request > len(self.cache[0]):
            for kept, values in zip(self.cache, next(self.child_epoch_iterator), strict=True):
                kept.extend(values)
        data = tuple(stack(kept[:request]) for kept in self.cache)
        self.cache = [kept[request:] for kept in self.cache]
        return data


class Padding(Transformer):
    """Pad sequences of different lengths with zeros, and give a mask of what is not padding as a further source.

    The mask of `features` is `features_mask`, 1 for data and 0 for padding, and follows its source.

    Args:
        data_stream: A stream of batches.
        mask_sources: Sources to pad; all if None.
        mask_dtype: dtype of the masks; `config.floatX` if None.
        **kwargs: Arguments of AbstractDataStream.

    Raises:
        InputError: If the stream gives examples.
    """

    def __init__(
        self, data_stream: Any, mask_sources: Sequence[str] | None = None, mask_dtype: Any = None, **kwargs: Any
    ) -> None:
        require_batches(data_stream)
        super().__init__(data_stream, produces_examples=False, **kwargs)
        self.mask_sources = data_stream.sources if mask_sources is None else mask_sources
        self.mask_dtype = config.floatX if mask_dtype is None else mask_dtype

    @property  # type: ignore[misc]
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, each followed by that of its mask."""
        names: list[str] = []
        for source in self.data_stream.sources:
            names += [source, f"{source}_mask"] if source in self.mask_sources else [source]
        return tuple(names)

    def transform_batch(self, batch: Any) -> tuple[Any, ...]:
        """Return the sources (n, longest, ...), each followed by its mask (n, longest).

        Raises:
            InputError: If sequences differ in more than their length.
        """
        padded: list[Any] = []
        for source, values in zip(self.data_stream.sources, batch, strict=True):
            padded += self._pad(source, values) if source in self.mask_sources else [values]
        return tuple(padded)

    def _pad(self, source: str, values: Any) -> list[np.ndarray]:
        sequences = [np.asarray(sequence) for sequence in values]
        lengths = np.array([len(sequence) for sequence in sequences])
        if len({sequence.shape[1:] for sequence in sequences}) > 1:
            raise InputError(f"{source}: its sequences differ in more than their length; make the other axes equal")
        result = np.zeros((len(sequences), lengths.max(), *sequences[0].shape[1:]), sequences[0].dtype)
        for row, sequence in zip(result, sequences, strict=True):
            row[: len(sequence)] = sequence
        return [result, (np.arange(lengths.max()) < lengths[:, None]).astype(self.mask_dtype)]


class SortMapping:
    """A function for Mapping that sorts the examples of a batch.

    Args:
        key: Function from an example, a tuple with an entry for each source, to what is compared.
        reverse: Sort from large to small.
    """

    def __init__(self, key: Any, reverse: bool = False) -> None:
        self.key, self.reverse = key, reverse

    def __call__(self, batch: Any) -> tuple[Any, ...]:
        examples = sorted(zip(*batch, strict=False), key=self.key, reverse=self.reverse)
        columns = zip(*examples, strict=True)
        return tuple(
            stack(column) if isinstance(values, np.ndarray) else list(column)
            for column, values in zip(columns, batch, strict=True)
        )


def stack(examples: Sequence[Any]) -> np.ndarray:
    """Return an array of the examples; an object array (n,) if they differ in shape."""
    try:
        return np.asarray(examples)
    except ValueError:
        result = np.empty(len(examples), object)
        for i, example in enumerate(examples):
            result[i] = example
        return result
