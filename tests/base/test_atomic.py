"""Atomic writes: the new file, or the old one, and no temporary files."""

import json
import os
import subprocess
import time

import pytest

from dpm.base.atomic import atomic_write, writable_folder, write_json
from dpm.base.errors import InputError


def test_the_new_content_replaces_the_old(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def leave(path, pid, age=10):
    """Make the temporary file of a killed writer of `path`, so many seconds old."""
    left = path.with_name(f".{path.name}.{pid}.0123abcd.tmp")
    left.write_text("half")
    moment = time.time() - age
    os.utime(left, (moment, moment))
    return left


def ended_process():
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def replace(path):
    with atomic_write(path) as temporary:
        temporary.write_text("new")


def test_temporary_files_of_killed_writers_are_removed(tmp_path):
    """Also one with our own process number: in a container every process may have the same."""
    for pid in (ended_process(), os.getpid()):
        leave(tmp_path / "x[1].h5", pid)
    replace(tmp_path / "x[1].h5")
    assert list(tmp_path.iterdir()) == [tmp_path / "x[1].h5"]


def test_temporary_files_of_running_writers_and_other_files_stay(tmp_path):
    """A running process, a file newer than the one written, and names of other files."""
    path = tmp_path / "x"
    kept = {
        leave(path, os.getppid()),
        leave(path, ended_process(), age=-100),
        leave(tmp_path / "y", ended_process()),
        leave(tmp_path / "x.x", ended_process()),
        leave(path, "9" * 30),
        leave(path, "-1"),
    }
    replace(path)
    assert set(tmp_path.iterdir()) == kept | {path}


def test_json_replaces_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    write_json(path, {"a": [1, 0.5, None]})
    assert json.loads(path.read_text()) == {"a": [1, 0.5, None]}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": [1, 0.5, None]}


def test_an_absent_folder_is_an_error_that_names_the_option(tmp_path):
    assert writable_folder("--output-dir", str(tmp_path)) == tmp_path
    (tmp_path / "file").touch()
    for name in ("file", "none"):
        with pytest.raises(InputError, match=r"^--output-dir: .* is not a folder; create it first"):
            writable_folder("--output-dir", tmp_path / name)


def test_a_working_folder_that_was_deleted_is_refused_before_the_work(tmp_path, monkeypatch):
    """A process keeps a deleted folder as its working directory, and every write in it fails."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(InputError, match=r"--output-dir: \. was deleted; change to a folder that exists"):
        writable_folder("--output-dir", ".")
    monkeypatch.undo()
