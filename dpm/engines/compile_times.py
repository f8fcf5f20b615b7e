"""How long compiling took the last time, kept among the caches, so that a wait can be told beforehand."""

import hashlib
import json
import math
import os
from contextlib import suppress
from pathlib import Path

from dpm.base.atomic import atomic_write

MOST = 200  # kept: the newest


def cache_folder():
    """Where this user's caches of ours are; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dpm"


def key_of(*facts):
    """A name for what is compiled, from anything that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def last_seconds(key):
    """The seconds that it took the last time, or None."""
    return _known().get(key)


def keep_seconds(key, seconds):
    """Remember; where the folder cannot be written nothing is remembered."""
    known = _known()
    known.pop(key, None)
    newest = dict(list(known.items())[1 - MOST :]) | {key: round(seconds, 1)}
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        with atomic_write(_path()) as temporary:
            temporary.write_text(json.dumps(newest))


def _path():
    return cache_folder() / "compile_seconds.json"


def _known():
    """What the file holds and is a number of seconds; a file that is damaged holds nothing."""
    try:
        known = json.loads(_path().read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    items = known.items() if isinstance(known, dict) else ()
    return {key: value for key, value in items if type(value) in (int, float) and math.isfinite(value)}
