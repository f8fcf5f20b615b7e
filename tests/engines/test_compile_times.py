"""Compile times are stored for each model, and no failure of theirs stops a run."""

import pytest

from dpm.engines import compile_times


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dpm" / "compile_seconds.json"


def test_seconds_are_stored_by_what_was_compiled(cache):
    first, second = (compile_times.key_of("jax", {"n_scales": n}) for n in (1, 2))
    assert compile_times.last_seconds(first) is None
    compile_times.keep_seconds(first, 12.34)
    compile_times.keep_seconds(second, 5)
    compile_times.keep_seconds(first, 7.04)
    assert (compile_times.last_seconds(first), compile_times.last_seconds(second)) == (7.0, 5)


def test_the_oldest_are_removed(cache):
    for i in range(compile_times.MAX_TIMES + 5):
        compile_times.keep_seconds(str(i), i)
    assert compile_times.last_seconds("4") is None
    assert compile_times.last_seconds("5") == 5


@pytest.mark.parametrize("content", ["", "[1]", '{"k": "text"}', '{"k": NaN}', '{"k": true}', "[" * 100_000])
def test_a_damaged_file_counts_as_empty(cache, content):
    cache.parent.mkdir()
    cache.write_text(content)
    assert compile_times.last_seconds("k") is None
    compile_times.keep_seconds("k", 3)
    assert compile_times.last_seconds("k") == 3


def test_a_folder_that_cannot_be_created_is_no_error(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    compile_times.keep_seconds("k", 3)
    assert compile_times.last_seconds("k") is None
