"""Streams are mapped, filtered, merged, renamed and reduced to some sources."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets import IndexableDataset, IterableDataset
from dpm.datasets.fuel.schemes import SequentialScheme
from dpm.datasets.fuel.streams import DataStream
from dpm.datasets.fuel.transformers import Filter, FilterSources, Mapping, Merge, Rename


@pytest.fixture
def stream():
    labels = {"x": ("batch",), "y": ("batch",)}
    dataset = IndexableDataset({"x": np.arange(5), "y": np.arange(5) ** 2}, axis_labels=labels)
    return DataStream(dataset, iteration_scheme=SequentialScheme(5, 2))


def lists(epoch):
    return [tuple(values.tolist() for values in data) for data in epoch]


def test_a_mapping_replaces_or_adds_sources(stream):
    swapped = Mapping(stream, lambda data: data[::-1])
    assert lists(swapped.get_epoch_iterator())[0] == ([0, 1], [0, 1])
    summed = Mapping(stream, lambda data: (data[0] + data[1],), add_sources=("z",))
    assert summed.sources == ("x", "y", "z")
    assert [batch["z"].tolist() for batch in summed.get_epoch_iterator(as_dict=True)] == [[0, 2], [6, 12], [20]]


def test_a_filter_keeps_what_its_function_accepts(stream):
    kept = Filter(stream, lambda data: data[0].sum() != 5)
    assert lists(kept.get_epoch_iterator()) == [([0, 1], [0, 1]), ([4], [16])]
    assert [list(batch) for batch in kept.get_epoch_iterator(as_dict=True)] == [["x", "y"]] * 2
    assert kept.axis_labels == stream.axis_labels


def test_merged_streams_end_with_the_shortest():
    calls = []
    long, short = DataStream(IterableDataset("abc")), DataStream(IterableDataset(range(2)))
    both = Merge((long, short), ("letter", "number"))
    for _ in range(2):
        assert list(both.get_epoch_iterator()) == [("a", 0), ("b", 1)]
    assert next(both.get_epoch_iterator(as_dict=True)) == {"letter": "a", "number": 0}
    for stream in (long, short):
        for name in ("close", "reset", "next_epoch"):
            setattr(stream, name, lambda name=name: calls.append(name))
    both.reset(), both.next_epoch(), both.close()
    assert calls == ["reset"] * 2 + ["next_epoch"] * 2 + ["close"] * 2


def test_streams_of_different_kinds_are_not_merged(stream):
    with pytest.raises(InputError, match=r"^data_streams: "):
        Merge((stream, DataStream(IterableDataset("abc"))), ("x", "y", "letter"))
    with pytest.raises(InputError, match=r"^sources: got 1 names; expected one for each of 2 sources"):
        Merge((stream,), ("x",))


def test_sources_are_renamed(stream):
    renamed = Rename(stream, {"x": "y", "y": "x"})
    assert renamed.sources == ("y", "x")
    assert renamed.axis_labels == {"x": ("batch",), "y": ("batch",)}
    assert next(renamed.get_epoch_iterator(as_dict=True))["x"].tolist() == [0, 1]
    assert [batch["x"].tolist() for batch in renamed.get_epoch_iterator(as_dict=True)] == [[0, 1], [4, 9], [16]]
    with pytest.raises(KeyError, match="the stream has no z"):
        Rename(stream, {"z": "a"})


def test_sources_are_left_out(stream):
    squares = FilterSources(stream, ("y",))
    assert (squares.sources, squares.axis_labels) == (("y",), {"y": ("batch",)})
    assert lists(squares.get_epoch_iterator()) == [([0, 1],), ([4, 9],), ([16],)]
    with pytest.raises(InputError, match=r"^sources: got z; expected some of x, y"):
        FilterSources(stream, ("y", "z"))
    with pytest.raises(InputError, match=r"^request: "):
        Filter(stream, bool).get_data([1])
