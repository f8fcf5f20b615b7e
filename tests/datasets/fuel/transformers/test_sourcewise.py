"""Transformers of values are the numpy functions of their names."""

import numpy as np
import pytest

from dpm.datasets.fuel.config_parser import config
from dpm.datasets.fuel.datasets import IndexableDataset
from dpm.datasets.fuel.schemes import SequentialScheme
from dpm.datasets.fuel.streams import DataStream
from dpm.datasets.fuel.transformers import Cast, Flatten, ForceFloatX, ScaleAndShift

LABELS = {"x": ("batch", "channel", "height"), "y": None}


@pytest.fixture(params=["examples", "batches"])
def stream(request):
    values = np.random.default_rng(0).integers(0, 256, (4, 2, 3), np.uint8)
    dataset = IndexableDataset({"x": values, "y": np.arange(4.0)}, axis_labels=LABELS)
    if request.param == "examples":
        return dataset.get_example_stream()
    return DataStream(dataset, iteration_scheme=SequentialScheme(4, 3))


def check(transformed, stream, expect, sources=("x",)):
    """Compare each source with a function of the original one."""
    # One after the other: a transformer has one epoch at a time.
    found, original = list(transformed.get_epoch_iterator()), list(stream.get_epoch_iterator())
    for new, old in zip(found, original, strict=True):
        for source, after, before in zip(("x", "y"), new, old, strict=True):
            expected = np.asarray(expect(before) if source in sources else before)
            assert after.dtype == expected.dtype
            np.testing.assert_array_equal(after, expected)


def test_flatten(stream):
    flat = Flatten(stream, which_sources=("x",))
    if stream.produces_examples:
        check(flat, stream, np.ravel)
        assert flat.axis_labels == {"x": ("feature",), "y": None}
    else:
        check(flat, stream, lambda values: values.reshape(len(values), 6))
        assert flat.axis_labels == {"x": ("batch", "feature"), "y": None}
    assert flat.produces_examples == stream.produces_examples


def test_scale_and_shift_and_cast(stream):
    scaled = ScaleAndShift(stream, 0.5, -1, which_sources=("x",))
    check(scaled, stream, lambda values: values * 0.5 - 1)
    check(Cast(scaled, "float16", which_sources=("x",)), scaled, lambda values: values.astype("float16"))
    check(Cast(stream, "int64"), stream, lambda values: np.asarray(values, "int64"), ("x", "y"))
    assert scaled.axis_labels == stream.axis_labels
    assert scaled.axis_labels is not stream.axis_labels


def test_float_x_is_a_setting(stream, monkeypatch):
    monkeypatch.setenv("FUEL_FLOATX", "float32")
    assert config.floatX == "float32"
    check(Cast(stream, "floatX"), stream, lambda values: np.asarray(values, "float32"), ("x", "y"))
    floats = ScaleAndShift(stream, 1.5, 0, which_sources=("x",))
    check(ForceFloatX(floats, which_sources=("x",)), floats, lambda values: values.astype("float32"))
    check(ForceFloatX(stream, which_sources=("x",)), stream, np.asarray)
