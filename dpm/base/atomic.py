"""Atomic writes: a file is replaced in one step, or stays what it was."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dpm.base.errors import InputError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends, or is removed if the block fails.

    File and folder are flushed to the disk, so that after a crash `path` is either the old file or the new one, whole.
    The temporary files of earlier writers of `path` that were killed are removed.

    Args:
        path: file to replace; the temporary file is in the same folder.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "r+b") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
        _remove_stale(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as an indented JSON file, in one step."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def writable_folder(option: str, name: str | Path) -> Path:
    """Return the path of a folder that an option names.

    Raises:
        InputError: the folder does not exist or cannot be written; the message names the option.
    """
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(f"{option}: {folder} is not a folder; create it first, or give another")
    if folder.stat().st_nlink == 0:
        raise InputError(f"{option}: {folder} was deleted; change to a folder that exists, or give another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{option}: {folder} cannot be written; give another folder")
    return folder


def html_file(option: str, name: str | Path) -> Path:
    """Return the path of a page that an option names.

    Raises:
        InputError: it is not the name of an HTML file, or it cannot be written; the message names the option.
    """
    path = Path(name)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{option}: {path} is not accepted; give a name that ends in .html")
    if path.is_dir():
        raise InputError(f"{option}: {path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"{option}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{option}: the folder {path.parent} is not writable; give another folder")
    return path


def _flush_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be opened or flushed
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_stale(path: Path) -> None:
    """Remove the temporary files of `path` that are older than it and whose writers no longer run."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.([0-9]{{1,9}})\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):  # the file itself is written by now
        written_at = path.stat().st_mtime_ns
        for stale in path.parent.iterdir():
            match = pattern.fullmatch(stale.name)
            if match and stale.lstat().st_mtime_ns < written_at and _has_ended(int(match[1])):
                stale.unlink()


def _has_ended(pid: int) -> bool:
    # In a container every writer may have the same number; this process has just finished writing.
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # a process of another user
        pass
    return False
