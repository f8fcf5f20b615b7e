"""The idx format: valid files are read, hostile ones are refused before anything large is allocated."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.formats.idx import read_idx


def idx(array, code=0x08, shape=None):
    shape = array.shape if shape is None else shape
    big_endian = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + big_endian


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_all_types_are_read_in_native_byte_order(tmp_path, code, dtype, pack):
    array = IMAGES.astype(dtype)
    path = tmp_path / "images"
    path.write_bytes(pack(idx(array, code)))
    found = read_idx(path)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with"),
        (b"<!DOCTYPE html>", "begins with"),
        (idx(IMAGES, code=0x0A), "begins with"),
        (idx(IMAGES)[:10], "inside its header"),
        (idx(IMAGES)[:-1], "only 119"),
        (idx(IMAGES) + b"\0", "more"),
        (idx(IMAGES, shape=(6, 5, 5)), "only 120|at most"),
        (bytes([0, 0, 8, 5]) + bytes(20), "begins with"),
    ],
    ids=["empty", "html", "type", "header", "short", "trailing", "grown", "dimensions"],
)
def test_file_that_contradicts_its_header_is_refused(tmp_path, content, said, pack):
    path = tmp_path / "bad-idx"
    path.write_bytes(pack(content))
    with pytest.raises(InputError, match=said) as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(60000, 28, 28), (2**32 - 1,) * 3], ids=str)
def test_false_dimensions_allocate_nothing(tmp_path, shape, pack):
    path = tmp_path / "huge"
    path.write_bytes(pack(idx(IMAGES, shape=shape)))
    tracemalloc.start()
    with pytest.raises(InputError, match="at most"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("keep", [2, 12, -1, -9])
def test_incomplete_gzip_file_is_refused(tmp_path, keep):
    path = tmp_path / "half.gz"
    path.write_bytes(gzip.compress(idx(IMAGES))[:keep])
    with pytest.raises(InputError, match=r"half\.gz: damaged or incomplete gzip file"):
        read_idx(path)


def test_gzip_checksum_detects_a_flipped_bit(tmp_path):
    path = tmp_path / "flipped.gz"
    packed = bytearray(gzip.compress(idx(IMAGES), 0))
    packed[-20] ^= 1
    path.write_bytes(packed)
    with pytest.raises(InputError, match="CRC"):
        read_idx(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"none: cannot be read \(No such file"):
        read_idx(tmp_path / "none")


def test_gzip_bomb_behind_a_small_header_is_not_decompressed(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(IMAGES) + bytes(64 << 20)))
    tracemalloc.start()
    with pytest.raises(InputError, match="more"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
