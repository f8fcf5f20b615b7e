"""Compile times: seconds that compiling took the last time, on disk, to announce how long it will take."""

import hashlib
import json
import math
import os
from contextlib import suppress
from pathlib import Path

from dpm.base.atomic import atomic_write

MAX_TIMES = 200  # the newest are kept


def cache_folder() -> Path:
    """Return this program's folder among the user's caches; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dpm"


def key_of(*facts: object) -> str:
    """Return a key for what is compiled: a hash of facts, which are anything that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def last_seconds(key: str) -> float | None:
    """Return the seconds that compiling took the last time, or None."""
    return _load().get(key)


def keep_seconds(key: str, seconds: float) -> None:
    """Store the seconds that compiling took; where the folder cannot be written, do nothing."""
    times = _load()
    times.pop(key, None)
    newest = dict(list(times.items())[1 - MAX_TIMES :]) | {key: round(seconds, 1)}
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        with atomic_write(_path()) as temporary:
            temporary.write_text(json.dumps(newest))


def _path() -> Path:
    return cache_folder() / "compile_seconds.json"


def _load() -> dict[str, float]:
    """Return the numbers of seconds in the file; a damaged file has none."""
    try:
        times = json.loads(_path().read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    items = times.items() if isinstance(times, dict) else ()
    return {key: value for key, value in items if type(value) in (int, float) and math.isfinite(value)}
