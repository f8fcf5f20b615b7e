"""Minibatches in an order that only the given generator determines, so that a run can be repeated and resumed."""

import itertools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpm.base.errors import InputError
from dpm.base.prefetch import prefetch
from dpm.datasets.stored import PreparedImages

#: Images on the disk: size of a block that is read together, and number of blocks that are shuffled together.
BLOCK_BYTES, BLOCKS = 1 << 20, 12


@dataclass(frozen=True)
class SequentialScheme:
    """Examples 0 .. n - 1 in order, `batch_size` at a time; the last batch may be smaller.

    Attributes:
        n: Number of examples.
        batch_size: Examples per batch; a value above `n` gives one batch.

    Raises:
        InputError: If either is not a whole number of at least 1.
    """

    n: int
    batch_size: int

    def __post_init__(self) -> None:
        for name in ("n", "batch_size"):
            object.__setattr__(self, name, _check_whole(getattr(self, name), name, least=1))

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""
        return -(-self.n // self.batch_size)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the indices of one epoch, (n,)."""
        return np.arange(self.n)

    def get_request_iterator(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Return the index arrays of one epoch's batches; draws from `rng` now, not during iteration."""
        order = self.order(rng)
        return (order[i : i + self.batch_size] for i in range(0, self.n, self.batch_size))


@dataclass(frozen=True)
class ShuffledScheme(SequentialScheme):
    """Batches of SequentialScheme in an order drawn for each epoch: one permutation of `rng`, nothing else."""

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the shuffled indices of one epoch, (n,)."""
        return rng.permutation(self.n)


@dataclass(frozen=True)
class WindowScheme(SequentialScheme):
    """Shuffled batches of examples on a disk: neighboring examples are read together.

    The file is divided into blocks. A window consists of blocks drawn at random; its examples come in random order.
    Every example comes once per epoch, but the examples of a block stay within one window.

    Attributes:
        block: Examples per block.
        blocks: Blocks per window.
    """

    block: int = 64
    blocks: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("block", "blocks"):
            object.__setattr__(self, name, _check_whole(getattr(self, name), name, least=1))

    @property
    def window(self) -> int:
        """Number of examples that are in memory together."""
        return self.block * self.blocks

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the indices of one epoch, shuffled by blocks and within windows, (n,)."""
        starts = self.block * rng.permutation(-(-self.n // self.block))
        order = (starts[:, None] + np.arange(self.block)).ravel()
        order = order[order < self.n]
        for begin in range(0, self.n, self.window):
            rng.shuffle(order[begin : begin + self.window])
        return order


@dataclass(frozen=True)
class DataStream:
    """Minibatches of an array, in the order of a scheme.

    Attributes:
        features: Examples (n, ...).
        scheme: Order and size of the batches.

    Raises:
        InputError: If the scheme is for another number of examples.
    """

    features: Any
    scheme: SequentialScheme

    def __post_init__(self) -> None:
        if len(self.features) != self.scheme.n:
            raise InputError(
                f"scheme: orders {self.scheme.n} examples, there are {len(self.features)}; make them equal"
            )

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """Return the batches of one epoch, without the first `start`.

        With `rng` in its state at the start of an epoch and `start` batches done, this is the rest of that epoch.

        Args:
            rng: Determines the order.
            start: Number of batches to skip.

        Returns:
            Batches (batch_size, ...); the last one may be smaller.

        Raises:
            InputError: Unless 0 <= start <= num_batches.
        """
        start = _check_whole(start, "start", least=0)
        if start > self.scheme.num_batches:
            raise InputError(f"start: {start}; an epoch has {self.scheme.num_batches} batches")
        requests = list(self.scheme.get_request_iterator(rng))[start:]
        return (self.features[request] for request in requests)

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""
        return self.scheme.num_batches


@dataclass(frozen=True)
class WindowStream:
    """Minibatches of examples on a disk, in the order of a WindowScheme; a thread reads the next window ahead.

    At most two windows are in memory, in addition to the batches that the caller keeps.

    Attributes:
        stored: An object with a length whose indexing with an array of rows reads examples.
        scheme: Order and size of the batches.
        prepare: Function from examples to a minibatch.
    """

    stored: Any
    scheme: WindowScheme
    prepare: Any

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the batches of one epoch, without the first `start`; see DataStream."""
        order, size, window = self.scheme.order(rng), self.scheme.batch_size, self.scheme.window
        position = size * start
        rest: list[np.ndarray] = []
        begins = range(position // window * window, len(order), window)
        windows = prefetch(lambda begin: self.stored[order[begin : begin + window]], begins)
        for begin in begins:
            last = begin + window >= len(order)
            examples = next(windows)[max(0, position - begin) :]
            examples = np.concatenate([*rest, examples]) if rest else examples
            whole = len(examples) if last else len(examples) // size * size
            for first in range(0, whole, size):
                yield self.prepare(examples[first : first + size])
            rest = [examples[whole:].copy()] if whole < len(examples) else []

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""
        return self.scheme.num_batches


class FuelStream:
    """Minibatches of any object with get_epoch_iterator, such as a stream of Fuel, in the order of that object.

    One epoch is read at once, to count the batches. A resumed epoch skips the batches already done: it is the same
    epoch only if the stream repeats its batches. For training on crops, the stream is read once for each crop that
    fits into an image side by side.

    Args:
        stream: Object whose get_epoch_iterator() gives batches: arrays, or tuples with one array for each name in
            its `sources`.
        source: Name of the array to use from a tuple.
        prepare: Function from such an array to a minibatch in model units.

    Attributes:
        num_batches: Number of batches per epoch.
        checked: True: results of `prepare` are used without a check for finite values.

    Raises:
        InputError: If the object is not such a stream, gives single examples, or has no such source.
    """

    checked = True

    def __init__(self, stream: Any, source: str = "features", prepare: Any = np.asarray) -> None:
        self.stream, self.source, self.prepare = stream, source, prepare
        if not hasattr(stream, "get_epoch_iterator"):
            raise InputError(f"stream: {type(stream).__name__} has no get_epoch_iterator; give a stream like Fuel's")
        if getattr(stream, "produces_examples", False):
            raise InputError("stream: gives single examples; expected batches, as from an iteration scheme of Fuel")
        # Fuel's transformers keep one iterator: a second one would take the batches of the first.
        self._first = np.empty(0)
        sizes: list[int] = []
        for batch in self._batches():
            self._first = self._first if sizes else batch.copy()
            sizes.append(len(batch))
        if not sizes:
            raise InputError("stream: an epoch has no batches; give one with examples")
        self.num_batches, self._length = len(sizes), sum(sizes)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, request: slice) -> np.ndarray:
        """Return the first examples of the epoch that was counted; `request` is limited to its first batch."""
        return self._first[request]

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """Return the batches of one epoch, without the first `start`; `rng` does not affect their order."""
        return itertools.islice(self._batches(), start, None)

    def _batches(self) -> Iterator[np.ndarray]:
        sources = tuple(getattr(self.stream, "sources", ()) or ())
        for batch in self.stream.get_epoch_iterator():
            if isinstance(batch, tuple | list):
                if self.source not in sources:
                    raise InputError(f"stream: has no source {self.source!r}; its sources: {', '.join(sources)}")
                batch = batch[sources.index(self.source)]
            array = np.asarray(batch)
            if array.dtype.kind not in "biuf":
                raise InputError(f"stream: its batches are {array.dtype}; accepted: numbers, all examples of one shape")
            yield self.prepare(array)


def minibatches(features: Any, batch_size: int) -> Any:
    """Return the stream of minibatches over examples in model units.

    Args:
        features: An array (DataStream), PreparedImages on a disk (WindowStream), or a stream (returned unchanged).
        batch_size: Examples per batch.
    """
    if hasattr(features, "get_epoch_iterator"):
        return features
    if not isinstance(features, PreparedImages):
        return DataStream(features, ShuffledScheme(len(features), batch_size))
    images = features.images
    example = max(1, images.size // len(images) * images.dtype.itemsize)
    scheme = WindowScheme(len(images), batch_size, block=max(1, BLOCK_BYTES // example), blocks=BLOCKS)
    return WindowStream(images, scheme, features.prepare)


def _check_whole(value: Any, name: str, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise InputError(f"{name}: {value!r}; accepted are whole numbers of at least {least}")
    return number
