"""Levels 0 .. 255 become 0 .. 1."""

import numpy as np

from dpm.datasets.fuel.datasets import IndexableDataset
from dpm.datasets.fuel.transformers.defaults import uint8_pixels_to_floatX


def test_levels_become_values_of_float_x(monkeypatch):
    monkeypatch.setenv("FUEL_FLOATX", "float32")
    dataset = IndexableDataset({"image": np.arange(256, dtype=np.uint8), "label": np.arange(256, dtype=np.uint8)})
    dataset.default_transformers = uint8_pixels_to_floatX(("image",))
    stream = dataset.apply_default_transformers(dataset.get_example_stream())
    images, labels = zip(*stream.get_epoch_iterator(), strict=True)
    assert images[0].dtype == np.float32
    np.testing.assert_allclose(images, np.arange(256) / 255, rtol=1e-7)
    assert list(labels) == list(range(256))
