"""Reading within limits, packed or not, and files replaced in one step."""

import gzip
import io

import pytest

from dpm.base.errors import InputError
from dpm.datasets import reading as files

CONTENT = bytes(range(256)) * 5000


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_first_bytes_and_not_the_name_say_whether_a_file_is_packed(tmp_path, pack):
    for name in ("a", "a.gz"):
        (tmp_path / name).write_bytes(pack(CONTENT))
        assert files.is_gzip(tmp_path / name) == (pack is gzip.compress)
        with files.open_plain_or_gzip(tmp_path / name) as stream:
            assert stream.read() == CONTENT


def test_no_file_unpacks_to_more_than_is_said(tmp_path):
    """Deflate copies at most 258 bytes for 2 bits: zeros are the worst case."""
    (tmp_path / "zeros").write_bytes(gzip.compress(bytes(10_000_000)))
    assert 10_000_000 < files.most_bytes(tmp_path / "zeros") < 15_000_000
    (tmp_path / "plain").write_bytes(CONTENT)
    assert files.most_bytes(tmp_path / "plain") == len(CONTENT)


def test_reading_stops_at_the_limit_and_at_the_end():
    for limit in (0, 1, files.CHUNK, files.CHUNK + 1, 10 * files.CHUNK):
        assert files.read_up_to(io.BytesIO(CONTENT), limit) == CONTENT[:limit]


def test_a_damaged_or_missing_file_is_named(tmp_path):
    (tmp_path / "half").write_bytes(gzip.compress(CONTENT)[:-9])
    with (
        pytest.raises(InputError, match="half: damaged or half downloaded"),
        files.open_plain_or_gzip(tmp_path / "half") as s,
    ):
        s.read()
    with pytest.raises(InputError, match="none: cannot be read"), files.open_plain_or_gzip(tmp_path / "none"):
        pass


def test_a_file_that_cannot_be_replaced_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be written"), files.atomic_write(tmp_path / "nowhere/file"):
        pass
