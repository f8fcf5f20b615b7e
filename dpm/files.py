"""Replacing a file in one step."""

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path):
    """A temporary path in the folder of `path` that takes its place when the block ends, or vanishes if it fails.

    Both the file and its folder are flushed to the disk, so that whenever the machine stops, `path` is either the
    old or the new file, whole. Raises OSError where the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "r+b") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush_folder(folder):
    with suppress(OSError):  # not every file system lets a folder be opened or flushed
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
