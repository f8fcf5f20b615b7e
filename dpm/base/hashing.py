"""SHA-256 digests of arrays."""

import hashlib
from collections.abc import Iterable

import numpy as np


def hash_array(array: np.ndarray) -> str:
    """Return the SHA-256 digest of an array's type, shape and numbers, as a hexadecimal text."""
    array = np.asarray(array, order="C")
    return hash_rows(array.dtype, array.shape, [array] if array.size else [])


def hash_rows(dtype: np.dtype, shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> str:
    """Return hash_array of an array that comes in parts: contiguous arrays whose rows follow one another."""
    digest = hashlib.sha256(f"{dtype.str}{tuple(shape)}".encode())
    for part in parts:
        digest.update(part.data)
    return digest.hexdigest()
