"""Minibatches: each example once, a partial last batch, an order that only the generator determines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm.base.errors import InputError
from dpm.datasets import (
    DataStream,
    FuelStream,
    Scaling,
    SequentialScheme,
    ShuffledScheme,
    WindowScheme,
    WindowStream,
)
from dpm.datasets.stored import PreparedImages
from dpm.datasets.streams import minibatches

SIZES = st.integers(1, 60)
SCHEMES = st.sampled_from([SequentialScheme, ShuffledScheme])


@settings(deadline=None)
@given(SIZES, SIZES, SCHEMES)
def test_every_example_comes_once_and_only_the_last_batch_is_smaller(n, batch_size, kind):
    scheme = kind(n, batch_size)
    requests = list(scheme.get_request_iterator(np.random.default_rng(0)))
    assert len(requests) == scheme.num_batches
    assert [len(request) for request in requests[:-1]] == [min(n, batch_size)] * (len(requests) - 1)
    assert 1 <= len(requests[-1]) <= batch_size
    assert sorted(np.concatenate(requests)) == list(range(n))


@settings(deadline=None)
@given(SIZES, SIZES, SCHEMES, st.data())
def test_resumed_epoch_is_the_rest_of_the_epoch(n, batch_size, kind, draw):
    stream = DataStream(np.arange(n) * 10, kind(n, batch_size))
    start = draw.draw(st.integers(0, stream.scheme.num_batches))
    rngs = [np.random.default_rng(7) for _ in range(2)]
    whole = list(stream.get_epoch_iterator(rngs[0]))
    rest = list(stream.get_epoch_iterator(rngs[1], start))
    assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in whole[start:]]
    assert rngs[0].bit_generator.state == rngs[1].bit_generator.state


def test_sequential_batches_are_in_order():
    stream = DataStream(np.arange(7), SequentialScheme(7, 3))
    batches = [batch.tolist() for batch in stream.get_epoch_iterator(np.random.default_rng(0))]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]


def test_order_depends_on_the_generator_and_changes_each_epoch():
    scheme = ShuffledScheme(50, 50)
    rng = np.random.default_rng(1)
    first, second = (next(iter(scheme.get_request_iterator(rng))).tolist() for _ in range(2))
    (again,) = scheme.get_request_iterator(np.random.default_rng(1))
    (other,) = scheme.get_request_iterator(np.random.default_rng(2))
    assert first == again.tolist()
    assert first != second
    assert first != other.tolist()
    assert first != sorted(first)


def test_global_random_state_is_not_used():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    list(ShuffledScheme(20, 5).get_request_iterator(np.random.default_rng(0)))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_generator_is_used_when_the_epoch_is_requested():
    rng = np.random.default_rng(3)
    epoch = DataStream(np.arange(9), ShuffledScheme(9, 2)).get_epoch_iterator(rng)
    after = rng.bit_generator.state
    list(epoch)
    assert rng.bit_generator.state == after
    assert after != np.random.default_rng(3).bit_generator.state


def test_batch_size_above_n_gives_one_batch():
    stream = DataStream(np.arange(4), ShuffledScheme(4, 1000))
    (batch,) = stream.get_epoch_iterator(np.random.default_rng(0))
    assert sorted(batch) == [0, 1, 2, 3]


def test_changing_a_batch_does_not_change_the_data():
    data = np.zeros((4, 2))
    for batch in DataStream(data, SequentialScheme(4, 2)).get_epoch_iterator(np.random.default_rng(0)):
        batch += 1
    assert not data.any()


@pytest.mark.parametrize("kind", [SequentialScheme, ShuffledScheme])
@pytest.mark.parametrize("bad", [0, -1, 2.0, "3", None, True], ids=repr)
def test_sizes_must_be_whole_numbers_of_at_least_1(kind, bad):
    with pytest.raises(InputError, match=r"^batch_size: .*at least 1"):
        kind(5, bad)
    with pytest.raises(InputError, match=r"^n: .*at least 1"):
        kind(bad, 5)


def test_sizes_may_be_numpy_integers():
    assert ShuffledScheme(np.int64(5), np.int32(2)).num_batches == 3


@pytest.mark.parametrize("start", [-1, 4, 1.0])
def test_start_outside_the_epoch_is_refused(start):
    stream = DataStream(np.arange(7), SequentialScheme(7, 3))
    with pytest.raises(InputError, match=r"^start: "):
        stream.get_epoch_iterator(np.random.default_rng(0), start)


def test_scheme_for_another_number_of_examples_is_refused():
    with pytest.raises(InputError, match=r"^scheme: orders 5 examples, .* 4;"):
        DataStream(np.arange(4), SequentialScheme(5, 2))


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 9), st.integers(1, 5))
def test_windows_consist_of_blocks_and_every_example_comes_once(n, batch_size, block, blocks):
    scheme = WindowScheme(n, batch_size, block=block, blocks=blocks)
    order = scheme.order(np.random.default_rng(0))
    assert sorted(order) == list(range(n))
    # All windows but the last two are full; the short block at the end of the file shifts the blocks after it.
    for begin in range(0, n - scheme.window, scheme.window):
        window = order[begin : begin + scheme.window]
        runs = np.flatnonzero(np.diff(np.sort(window)) != 1).size + 1
        assert runs <= blocks + 1


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 9), st.integers(1, 5), st.data())
def test_window_stream_follows_its_scheme_and_resumes_within_an_epoch(n, batch_size, block, blocks, draw):
    scheme = WindowScheme(n, batch_size, block=block, blocks=blocks)
    stream = WindowStream(np.arange(n) * 10, scheme, lambda examples: examples + 1)
    order = scheme.order(np.random.default_rng(3))
    expected = [(order[i : i + batch_size] * 10 + 1).tolist() for i in range(0, n, batch_size)]
    start = draw.draw(st.integers(0, scheme.num_batches))
    batches = [b.tolist() for b in stream.get_epoch_iterator(np.random.default_rng(3), start)]
    assert batches == expected[start:]
    assert stream.num_batches == len(expected)


def test_window_stream_reads_one_window_at_a_time():
    class Rows:
        def __init__(self):
            self.asked = []

        def __getitem__(self, rows):
            self.asked.append(rows)
            return rows

    stored = Rows()
    stream = WindowStream(stored, WindowScheme(100, 7, block=5, blocks=4), np.asarray)
    batches = stream.get_epoch_iterator(np.random.default_rng(0))
    next(batches)
    assert len(stored.asked) <= 2, "only the window in use and the one that is read ahead"
    assert sum(map(len, batches)) == 93
    assert [len(rows) for rows in stored.asked] == [20] * 5


def test_error_of_the_reading_thread_is_raised_for_the_batch():
    class Broken:
        def __getitem__(self, rows):
            raise InputError("x.hdf5: became unreadable")

    stream = WindowStream(Broken(), WindowScheme(10, 5), np.asarray)
    with pytest.raises(InputError, match="became unreadable"):
        next(stream.get_epoch_iterator(np.random.default_rng(0)))


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
        batches = [b.tolist() for b in stream.get_epoch_iterator(np.random.default_rng(0))]
        assert batches == [[100, 101, 102, 103], [104, 105]]
        (rest,) = stream.get_epoch_iterator(np.random.default_rng(0), start=1)
        assert rest.tolist() == [104, 105]


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
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 4, 4), np.uint8)
    prepared = PreparedImages(images, 1, Scaling(2.0, 0.5), "float32")
    stream = minibatches(prepared, 8)
    assert isinstance(stream, WindowStream)
    found = np.concatenate(list(stream.get_epoch_iterator(np.random.default_rng(0))))
    order = stream.scheme.order(np.random.default_rng(0))
    np.testing.assert_array_equal(found, prepared[:][order])
    assert isinstance(minibatches(prepared[:], 8), DataStream)
