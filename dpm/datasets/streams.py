"""Minibatches for the main loop, made with the calls of Fuel (dpm/datasets/fuel/).

A stream of the main loop has `num_batches` and `get_epoch_iterator(rng, start)`, which gives the minibatches of one
epoch without the first `start`. For one of several processes `get_share_iterator` gives a part of the rows of each. The
order depends only on `rng`, so that a run can be repeated and resumed.
"""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dpm.base.arguments import check_index
from dpm.base.errors import InputError
from dpm.base.prefetch import prefetch
from dpm.datasets.fuel.datasets.base import IndexableDataset
from dpm.datasets.fuel.iterator import DataIterator
from dpm.datasets.fuel.schemes import Batches, BatchScheme, ShuffledScheme
from dpm.datasets.fuel.streams import DataStream
from dpm.datasets.stored import PreparedImages

#: Images on the disk: size of a block that is read together, and number of blocks that are shuffled together.
BLOCK_BYTES, BLOCKS = 1 << 20, 12


class Share(NamedTuple):
    """Some rows of a minibatch.

    Attributes:
        n: Number of examples of the whole minibatch.
        examples: Its examples in these rows; fewer, or none, where the minibatch has no more.
    """

    n: int
    examples: np.ndarray


class WindowScheme(BatchScheme):
    """Shuffled batches of examples on a disk: neighboring examples are read together.

    The file is divided into blocks. A window consists of blocks drawn at random; its examples come in random order.
    Every example comes once per epoch, but the examples of a block stay within one window.

    Args:
        examples: Number of examples.
        batch_size: Examples per batch.
        block: Examples per block.
        blocks: Blocks per window.
        rng: Draws the order of each epoch.

    Raises:
        InputError: If a number is not a whole number of at least 1.
    """

    def __init__(
        self, examples: int, batch_size: int, block: int = 64, blocks: int = 64, *, rng: np.random.Generator
    ) -> None:
        super().__init__(examples, batch_size)
        self.block, self.blocks = check_index("block", block, least=1), check_index("blocks", blocks, least=1)
        self.n, self.rng = check_index("examples", examples, least=1), rng

    @property
    def window(self) -> int:
        """Number of examples that are in memory together."""
        return self.block * self.blocks

    def order(self) -> np.ndarray:
        """Draw the order of one epoch, shuffled by blocks and within windows; return positions (n,)."""
        starts = self.block * self.rng.permutation(-(-self.n // self.block))
        order = (starts[:, None] + np.arange(self.block)).ravel()
        order = order[order < self.n]
        for begin in range(0, self.n, self.window):
            self.rng.shuffle(order[begin : begin + self.window])
        return order

    def get_request_iterator(self) -> Iterator[list[int]]:
        """Return the positions of one epoch, a list for each batch; draws from `rng` now, not during iteration."""
        return Batches(self.order().tolist(), self.batch_size)


@dataclass(frozen=True)
class ShuffledStream:
    """Minibatches of an array in memory, each epoch in another order (ShuffledScheme).

    Attributes:
        features: Examples (n, ...).
        batch_size: Examples per batch; a value above n gives one batch.
    """

    features: Any
    batch_size: int

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """Return the batches of one epoch, without the first `start`; draws from `rng` now, not during iteration.

        With `rng` in its state at the start of an epoch and `start` batches done, this is the rest of that epoch.

        Args:
            rng: Determines the order.
            start: Number of batches to skip.

        Returns:
            Batches (batch_size, ...); the last one may be smaller.

        Raises:
            InputError: Unless 0 <= start <= num_batches.
        """
        stream = DataStream(IndexableDataset({"features": self.features}), iteration_scheme=self._scheme(rng))
        return (batch for (batch,) in DataIterator(stream, self.get_index_iterator(rng, start)))

    def get_share_iterator(self, rng: np.random.Generator, start: int, rows: slice) -> Iterator[Share]:
        """Yield the Share of `rows` of each of these batches; the other arguments are those above."""
        for positions in self.get_index_iterator(rng, start):
            yield Share(len(positions), self.features[positions[rows]])

    def get_index_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[list[int]]:
        """Return the positions of the examples of each of these batches; the arguments are those above."""
        if check_index("start", start, least=0) > self.num_batches:
            raise InputError(f"start: {start}; an epoch has {self.num_batches} batches")
        return itertools.islice(self._scheme(rng).get_request_iterator(), start, None)

    def _scheme(self, rng: np.random.Generator) -> ShuffledScheme:
        return ShuffledScheme(len(self.features), self.batch_size, rng=rng)

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""
        return -(-len(self.features) // self.batch_size)


@dataclass(frozen=True)
class WindowStream:
    """Minibatches of examples on a disk (WindowScheme); a thread reads the next window ahead.

    At most two windows are in memory, in addition to the batches that the caller keeps.

    Attributes:
        stored: An object with a length whose indexing with an array of rows reads examples.
        batch_size: Examples per batch.
        block: Examples per block.
        blocks: Blocks per window.
        prepare: Function from examples to a minibatch.
    """

    stored: Any
    batch_size: int
    block: int
    blocks: int
    prepare: Any

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the batches of one epoch, without the first `start`; see ShuffledStream."""
        return (share.examples for share in self.get_share_iterator(rng, start, slice(0, self.batch_size)))

    def get_share_iterator(self, rng: np.random.Generator, start: int, rows: slice) -> Iterator[Share]:
        """Yield the Share of `rows` of each of these batches; no other examples are read."""
        scheme = WindowScheme(len(self.stored), self.batch_size, self.block, self.blocks, rng=rng)
        order, size, window = scheme.order(), self.batch_size, scheme.window
        n, batch = len(order), start
        row = np.arange(n) % size
        own = (row >= rows.start) & (row < rows.stop) & (np.arange(n) >= size * start)
        begins = range(size * start // window * window, n, window)
        parts = prefetch(lambda begin: self.stored[order[begin : begin + window][own[begin : begin + window]]], begins)
        rest: list[np.ndarray] = []
        for begin in begins:
            examples = next(parts)
            examples = np.concatenate([*rest, examples]) if rest else examples
            first, end = 0, min(begin + window, n)
            while size * batch < n and min(size * (batch + 1), n) <= end:
                count = int(own[size * batch : size * (batch + 1)].sum())
                yield Share(min(size, n - size * batch), self.prepare(examples[first : first + count]))
                first, batch = first + count, batch + 1
            rest = [examples[first:].copy()] if first < len(examples) else []

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""
        return -(-len(self.stored) // self.batch_size)


class FuelStream:
    """Minibatches of any object with get_epoch_iterator, such as a stream of Fuel, in the order of that object.

    One epoch is read at once, to count the batches. A resumed epoch skips the batches already done: it is the same
    epoch only if the stream repeats its batches. For training on crops, the stream is read once for each crop that
    fits into an image side by side.

    Args:
        stream: Object whose get_epoch_iterator() gives batches: arrays, dicts, or tuples with one array for each name
            in its `sources`. If its `produces_examples` is true, it gives single examples, which are collected in
            batches.
        source: Name of the array to use from a dict or tuple.
        prepare: Function from such an array, a batch, to a minibatch in model units.
        batch_size: Examples per batch of a stream of single examples; the main loop sets its own.

    Attributes:
        num_batches: Number of batches per epoch.
        checked: True: results of `prepare` are used without a check for finite values.

    Raises:
        InputError: If the object is not such a stream, or has no such source.
    """

    checked = True

    def __init__(self, stream: Any, source: str = "features", prepare: Any = np.asarray, batch_size: int = 32) -> None:
        self.stream, self.source, self.prepare = stream, source, prepare
        self.batch_size = check_index("batch_size", batch_size, least=1)
        if not hasattr(stream, "get_epoch_iterator"):
            raise InputError(f"stream: {type(stream).__name__} has no get_epoch_iterator; give a stream like Fuel's")
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

    def get_epoch_iterator(self, rng: np.random.Generator | None = None, start: int = 0) -> Iterator[np.ndarray]:
        """Return the batches of one epoch, without the first `start`; `rng` does not affect their order."""
        return itertools.islice(self._batches(), start, None)

    def get_share_iterator(self, rng: np.random.Generator, start: int, rows: slice) -> Iterator[Share]:
        """Yield the Share of `rows` of each of these batches, which the object inside has read whole."""
        for batch in self.get_epoch_iterator(rng, start):
            yield Share(len(batch), batch[rows])

    def rebatch(self, batch_size: int) -> "FuelStream":
        """Return a stream with another size of batches; this stream, if the object inside determines the batches."""
        if not self._gives_examples:
            return self
        other = copy.copy(self)
        other.batch_size, other.num_batches = batch_size, -(-len(self) // batch_size)
        return other

    @property
    def _gives_examples(self) -> bool:
        return getattr(self.stream, "produces_examples", False)

    def _batches(self) -> Iterator[np.ndarray]:
        arrays = map(self._select, self.stream.get_epoch_iterator())
        return map(self.prepare, map(np.stack, Batches(arrays, self.batch_size)) if self._gives_examples else arrays)

    def _select(self, data: Any) -> np.ndarray:
        """Return the array of the source from what the stream gives."""
        if isinstance(data, tuple | list):
            data = dict(zip(getattr(self.stream, "sources", None) or (), data, strict=False))
        if isinstance(data, dict):
            if self.source not in data:
                raise InputError(f"stream: has no source {self.source!r}; its sources: {', '.join(data)}")
            data = data[self.source]
        array = np.asarray(data)
        if array.dtype.kind not in "biuf":
            raise InputError(f"stream: its batches are {array.dtype}; accepted: numbers, all examples of one shape")
        return array


def minibatches(features: Any, batch_size: int) -> Any:
    """Return the stream of minibatches over examples in model units.

    Args:
        features: An array (ShuffledStream), PreparedImages on a disk (WindowStream), or a FuelStream, whose batches
            stay as they are unless it collects single examples.
        batch_size: Examples per batch.
    """
    if isinstance(features, FuelStream):
        return features.rebatch(batch_size)
    if not isinstance(features, PreparedImages):
        return ShuffledStream(features, batch_size)
    images = features.images
    example = max(1, images.size // len(images) * images.dtype.itemsize)
    return WindowStream(images, batch_size, max(1, BLOCK_BYTES // example), BLOCKS, features.prepare)
