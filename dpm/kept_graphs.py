"""Graphs as JAX takes them, kept among the caches: the next run with the same model need not build them again."""

import hashlib
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import dpm
from dpm.compile_time import cache_folder, key_of
from dpm.files import replacing

MOST = 200  # kept: the newest; about 100 kB each


def possible():
    """Whether graphs can be written: JAX needs flatbuffers for that, which the extra jax installs."""
    try:
        return bool(version("flatbuffers"))
    except PackageNotFoundError:
        return False


def key(*facts):
    """The name of a graph that these facts (what JSON can hold), this program and the packages below it determine."""
    return key_of(*facts, _program())


def load(name):
    """The bytes that were kept under a key, or None; damaged ones are as none."""
    with suppress(OSError):
        content = (_folder() / name).read_bytes()
        checksum, graph = content[:32], content[32:]
        if checksum == hashlib.sha256(graph).digest():
            return graph
    return None


def keep(name, graph):
    """Remember the bytes of a graph; where the folder cannot be written nothing is remembered."""
    with suppress(OSError):
        _folder().mkdir(parents=True, exist_ok=True)
        with replacing(_folder() / name) as temporary:
            temporary.write_bytes(hashlib.sha256(graph).digest() + graph)
        for old in sorted(_folder().iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-MOST]:
            old.unlink(missing_ok=True)


def _folder():
    return cache_folder() / "graphs"


@cache
def _program():
    """What every graph depends on: this program's code, and the versions of what builds and writes graphs."""
    code = hashlib.sha256()
    for path in sorted(Path(dpm.__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    packages = ("pytensor", "jax", "jaxlib", "numpy", "scipy", "flatbuffers")
    return [code.hexdigest(), platform.python_version(), *map(version, packages)]
