"""Minibatches: each example once, the last partial batch kept, the order from the generator alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm.datasets import DataStream, SequentialScheme, ShuffledScheme
from dpm.errors import InputError

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
def test_a_resumed_epoch_is_the_rest_of_the_same_epoch(n, batch_size, kind, draw):
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


def test_the_order_depends_on_the_generator_passed_in_and_changes_each_epoch():
    scheme = ShuffledScheme(50, 50)
    rng = np.random.default_rng(1)
    first, second = (next(iter(scheme.get_request_iterator(rng))).tolist() for _ in range(2))
    (again,) = scheme.get_request_iterator(np.random.default_rng(1))
    (other,) = scheme.get_request_iterator(np.random.default_rng(2))
    assert first == again.tolist()
    assert first != second
    assert first != other.tolist()
    assert first != sorted(first)


def test_global_random_state_is_neither_used_nor_moved():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    list(ShuffledScheme(20, 5).get_request_iterator(np.random.default_rng(0)))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_generator_is_drawn_from_when_the_epoch_is_asked_for():
    rng = np.random.default_rng(3)
    epoch = DataStream(np.arange(9), ShuffledScheme(9, 2)).get_epoch_iterator(rng)
    after = rng.bit_generator.state
    list(epoch)
    assert rng.bit_generator.state == after
    assert after != np.random.default_rng(3).bit_generator.state


def test_a_batch_size_beyond_the_data_is_one_batch():
    stream = DataStream(np.arange(4), ShuffledScheme(4, 1000))
    (batch,) = stream.get_epoch_iterator(np.random.default_rng(0))
    assert sorted(batch) == [0, 1, 2, 3]


def test_a_batch_may_be_changed_without_changing_the_data():
    data = np.zeros((4, 2))
    for batch in DataStream(data, SequentialScheme(4, 2)).get_epoch_iterator(np.random.default_rng(0)):
        batch += 1
    assert not data.any()


@pytest.mark.parametrize("kind", [SequentialScheme, ShuffledScheme])
@pytest.mark.parametrize("bad", [0, -1, 2.0, "3", None, True], ids=repr)
def test_sizes_that_are_no_whole_numbers_of_at_least_1_are_refused_by_name(kind, bad):
    with pytest.raises(InputError, match=r"^batch_size: .*at least 1"):
        kind(5, bad)
    with pytest.raises(InputError, match=r"^n: .*at least 1"):
        kind(bad, 5)


def test_sizes_may_be_numpy_integers():
    assert ShuffledScheme(np.int64(5), np.int32(2)).num_batches == 3


@pytest.mark.parametrize("start", [-1, 4, 1.0])
def test_a_start_outside_the_epoch_is_refused(start):
    stream = DataStream(np.arange(7), SequentialScheme(7, 3))
    with pytest.raises(InputError, match=r"^start: "):
        stream.get_epoch_iterator(np.random.default_rng(0), start)


def test_a_scheme_for_another_number_of_examples_is_refused():
    with pytest.raises(InputError, match=r"^scheme: orders 5 examples, .* 4;"):
        DataStream(np.arange(4), SequentialScheme(5, 2))
