"""Digests of arrays: type, shape and numbers count, the memory layout does not."""

import hashlib

import numpy as np

from dpm.base.hashing import hash_array, hash_rows


def test_the_digest_is_of_type_shape_and_bytes():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = hashlib.sha256(b"<f4(2, 3)" + array.tobytes()).hexdigest()
    assert hash_array(array) == expected
    assert hash_array(np.asfortranarray(array)) == expected
    assert len({hash_array(a) for a in (array, array.reshape(3, 2), array.astype(np.float64), array + 1)}) == 4


def test_parts_have_the_digest_of_the_whole():
    array = np.arange(12, dtype=np.uint8).reshape(4, 3)
    assert hash_rows(array.dtype, array.shape, iter([array[:1], array[1:]])) == hash_array(array)
    assert hash_array(np.empty((0, 3))) == hash_rows(np.dtype(float), (0, 3), [])
