"""Reading within limits, compressed or not, and atomic replacement of files."""

import gzip
import io

import pytest

from dpm.base.errors import InputError
from dpm.datasets import reading

CONTENT = bytes(range(256)) * 5000


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_gzip_is_detected_by_the_first_bytes_not_by_the_name(tmp_path, pack):
    for name in ("a", "a.gz"):
        (tmp_path / name).write_bytes(pack(CONTENT))
        assert reading.is_gzip(tmp_path / name) == (pack is gzip.compress)
        with reading.open_plain_or_gzip(tmp_path / name) as stream:
            assert stream.read() == CONTENT


def test_unpacked_size_is_bounded(tmp_path):
    """Zeros are the worst case: deflate copies at most 258 bytes for 2 bits."""
    (tmp_path / "zeros").write_bytes(gzip.compress(bytes(10_000_000)))
    assert 10_000_000 < reading.max_unpacked_bytes(tmp_path / "zeros") < 15_000_000
    (tmp_path / "plain").write_bytes(CONTENT)
    assert reading.max_unpacked_bytes(tmp_path / "plain") == len(CONTENT)


def test_read_up_to_stops_at_the_limit_and_at_the_end():
    for limit in (0, 1, reading.CHUNK, reading.CHUNK + 1, 10 * reading.CHUNK):
        assert reading.read_up_to(io.BytesIO(CONTENT), limit) == CONTENT[:limit]


def test_damaged_and_missing_files_are_errors_with_their_name(tmp_path):
    (tmp_path / "half").write_bytes(gzip.compress(CONTENT)[:-9])
    with (
        pytest.raises(InputError, match="half: damaged or incomplete gzip file"),
        reading.open_plain_or_gzip(tmp_path / "half") as s,
    ):
        s.read()
    with pytest.raises(InputError, match="none: cannot be read"), reading.open_plain_or_gzip(tmp_path / "none"):
        pass


def test_unwritable_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written"), reading.atomic_write(tmp_path / "nowhere/file"):
        pass
