"""Data of few different values, such as 8-bit images in model units, as 8-bit numbers and a table."""

import numpy as np

LEVELS = 256
CHUNK = 1 << 20  # values looked up at once


def compress_levels(X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the numbers of the levels of X, uint8, and the table of the levels (256,), such that table[numbers] is X.

    X itself and None if it has more than 256 different values, or one that is not a number.

    Example:
        >>> numbers, table = compress_levels(np.array([[0.5, -1.0, 0.5]]))
        >>> numbers, table[numbers]
        (array([[1, 0, 1]], dtype=uint8), array([[ 0.5, -1. ,  0.5]]))
    """
    flat = X.ravel()
    table = np.unique(flat[:CHUNK])
    for start in range(CHUNK, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        if len(table) <= LEVELS:
            table = np.union1d(table, part[table[_find(table, part)] != part])
    if not 0 < len(table) <= LEVELS or np.isnan(table).any():
        return X, None
    numbers = np.empty(X.shape, np.uint8)
    out = numbers.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        out[start : start + CHUNK] = _find(table, flat[start : start + CHUNK])
    return numbers, np.concatenate([table, np.zeros(LEVELS - len(table), table.dtype)])


def _find(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the position in the sorted table of each value that it has, and some position of the others."""
    return np.minimum(np.searchsorted(table, values), len(table) - 1)
