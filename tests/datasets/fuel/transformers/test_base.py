"""What transformers of one's own inherit."""

import logging

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets import IndexableDataset
from dpm.datasets.fuel.exceptions import AxisLabelsMismatchError
from dpm.datasets.fuel.schemes import SequentialScheme
from dpm.datasets.fuel.streams import DataStream
from dpm.datasets.fuel.transformers import (
    AgnosticTransformer,
    ExpectsAxisLabels,
    SourcewiseTransformer,
    Transformer,
)


@pytest.fixture
def dataset():
    return IndexableDataset({"x": np.arange(6.0).reshape(3, 2), "y": np.arange(3)})


@pytest.fixture
def batches(dataset):
    return DataStream(dataset, iteration_scheme=SequentialScheme(3, 2))


class Negative(SourcewiseTransformer):
    def transform_source_batch(self, source_batch, source_name):
        return -source_batch


class Swap(AgnosticTransformer):
    def transform_any(self, data):
        return data[::-1]


def test_only_the_chosen_sources_are_transformed(batches):
    for chosen, signs in ((None, (-1, -1)), (("y",), (1, -1)), ((), (1, 1))):
        found = list(Negative(batches, False, which_sources=chosen).get_epoch_iterator())
        for new, old in zip(found, batches.get_epoch_iterator(), strict=True):
            for after, before, sign in zip(new, old, signs, strict=True):
                np.testing.assert_array_equal(after, sign * before)


def test_agnostic_transformers_take_both_kinds(batches, dataset):
    swapped = Swap(batches, produces_examples=False)
    swapped.sources = ("y", "x")
    assert next(swapped.get_epoch_iterator(as_dict=True))["y"].tolist() == [0, 1]
    assert next(Swap(dataset.get_example_stream(), True).get_epoch_iterator())[0] == 0


def test_what_is_not_supported_is_named(batches, dataset):
    examples = dataset.get_example_stream()
    with pytest.raises(NotImplementedError, match="Negative: does not take examples"):
        next(Negative(examples, True).get_epoch_iterator())
    for stream, kind in ((batches, "batches"), (examples, "examples")):
        with pytest.raises(NotImplementedError, match=f"Transformer: does not take {kind}"):
            next(Transformer(stream, stream.produces_examples).get_epoch_iterator())
    with pytest.raises(NotImplementedError, match="Transformer: gives batches, its stream examples"):
        next(Transformer(examples, False).get_epoch_iterator())
    with pytest.raises(InputError, match=r"^request: got \[0\]"):
        Negative(batches, False).get_data([0])


def test_the_stream_inside_is_reset_and_closed(batches):
    calls = []
    for name in ("close", "reset", "next_epoch"):
        setattr(batches, name, lambda name=name: calls.append(name))
    outer = Negative(Negative(batches, False), False)
    outer.reset(), outer.next_epoch(), outer.close()
    assert calls == ["reset", "next_epoch", "close"]


def test_axis_labels_are_verified_once(caplog):
    class Expecting(ExpectsAxisLabels):
        pass

    expecting = Expecting()
    with pytest.raises(AxisLabelsMismatchError, match=r"Expecting: got axes \('a',\) of x; expected \('b',\)"):
        expecting.verify_axis_labels(("b",), ("a",), "x")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            expecting.verify_axis_labels(("b",), None, "y")
            expecting.verify_axis_labels(("b",), ("b",), "x")
    assert [record.getMessage() for record in caplog.records] == [
        "Expecting: axes of y are not labeled, expected ('b',)"
    ]
    expecting.verify_axis_labels(("b",), ("c",), "x")  # not again
