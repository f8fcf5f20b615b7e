"""Minibatches in an order that a generator passed in decides, so that a run can be repeated and resumed."""

import itertools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpm.base.errors import InputError
from dpm.base.prefetch import prefetch
from dpm.datasets.stored import PreparedImages

#: Of what lies on a disk: bytes that are read together, and how many times as many are shuffled together.
BLOCK_BYTES, BLOCKS = 1 << 20, 12


@dataclass(frozen=True)
class SequentialScheme:
    """Examples 0 .. n - 1 in order, `batch_size` at a time; the last batch may be smaller.

    Raises InputError if either is not a whole number of at least 1. A batch size beyond n gives one batch.
    """

    n: int
    batch_size: int

    def __post_init__(self) -> None:
        for name in ("n", "batch_size"):
            object.__setattr__(self, name, _whole(getattr(self, name), name, least=1))

    @property
    def num_batches(self) -> int:
        """Batches in one epoch."""
        return -(-self.n // self.batch_size)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """The indices of one epoch, (n,)."""
        return np.arange(self.n)

    def get_request_iterator(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The index arrays of one epoch's batches; `rng` is drawn from now, not while they are taken."""
        order = self.order(rng)
        return (order[i : i + self.batch_size] for i in range(0, self.n, self.batch_size))


@dataclass(frozen=True)
class ShuffledScheme(SequentialScheme):
    """As SequentialScheme, in an order drawn for each epoch: one permutation of `rng` and nothing else."""

    def order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self.n)


@dataclass(frozen=True)
class WindowScheme(SequentialScheme):
    """As ShuffledScheme for examples that lie on a disk, whose neighbors are read together.

    The file is cut into blocks of `block` examples; a window is `blocks` of them, drawn at random, and its examples
    come in random order. So every example comes once an epoch, but a block's stay within one window.
    """

    block: int = 64
    blocks: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("block", "blocks"):
            object.__setattr__(self, name, _whole(getattr(self, name), name, least=1))

    @property
    def window(self) -> int:
        """Examples that lie in memory together."""
        return self.block * self.blocks

    def order(self, rng: np.random.Generator) -> np.ndarray:
        starts = self.block * rng.permutation(-(-self.n // self.block))
        order = (starts[:, None] + np.arange(self.block)).ravel()
        order = order[order < self.n]
        for begin in range(0, self.n, self.window):
            rng.shuffle(order[begin : begin + self.window])
        return order


@dataclass(frozen=True)
class DataStream:
    """Minibatches of `features` (n, ...) as `scheme` orders them.

    Raises InputError if the scheme is for another number of examples.
    """

    features: Any
    scheme: SequentialScheme

    def __post_init__(self) -> None:
        if len(self.features) != self.scheme.n:
            raise InputError(
                f"scheme: orders {self.scheme.n} examples, there are {len(self.features)}; make them equal"
            )

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """The batches of one epoch, (batch_size, ...) and the rest in the last, without the first `start`.

        With `rng` in the state it had when the epoch began, `start` batches done, this is the rest of that
        epoch.
        Raises InputError unless 0 <= start <= num_batches.
        """
        start = _whole(start, "start", least=0)
        if start > self.scheme.num_batches:
            raise InputError(f"start: {start}; an epoch has {self.scheme.num_batches} batches")
        requests = list(self.scheme.get_request_iterator(rng))[start:]
        return (self.features[request] for request in requests)

    @property
    def num_batches(self) -> int:
        """Batches in one epoch."""
        return self.scheme.num_batches


@dataclass(frozen=True)
class WindowStream:
    """Minibatches of examples on a disk: as DataStream with a WindowScheme, read ahead a window at a time by a thread.

    stored: has a length, and stored[rows] reads examples; prepare: what makes a minibatch of them.
    Two windows lie in memory at most, and the minibatches that the caller has.
    """

    stored: Any
    scheme: WindowScheme
    prepare: Any

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """The batches of one epoch without the first `start`, see DataStream."""
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
        """Batches in one epoch."""
        return self.scheme.num_batches


class FuelStream:
    """Minibatches of any object with get_epoch_iterator, such as a stream of Fuel, in the order that it chooses.

    stream: its batches are arrays, or tuples of one for each name in its `sources`; source: the name that is taken;
    prepare: what makes a minibatch in the model's units of such an array. One epoch is read at once, to count. A
    resumed epoch leaves out as many batches as were done: it is the same only where the stream gives the same again.
    checked: what prepare gives is taken as it is. Of pictures larger than the model's pieces are drawn, in as many
    passes over the stream as pieces lie side by side.

    Raises InputError where the object is no such stream, or has no such source.
    """

    checked = True

    def __init__(self, stream: Any, source: str = "features", prepare: Any = np.asarray):
        self.stream, self.source, self.prepare = stream, source, prepare
        if not hasattr(stream, "get_epoch_iterator"):
            raise InputError(f"stream: {type(stream).__name__} has no get_epoch_iterator; give a stream as Fuel's are")
        if getattr(stream, "produces_examples", False):
            raise InputError("stream: gives single examples; give one of batches, as with an iteration scheme of Fuel")
        # Fuel's transformers have one iterator at a time: another one would take the batches of the first.
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
        """The first examples of the epoch that was counted; `request` stays within its first batch."""
        return self._first[request]

    def get_epoch_iterator(self, rng: np.random.Generator, start: int = 0) -> Iterator[np.ndarray]:
        """The batches of one epoch without the first `start`; `rng` has no part in their order."""
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
    """The stream over examples in the model's units: an array, images on a disk, or a stream that is one already."""
    if hasattr(features, "get_epoch_iterator"):
        return features
    if not isinstance(features, PreparedImages):
        return DataStream(features, ShuffledScheme(len(features), batch_size))
    images = features.images
    example = max(1, images.size // len(images) * images.dtype.itemsize)
    scheme = WindowScheme(len(images), batch_size, block=max(1, BLOCK_BYTES // example), blocks=BLOCKS)
    return WindowStream(images, scheme, features.prepare)


def _whole(value: Any, name: str, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise InputError(f"{name}: {value!r}; accepted are whole numbers of at least {least}")
    return number
