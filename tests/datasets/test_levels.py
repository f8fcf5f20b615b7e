"""Data of few values as 8-bit numbers and a table (dpm/datasets/levels.py)."""

import numpy as np
import pytest

from dpm.datasets import levels
from dpm.datasets.levels import compress_levels


@pytest.mark.parametrize("chunk", [7, 1 << 20])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_table_gives_the_same_bits(chunk, dtype, monkeypatch):
    """256 levels of scaled 8-bit images, of which a late chunk has some that no earlier one has."""
    monkeypatch.setattr(levels, "CHUNK", chunk)
    X = (np.arange(300).clip(max=255).reshape(3, 100) / 255 * 3.2 - 0.4).astype(dtype)
    numbers, table = compress_levels(X)
    assert numbers.dtype == np.uint8
    assert (table.shape, table.dtype) == ((256,), X.dtype)
    np.testing.assert_array_equal(table[numbers], X)


@pytest.mark.parametrize("chunk", [7, 1 << 20])
@pytest.mark.parametrize(
    "X", [np.arange(257.0), np.array([0.0, np.nan, 1.0]), np.empty((0, 3))], ids=["257 values", "NaN", "empty"]
)
def test_other_data_stay_as_they_are(X, chunk, monkeypatch):
    monkeypatch.setattr(levels, "CHUNK", chunk)
    same, table = compress_levels(X)
    assert same is X
    assert table is None
