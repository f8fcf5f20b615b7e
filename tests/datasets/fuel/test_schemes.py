"""Iteration schemes request each example once, in the order of their positions or of their generator."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm.base.errors import InputError
from dpm.datasets.fuel import schemes

SIZES = st.integers(1, 60)


@settings(deadline=None)
@given(SIZES, SIZES)
def test_sequential_batches_are_the_parts_of_a_range(n, batch_size):
    expected = [list(range(i, min(i + batch_size, n))) for i in range(0, n, batch_size)]
    scheme = schemes.SequentialScheme(n, batch_size)
    assert list(scheme.get_request_iterator()) == list(scheme.get_request_iterator()) == expected


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_shuffled_batches_are_those_of_the_generators_permutation(kind):
    scheme = schemes.ShuffledScheme(23, 7, rng=kind(5))
    rng = kind(5)
    for _ in range(2):
        order = rng.permutation(23).tolist()
        assert list(scheme.get_request_iterator()) == [order[i : i + 7] for i in range(0, 23, 7)]
    examples = schemes.ShuffledExampleScheme(23, rng=kind(5))
    assert list(examples.get_request_iterator()) == kind(5).permutation(23).tolist()


def test_default_generator_has_seed_1():
    expected = np.random.RandomState(1).permutation(9).tolist()
    assert list(schemes.ShuffledExampleScheme(9).get_request_iterator()) == expected
    assert next(schemes.ShuffledScheme(9, 9).get_request_iterator()) == expected


def test_positions_of_a_batch_can_be_sorted():
    scheme = schemes.ShuffledScheme(20, 6, rng=np.random.RandomState(0), sorted_indices=True)
    order = np.random.RandomState(0).permutation(20)
    assert list(scheme.get_request_iterator()) == [sorted(order[i : i + 6].tolist()) for i in range(0, 20, 6)]


def test_generator_is_used_when_an_epoch_is_requested():
    rng = np.random.RandomState(0)
    requests = schemes.ShuffledScheme(9, 2, rng=rng).get_request_iterator()
    after = rng.get_state()[2]
    list(requests)
    assert after == rng.get_state()[2] != np.random.RandomState(0).get_state()[2]


def test_given_positions_are_used_as_they_are():
    assert list(schemes.SequentialScheme([7, 1, 7], 2).get_request_iterator()) == [[7, 1], [7]]
    assert sorted(sum(schemes.ShuffledScheme([4, 2, 2], 2).get_request_iterator(), [])) == [2, 2, 4]  # noqa: RUF017
    assert list(schemes.SequentialExampleScheme([3, 0]).get_request_iterator()) == [3, 0]
    assert list(schemes.SequentialScheme(0, 2).get_request_iterator()) == []


def test_sizes_of_batches():
    sizes = schemes.ConstantScheme
    assert list(sizes(3, num_examples=7).get_request_iterator()) == [3, 3, 1]
    assert list(sizes(3, num_examples=6).get_request_iterator()) == [3, 3]
    assert list(sizes(3, times=2).get_request_iterator()) == [3, 3]
    endless = sizes(3).get_request_iterator()
    assert [next(endless) for _ in range(9)] == [3] * 9


def test_schemes_are_joined_if_their_requests_are_of_one_kind():
    batches = schemes.SequentialScheme(3, 2)
    joined = schemes.ConcatenatedScheme([batches, schemes.SequentialScheme([9], 2)])
    assert list(joined.get_request_iterator()) == [[0, 1], [2], [9]]
    assert not joined.requests_examples
    with pytest.raises(InputError, match=r"^schemes: "):
        schemes.ConcatenatedScheme([batches, schemes.SequentialExampleScheme(3)])


def test_folds_of_cross_validation_are_disjoint_and_complete():
    folds = list(schemes.cross_validation(schemes.SequentialExampleScheme, 7, 3, strict=False))
    assert [size for *_, size in folds] == [2, 2, 3]
    for train, valid, size in folds:
        parts = list(train.get_request_iterator()), list(valid.get_request_iterator())
        assert sorted([*parts[0], *parts[1]]) == list(range(7))
        assert len(parts[1]) == size
    with pytest.raises(InputError, match=r"^num_folds: 3 do not divide 7"):
        list(schemes.cross_validation(schemes.SequentialExampleScheme, 7, 3))


@pytest.mark.parametrize("kind", [schemes.SequentialScheme, schemes.ShuffledScheme])
@pytest.mark.parametrize("bad", [-1, 2.0, None, True], ids=repr)
def test_sizes_must_be_whole_numbers(kind, bad):
    with pytest.raises(InputError, match=r"^batch_size: .*at least 1"):
        kind(5, bad)
    with pytest.raises(InputError, match=r"^examples: .*at least 0"):
        kind(bad, 5)
    with pytest.raises(InputError, match=r"^times: "):
        schemes.ConstantScheme(3, 5, 2)


def test_requests_in_progress_can_be_pickled():
    for scheme in (schemes.ShuffledScheme(9, 2), schemes.SequentialScheme(9, 2), schemes.ShuffledExampleScheme(9)):
        requests = scheme.get_request_iterator()
        next(requests)
        copy = pickle.loads(pickle.dumps(requests))
        assert list(copy) == list(requests)
