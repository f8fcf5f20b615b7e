"""A data stream asks its data set for the requests of its scheme."""

import itertools

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets import Dataset, IndexableDataset
from dpm.datasets.fuel.schemes import ConstantScheme, SequentialExampleScheme, SequentialScheme
from dpm.datasets.fuel.streams import DataStream
from dpm.datasets.fuel.transformers import ScaleAndShift


class Counter(Dataset):
    """Numbers from 0 on; the state is a list with the next number. It notes what is called."""

    provides_sources = ("number",)
    default_transformers = ((ScaleAndShift, [10, 1], {}),)

    def __init__(self):
        super().__init__(axis_labels={"number": ("batch",), "other": None})
        self.called = []

    def open(self):
        self.called.append("open")
        return [0]

    def close(self, state):
        self.called.append("close")

    def get_data(self, state=None, request=None):
        first, state[0] = state[0], state[0] + request
        return (np.arange(first, first + request),)


def numbers(epoch):
    return [data.tolist() for (data,) in epoch]


def test_state_is_kept_within_an_epoch_and_renewed_for_the_next():
    dataset = Counter()
    stream = DataStream(dataset, iteration_scheme=ConstantScheme(2, times=2))
    assert dataset.called == ["open"]
    for epoch in itertools.islice(stream.iterate_epochs(), 2):
        assert numbers(epoch) == [[0, 1], [2, 3]]
    assert dataset.called == ["open", "close", "open"]
    next(stream.get_epoch_iterator())
    stream.reset()
    assert numbers(stream.get_epoch_iterator()) == [[0, 1], [2, 3]]
    stream.close()
    assert dataset.called[-1] == "close"
    assert stream.data_state is None


def test_a_stream_of_examples_has_no_batch_axis():
    dataset = IndexableDataset({"x": np.arange(6).reshape(3, 2)}, axis_labels={"x": ("batch", "feature")})
    examples = DataStream(dataset, iteration_scheme=SequentialExampleScheme(3))
    assert examples.produces_examples
    assert examples.axis_labels == {"x": ("feature",)}
    assert dataset.axis_labels == {"x": ("batch", "feature")}, "the labels of the data set stay"
    batches = DataStream(dataset, iteration_scheme=SequentialScheme(3, 2))
    assert not batches.produces_examples
    assert [batch["x"].shape for batch in batches.get_epoch_iterator(as_dict=True)] == [(2, 2), (1, 2)]
    batches.sources = ("y",)
    assert list(next(batches.get_epoch_iterator(as_dict=True))) == ["y"]


def test_the_kind_of_a_stream_is_set_by_its_scheme():
    stream = DataStream(Counter(), iteration_scheme=ConstantScheme(2))
    with pytest.raises(InputError, match="ConstantScheme determines it"):
        stream.produces_examples = True
    unknown = DataStream(Counter())
    del unknown._produces_examples
    with pytest.raises(InputError, match="is not known for DataStream"):
        _ = unknown.produces_examples


def test_default_stream_has_the_default_transformers():
    stream = DataStream.default_stream(Counter(), iteration_scheme=ConstantScheme(3, times=1))
    assert numbers(stream.get_epoch_iterator()) == [[1, 11, 21]]
