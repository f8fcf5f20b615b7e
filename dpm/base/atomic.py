"""Replacing a file in one step, and folders to write in."""

import json
import os
import re
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path

from dpm.base.errors import InputError


@contextmanager
def atomic_write(path):
    """A temporary path in the folder of `path` that takes its place when the block ends, or vanishes if it fails.

    Both the file and its folder are flushed to the disk, so that whenever the machine stops, `path` is either the
    old or the new file, whole. What writers of `path` left that were killed before is removed then. Raises OSError
    where the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "r+b") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
        _remove_left(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    """value as an indented JSON file, replaced in one step."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def writable_folder(option, name):
    """The path of a folder that an option names; InputError, naming the option, where it cannot be written in."""
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(f"{option}: {folder} is not a folder; create it first, or give another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{option}: {folder} cannot be written; give another folder")
    return folder


def _flush_folder(folder):
    with suppress(OSError):  # not every file system lets a folder be opened or flushed
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_left(path):
    """Remove the temporary files of `path` that are older than it and whose writers are gone."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.([0-9]{{1,9}})\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):  # the file is written, whatever becomes of these
        written = path.stat().st_mtime_ns
        for left in path.parent.iterdir():
            match = pattern.fullmatch(left.name)
            if match and left.lstat().st_mtime_ns < written and _is_gone(int(match[1])):
                left.unlink()


def _is_gone(pid):
    # In a container every writer may have the same number; this process has just ended its writing.
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        pass
    return False
