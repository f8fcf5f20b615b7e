"""Examples are collected in batches and come out of them in the same order."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets import IndexableDataset
from dpm.datasets.fuel.schemes import ConstantScheme, SequentialExampleScheme, SequentialScheme
from dpm.datasets.fuel.streams import DataStream
from dpm.datasets.fuel.transformers import Batch, Cache, Mapping, Padding, SortMapping, Unpack

SEQUENCES = [np.arange(k) + 10 * k for k in (2, 4, 1)]


@pytest.fixture
def dataset():
    labels = {"x": ("batch", "feature"), "y": None}
    return IndexableDataset({"x": np.arange(10).reshape(5, 2), "y": np.arange(5)}, axis_labels=labels)


@pytest.fixture
def batches(dataset):
    return DataStream(dataset, iteration_scheme=SequentialScheme(5, 2))


@pytest.fixture
def sequences():
    return DataStream(IndexableDataset({"s": SEQUENCES}), iteration_scheme=SequentialScheme(3, 3))


def numbers(stream):
    return [y.tolist() for _, y in stream.get_epoch_iterator()]


def test_examples_are_collected(dataset):
    stream = dataset.get_example_stream()
    assert numbers(Batch(stream, ConstantScheme(2))) == [[0, 1], [2, 3], [4]]
    assert numbers(Batch(stream, ConstantScheme(2), strictness=1)) == [[0, 1], [2, 3]]
    with pytest.raises(InputError, match=r"^request: 2 examples, 1 are left"):
        numbers(Batch(stream, ConstantScheme(2), strictness=2))
    batch = Batch(stream, ConstantScheme(5), strictness=2)
    assert batch.axis_labels == {"x": ("batch", "feature"), "y": None}
    for _ in range(2):
        ((x, _),) = batch.get_epoch_iterator()
        np.testing.assert_array_equal(x, dataset.x)


def test_batches_are_taken_apart(batches, dataset):
    stream = Unpack(batches)
    assert stream.axis_labels == {"x": ("feature",), "y": None}
    next(stream.get_epoch_iterator())
    assert [int(y) for _, y in stream.get_epoch_iterator()] == [0, 1, 2, 3, 4], "not the rest of the epoch before"
    assert numbers(Batch(stream, ConstantScheme(3))) == [[0, 1, 2], [3, 4]]


def test_large_batches_are_divided(dataset):
    large = DataStream(dataset, iteration_scheme=SequentialScheme(5, 4))
    stream = Cache(large, ConstantScheme(2))
    for _ in range(2):
        assert numbers(stream) == [[0, 1], [2, 3], [4]]
    assert stream.axis_labels == large.axis_labels


def test_sequences_are_padded_with_zeros(sequences):
    stream = Padding(sequences, mask_dtype="bool")
    assert stream.sources == ("s", "s_mask")
    ((padded, mask),) = stream.get_epoch_iterator()
    assert padded.tolist() == [[20, 21, 0, 0], [40, 41, 42, 43], [10, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert mask.dtype == bool
    unchanged = Padding(sequences, mask_sources=())
    assert unchanged.sources == ("s",)
    assert next(unchanged.get_epoch_iterator())[0] == SEQUENCES
    wide = IndexableDataset({"s": [np.zeros((2, 3)), np.zeros((2, 4))]})
    with pytest.raises(InputError, match=r"^s: its sequences differ in more than their length"):
        next(Padding(DataStream(wide, iteration_scheme=SequentialScheme(2, 2))).get_epoch_iterator())


def test_examples_of_a_batch_are_sorted(sequences, batches):
    ((found,),) = Mapping(sequences, SortMapping(lambda data: len(data[0]))).get_epoch_iterator()
    assert [len(sequence) for sequence in found] == [1, 2, 4]
    backward = Mapping(batches, SortMapping(lambda data: data[1], reverse=True))
    assert numbers(backward) == [[1, 0], [3, 2], [4]]


def test_examples_of_different_shapes_are_an_array_of_objects(sequences):
    ((batch,),) = Batch(Unpack(sequences), ConstantScheme(9)).get_epoch_iterator()
    assert batch.dtype == object
    assert [values.tolist() for values in batch] == [values.tolist() for values in SEQUENCES]


def test_the_wrong_kind_of_stream_or_scheme_is_refused(dataset, batches):
    examples = dataset.get_example_stream()
    for build in (
        lambda: Batch(batches, ConstantScheme(2)),
        lambda: Unpack(examples),
        lambda: Padding(examples),
    ):
        with pytest.raises(InputError, match=r"^data_stream: gives "):
            build()
    for build in (
        lambda: Batch(examples, SequentialExampleScheme(3)),
        lambda: Cache(batches, SequentialScheme(5, 1)),
    ):
        with pytest.raises(InputError, match=r"^iteration_scheme: "):
            build()
    for stream in (Batch(examples, ConstantScheme(2)), Cache(batches, ConstantScheme(1))):
        with pytest.raises(InputError, match=r"^request: got None; expected a number"):
            stream.get_data()
