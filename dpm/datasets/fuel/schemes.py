"""Iteration schemes: which examples come together and in which order, for any data set."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dpm.base.arguments import check_index
from dpm.base.errors import InputError
from dpm.datasets.fuel.config_parser import config


class IterationScheme(ABC):
    """Requests for the data of one epoch after another.

    Attributes:
        requests_examples: True if a request is for a single example, False if for a batch.
    """

    requests_examples: bool

    @abstractmethod
    def get_request_iterator(self) -> Iterator[Any]:
        """Return the requests of one epoch."""


class BatchSizeScheme(IterationScheme):
    """Requests that are sizes of batches, for data without positions."""

    requests_examples = False


class BatchScheme(IterationScheme):
    """Requests that are lists of positions; the last batch may be smaller.

    Args:
        examples: Number of examples, or their positions in order.
        batch_size: Examples per batch.

    Raises:
        InputError: If `batch_size` is not a whole number of at least 1, or `examples` neither positions nor a number.
    """

    requests_examples = False

    def __init__(self, examples: int | Iterable[int], batch_size: int) -> None:
        self.indices = _positions(examples)
        self.batch_size = check_index("batch_size", batch_size, least=1)


class IndexScheme(IterationScheme):
    """Requests that are single positions.

    Args:
        examples: Number of examples, or their positions in order.
    """

    requests_examples = True

    def __init__(self, examples: int | Iterable[int]) -> None:
        self.indices = _positions(examples)


class ConcatenatedScheme(IterationScheme):
    """The requests of several schemes, one scheme after another.

    Args:
        schemes: All for batches, or all for examples.

    Raises:
        InputError: If they are mixed, or there are none.
    """

    def __init__(self, schemes: Sequence[IterationScheme]) -> None:
        if len({scheme.requests_examples for scheme in schemes}) != 1:
            raise InputError("schemes: request both batches and examples, or there are none; give some of one kind")
        self.schemes = schemes

    def get_request_iterator(self) -> Iterator[Any]:
        """Return the requests of one epoch of each scheme."""
        return itertools.chain(*[scheme.get_request_iterator() for scheme in self.schemes])

    @property
    def requests_examples(self) -> bool:  # type: ignore[override]
        """True if a request is for a single example."""
        return self.schemes[0].requests_examples


class ConstantScheme(BatchSizeScheme):
    """The same size of batch again and again.

    Args:
        batch_size: Examples per batch.
        num_examples: End when so many are requested; the last request may be smaller.
        times: End after so many requests. Without either, the requests do not end.

    Raises:
        InputError: If both `num_examples` and `times` are given.
    """

    def __init__(self, batch_size: int, num_examples: int | None = None, times: int | None = None) -> None:
        if num_examples and times:
            raise InputError(f"times: got {times} together with num_examples {num_examples}; give one of them")
        self.batch_size, self.num_examples, self.times = batch_size, num_examples, times

    def get_request_iterator(self) -> Iterator[int]:
        """Return the sizes of one epoch."""
        if self.times:
            return itertools.repeat(self.batch_size, self.times)
        if self.num_examples:
            whole, rest = divmod(self.num_examples, self.batch_size)
            return iter([self.batch_size] * whole + [rest] * bool(rest))
        return itertools.repeat(self.batch_size)


class SequentialScheme(BatchScheme):
    """Batches in order."""

    def get_request_iterator(self) -> Iterator[list[int]]:
        """Return the positions of one epoch, a list for each batch."""
        return Batches(self.indices, self.batch_size)


class ShuffledScheme(BatchScheme):
    """Batches in an order that is drawn for each epoch.

    The draw is `rng.shuffle` of the list of all positions, when an epoch is requested. A numpy RandomState gives the
    order that Fuel gives; a Generator gives that of `Generator.permutation`.

    Args:
        examples: Number of examples, or their positions.
        batch_size: Examples per batch.
        rng: A RandomState or Generator; RandomState(config.default_seed) if None.
        sorted_indices: Sort the positions of each batch.

    Raises:
        InputError: As BatchScheme.
    """

    def __init__(
        self,
        examples: int | Iterable[int],
        batch_size: int,
        *,
        rng: Any = None,
        sorted_indices: bool = False,
    ) -> None:
        super().__init__(examples, batch_size)
        self.rng, self.sorted_indices = _generator(rng), sorted_indices

    def get_request_iterator(self) -> Iterator[list[int]]:
        """Return the positions of one epoch, a list for each batch; draws from `rng` now, not during iteration."""
        return Batches(_shuffled(self.indices, self.rng), self.batch_size, self.sorted_indices)


class SequentialExampleScheme(IndexScheme):
    """Single examples in order."""

    def get_request_iterator(self) -> Iterator[int]:
        """Return the positions of one epoch."""
        return iter(self.indices)


class ShuffledExampleScheme(IndexScheme):
    """Single examples in an order that is drawn for each epoch, as ShuffledScheme draws it.

    Args:
        examples: Number of examples, or their positions.
        rng: A RandomState or Generator; RandomState(config.default_seed) if None.
    """

    def __init__(self, examples: int | Iterable[int], *, rng: Any = None) -> None:
        super().__init__(examples)
        self.rng = _generator(rng)

    def get_request_iterator(self) -> Iterator[int]:
        """Return the positions of one epoch; draws from `rng` now, not during iteration."""
        return iter(_shuffled(self.indices, self.rng))


def cross_validation(
    scheme_class: Any, num_examples: int, num_folds: int, strict: bool = True, **kwargs: Any
) -> Iterator[tuple[Any, ...]]:
    """Yield schemes (training, validation) for each fold, and the size of the fold unless `strict`.

    Args:
        scheme_class: A BatchScheme or IndexScheme.
        num_examples: Number of examples.
        num_folds: Number of folds, which are runs of neighboring examples.
        strict: Refuse folds that differ in size.
        **kwargs: Further arguments of the schemes, such as batch_size.

    Raises:
        InputError: If `strict` and the folds differ in size.
    """
    if strict and num_examples % num_folds:
        raise InputError(f"num_folds: {num_folds} do not divide {num_examples} examples evenly; set strict=False")
    bounds = [num_examples * fold // num_folds for fold in range(num_folds + 1)]
    for begin, end in itertools.pairwise(bounds):
        train = scheme_class([*range(begin), *range(end, num_examples)], **kwargs)
        pair = train, scheme_class(range(begin, end), **kwargs)
        yield pair if strict else (*pair, end - begin)


class Batches:
    """Iterate over lists of `size` neighboring items, the last maybe smaller; unlike a generator, it can be pickled."""

    def __init__(self, items: Iterable[Any], size: int, in_order: bool = False) -> None:
        self._items, self._size, self._in_order = iter(items), size, in_order

    def __iter__(self) -> Iterator[list[Any]]:
        return self

    def __next__(self) -> list[Any]:
        batch = list(itertools.islice(self._items, self._size))
        if not batch:
            raise StopIteration
        return sorted(batch) if self._in_order else batch


def _positions(examples: int | Iterable[int]) -> Iterable[int]:
    return examples if isinstance(examples, Iterable) else range(check_index("examples", examples, least=0))


def _generator(rng: Any) -> Any:
    return np.random.RandomState(config.default_seed) if rng is None else rng


def _shuffled(indices: Iterable[int], rng: Any) -> list[int]:
    order = list(indices)
    rng.shuffle(order)
    return order
