"""Data sets of iterables and of arrays, and what every data set has."""

import math
import pickle

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets import Dataset, IndexableDataset, IterableDataset
from dpm.datasets.fuel.schemes import SequentialExampleScheme
from dpm.datasets.fuel.streams import DataStream


class Constant(Dataset):
    provides_sources = ("a", "b")

    def get_data(self, state=None, request=None):
        return self.filter_sources((1, 2))


def test_sources_are_chosen_in_the_order_of_the_data_set():
    assert Constant().get_data() == (1, 2)
    assert Constant(sources=("b",)).get_data() == (2,)
    assert Constant(sources=("b", "a")).get_data() == (1, 2)
    for bad in ((), ("c",)):
        with pytest.raises(InputError, match=r"^sources: got .*a, b"):
            Constant(sources=bad)

    class Nothing(Constant):
        provides_sources = None

    with pytest.raises(InputError, match=r"^provides_sources: Nothing has none"):
        Nothing()


def test_a_data_set_has_neither_state_nor_examples_unless_it_says_so():
    dataset = Constant()
    assert dataset.open() is dataset.reset(None) is dataset.next_epoch(None) is dataset.close(None) is None
    with pytest.raises(AttributeError, match="Constant has no example_iteration_scheme"):
        dataset.get_example_stream()
    dataset.example_iteration_scheme = SequentialExampleScheme(2)
    assert list(dataset.get_example_stream().get_epoch_iterator()) == [(1, 2), (1, 2)]


def test_iterables_are_read_together():
    dataset = IterableDataset({"letter": "abc", "number": range(3)})
    assert (dataset.num_examples, dataset.sources) == (3, ("letter", "number"))
    assert list(DataStream(dataset).get_epoch_iterator()) == [("a", 0), ("b", 1), ("c", 2)]
    one = IterableDataset({"letter": "abc", "number": range(3)}, sources=("number",))
    assert list(one.get_example_stream().get_epoch_iterator(as_dict=True)) == [{"number": n} for n in range(3)]
    assert math.isnan(IterableDataset(iter("ab")).num_examples)
    for state, request in ((None, None), (iter("a"), 3)):
        with pytest.raises(InputError, match=r"^request: "):
            dataset.get_data(state, request)


def test_iterables_must_be_iterable_and_of_one_length():
    with pytest.raises(InputError, match=r"^iterables: 'data' is int"):
        IterableDataset(3)
    with pytest.raises(InputError, match=r"^sources: differ in length"):
        IterableDataset({"a": [1], "b": [1, 2]})


def test_arrays_and_lists_are_indexed():
    dataset = IndexableDataset({"x": np.arange(8).reshape(4, 2), "y": list("abcd")})
    x, y = dataset.get_data(request=[3, 0])
    np.testing.assert_array_equal(x, [[6, 7], [0, 1]])
    assert y == ["d", "a"]
    assert dataset.get_data(request=slice(1, 3))[1] == ["b", "c"]
    assert dataset.get_data(request=2)[1] == "c"
    assert dataset.y == list("abcd")
    assert pickle.loads(pickle.dumps(dataset)).y == list("abcd")
    with pytest.raises(AttributeError, match="IndexableDataset has no attribute or source 'z'"):
        _ = dataset.z
    with pytest.raises(InputError, match=r"^sources: differ in length"):
        IndexableDataset({"a": [1], "b": [1, 2]})
    for state, request in ((1, [0]), (None, None), (None, [4])):
        with pytest.raises(InputError, match=r"^request: "):
            dataset.get_data(state, request)


@pytest.mark.parametrize(("start", "stop"), [(None, 4), (2, None), (2, 6), (None, None)])
def test_a_part_of_arrays_is_that_of_a_slice(start, stop):
    """Fuel 0.2.0 applies `start` twice."""
    expected = np.arange(9)[start:stop]
    for dataset in (IndexableDataset(np.arange(9), start, stop), IndexableDataset({"a": np.arange(9)}, start, stop)):
        assert dataset.num_examples == len(expected)
        np.testing.assert_array_equal(dataset.get_data(request=slice(None))[0], expected)
        np.testing.assert_array_equal(dataset.get_data(request=[1, 0])[0], expected[[1, 0]])
