"""Minibatches of the main loop: each example once, a partial last batch, an order that the generator determines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm.base.errors import InputError
from dpm.datasets import DataStream, FuelStream, Scaling, ShuffledStream, WindowScheme, WindowStream
from dpm.datasets.fuel.datasets import IndexableDataset
from dpm.datasets.fuel.schemes import SequentialScheme
from dpm.datasets.fuel.transformers import Mapping
from dpm.datasets.stored import PreparedImages
from dpm.datasets.streams import minibatches

SIZES = st.integers(1, 60)


def generator(seed=0):
    return np.random.default_rng(seed)


@settings(deadline=None)
@given(SIZES, SIZES, st.data())
def test_resumed_epoch_is_the_rest_of_a_permutation_of_the_generator(n, batch_size, draw):
    """The order is that of Generator.permutation, batch by batch."""
    stream = ShuffledStream(np.arange(n) * 10, batch_size)
    order = generator(7).permutation(n) * 10
    expected = [order[i : i + batch_size].tolist() for i in range(0, n, batch_size)]
    assert stream.num_batches == len(expected)
    start = draw.draw(st.integers(0, len(expected)))
    rng = generator(7)
    assert [batch.tolist() for batch in stream.get_epoch_iterator(rng, start)] == expected[start:]
    after = generator(7)
    after.permutation(n)
    assert rng.bit_generator.state == after.bit_generator.state


def test_global_random_state_is_not_used():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    list(ShuffledStream(np.arange(20), 5).get_epoch_iterator(generator()))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_generator_is_used_when_the_epoch_is_requested():
    rng = generator(3)
    epoch = ShuffledStream(np.arange(9), 2).get_epoch_iterator(rng)
    after = rng.bit_generator.state
    list(epoch)
    assert rng.bit_generator.state == after
    assert after != generator(3).bit_generator.state


def test_changing_a_batch_does_not_change_the_data():
    data = np.zeros((4, 2))
    for batch in ShuffledStream(data, 2).get_epoch_iterator(generator()):
        batch += 1
    assert not data.any()


@pytest.mark.parametrize("start", [-1, 4, 1.0])
def test_start_outside_the_epoch_is_refused(start):
    with pytest.raises(InputError, match=r"^start: "):
        ShuffledStream(np.arange(7), 3).get_epoch_iterator(generator(), start)


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 9), st.integers(1, 5))
def test_windows_consist_of_blocks_and_every_example_comes_once(n, batch_size, block, blocks):
    scheme = WindowScheme(n, batch_size, block=block, blocks=blocks, rng=generator())
    order = scheme.order()
    assert sorted(order) == list(range(n))
    requests = list(WindowScheme(n, batch_size, block, blocks, rng=generator()).get_request_iterator())
    assert [len(request) for request in requests[:-1]] == [batch_size] * (len(requests) - 1)
    assert np.concatenate(requests).tolist() == order.tolist()
    # All windows but the last two are full; the short block at the end of the file shifts the blocks after it.
    for begin in range(0, n - scheme.window, scheme.window):
        window = order[begin : begin + scheme.window]
        runs = np.flatnonzero(np.diff(np.sort(window)) != 1).size + 1
        assert runs <= blocks + 1


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 9), st.integers(1, 5), st.data())
def test_window_stream_follows_its_scheme_and_resumes_within_an_epoch(n, batch_size, block, blocks, draw):
    stream = WindowStream(np.arange(n) * 10, batch_size, block, blocks, lambda examples: examples + 1)
    order = WindowScheme(n, batch_size, block, blocks, rng=generator(3)).order()
    expected = [(order[i : i + batch_size] * 10 + 1).tolist() for i in range(0, n, batch_size)]
    start = draw.draw(st.integers(0, len(expected)))
    batches = [b.tolist() for b in stream.get_epoch_iterator(generator(3), start)]
    assert batches == expected[start:]
    assert stream.num_batches == len(expected)


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.data())
def test_shares_of_processes_make_up_the_batches(n, batch_size, block, blocks, processes, draw):
    """Of every kind of stream, however many rows a process has; the count is that of the whole batch."""
    batch_size *= processes
    X, start = np.arange(n), draw.draw(st.integers(0, -(-n // batch_size)))
    each = batch_size // processes
    for stream in (
        WindowStream(X, batch_size, block, blocks, np.asarray),
        ShuffledStream(X, batch_size),
        FuelStream(Epochs([X[i : i + batch_size] for i in range(0, n, batch_size)])),
    ):
        whole = [batch.tolist() for batch in stream.get_epoch_iterator(generator(3), start)]
        shares = [
            list(stream.get_share_iterator(generator(3), start, slice(i * each, (i + 1) * each)))
            for i in range(processes)
        ]
        joined = [np.concatenate([share.examples for share in batch]).tolist() for batch in zip(*shares, strict=True)]
        assert joined == whole
        assert all([share.n for share in own] == [len(batch) for batch in whole] for own in shares)


def test_a_process_reads_its_own_examples_only():
    """Of 100 examples in batches of 10, 30 are in rows 2 to 4."""
    read = []

    class Rows:
        def __len__(self):
            return 100

        def __getitem__(self, rows):
            read.extend(rows)
            return rows

    stream = WindowStream(Rows(), 10, 5, 4, np.asarray)
    list(stream.get_share_iterator(generator(0), 0, slice(2, 5)))
    order = WindowScheme(100, 10, 5, 4, rng=generator(0)).order()
    assert read == order.reshape(10, 10)[:, 2:5].ravel().tolist()


def test_window_stream_reads_one_window_at_a_time():
    class Rows:
        def __init__(self):
            self.asked = []

        def __len__(self):
            return 100

        def __getitem__(self, rows):
            self.asked.append(rows)
            return rows

    stored = Rows()
    stream = WindowStream(stored, 7, 5, 4, np.asarray)
    batches = stream.get_epoch_iterator(generator(0))
    next(batches)
    assert len(stored.asked) <= 2, "only the window in use and the one that is read ahead"
    assert sum(map(len, batches)) == 93
    assert [len(rows) for rows in stored.asked] == [20] * 5


def test_error_of_the_reading_thread_is_raised_for_the_batch():
    class Broken:
        def __len__(self):
            return 10

        def __getitem__(self, rows):
            raise InputError("x.hdf5: became unreadable")

    stream = WindowStream(Broken(), 5, 64, 64, np.asarray)
    with pytest.raises(InputError, match="became unreadable"):
        next(stream.get_epoch_iterator(generator(0)))


class Epochs:
    """Batches as from a stream of Fuel: tuples with an array for each source, or arrays."""

    def __init__(self, batches, sources=("features", "targets")):
        self.batches, self.sources, self.running = batches, sources, 0

    def get_epoch_iterator(self):
        self.running += 1
        return iter(self.batches)


def test_any_object_with_an_epoch_iterator_is_a_stream():
    features = [np.arange(4), np.arange(4, 6)]
    tuples = Epochs([(batch, -batch) for batch in features])
    plain = Epochs(features, sources=())
    for source in (tuples, plain):
        stream = FuelStream(source, prepare=lambda batch: batch + 100)
        assert (len(stream), stream.num_batches) == (6, 2)
        assert stream[:3].tolist() == [100, 101, 102]
        assert source.running == 1, "the first examples are cached: a second iterator would disturb the first"
        batches = [b.tolist() for b in stream.get_epoch_iterator(generator(0))]
        assert batches == [[100, 101, 102, 103], [104, 105]]
        (rest,) = stream.get_epoch_iterator(generator(0), start=1)
        assert rest.tolist() == [104, 105]


def digits():
    """A data set of ten images."""
    return IndexableDataset({"features": np.arange(40.0).reshape(10, 1, 2, 2), "targets": np.arange(10)})


def test_streams_of_dictionaries_and_without_a_generator():
    plain = DataStream(digits(), iteration_scheme=SequentialScheme(10, 4))
    batches = Epochs(list(plain.get_epoch_iterator(as_dict=True)), sources=())
    stream = FuelStream(batches, source="targets")
    assert [batch.tolist() for batch in stream.get_epoch_iterator()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_single_examples_are_collected_in_batches_of_the_main_loop():
    examples = Mapping(digits().get_example_stream(), lambda data: (data[0] + 1, data[1]))
    stream = FuelStream(examples, batch_size=4)
    assert (len(stream), stream.num_batches) == (10, 3)
    assert stream[:1].shape == (1, 1, 2, 2)
    for size, lengths in ((4, [4, 4, 2]), (3, [3, 3, 3, 1]), (50, [10])):
        rebatched = minibatches(stream, size)
        batches = list(rebatched.get_epoch_iterator())
        assert [len(batch) for batch in batches] == lengths
        assert rebatched.num_batches == len(lengths)
        np.testing.assert_array_equal(np.concatenate(batches), np.arange(1.0, 41.0).reshape(10, 1, 2, 2))
    whole = FuelStream(DataStream(digits(), iteration_scheme=SequentialScheme(10, 4)))
    assert minibatches(whole, 3) is whole, "batches of a stream stay as they are"


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (Epochs([]), "no batches"),
        (Epochs([(np.arange(3),)], sources=("pixels",)), "no source 'features'; its sources: pixels"),
        (Epochs([np.array([[1], [1, 2]], dtype=object)], sources=()), "object"),
        (7, "int has no get_epoch_iterator"),
    ],
)
def test_other_streams_are_refused(stream, words):
    with pytest.raises(InputError, match=words):
        FuelStream(stream)


def test_images_on_the_disk_use_a_window_stream(tmp_path):
    images = generator(0).integers(0, 256, (30, 1, 4, 4), np.uint8)
    prepared = PreparedImages(images, 1, Scaling(2.0, 0.5), "float32")
    stream = minibatches(prepared, 8)
    assert isinstance(stream, WindowStream)
    found = np.concatenate(list(stream.get_epoch_iterator(generator(0))))
    order = WindowScheme(30, 8, stream.block, stream.blocks, rng=generator()).order()
    np.testing.assert_array_equal(found, prepared[:][order])
    assert isinstance(minibatches(prepared[:], 8), ShuffledStream)


def test_positions_are_those_of_the_batches():
    stream = ShuffledStream(np.arange(10) * 3, 4)
    batches = [*stream.get_epoch_iterator(np.random.default_rng(1), start=1)]
    positions = [*stream.get_index_iterator(np.random.default_rng(1), start=1)]
    assert [list(batch) for batch in batches] == [[3 * i for i in part] for part in positions]
