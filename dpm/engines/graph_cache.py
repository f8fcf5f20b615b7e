"""Graphs as JAX takes them, kept among the caches: the next run with the same model need not build them again."""

import hashlib
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import dpm
from dpm.base.atomic import atomic_write
from dpm.engines.compile_times import cache_folder, key_of

MOST = 500  # kept: those used last; about 100 kB each


def possible():
    """Whether graphs can be kept.

    Not where the program's files were changed since they were imported, as what is computed is then not what they say;
    nor without flatbuffers, by which JAX writes graphs, and which the extra jax installs.
    """
    try:
        return bool(version("flatbuffers")) and _code() == CODE
    except PackageNotFoundError:
        return False


def facts(model):
    """What determines the graphs of a model besides the program, as JSON can hold it; None where that is not known.

    A class of elsewhere may compute anything, whatever its arguments are.
    """
    classes = [type(part) for part in (model, model.kernel)]
    if model.arguments is None or not all(kind.__module__.startswith("dpm.") for kind in classes):
        return None
    return [*(f"{kind.__module__}.{kind.__qualname__}" for kind in classes), model.arguments]


def key(*facts):
    """The name of a graph that these facts (what JSON can hold), this program and the packages below it determine."""
    packages = ("pytensor", "jax", "jaxlib", "numpy", "scipy", "flatbuffers")
    return key_of(*facts, CODE, platform.python_version(), *map(version, packages))


def load(name):
    """The bytes that were kept under a key, or None; damaged ones are as none."""
    path = _folder() / name
    with suppress(OSError):
        content = path.read_bytes()
        checksum, graph = content[:32], content[32:]
        if checksum == hashlib.sha256(graph).digest():
            with suppress(OSError):
                path.touch()  # the oldest are those that were not used for longest
            return graph
    return None


def keep(name, graph):
    """Remember the bytes of a graph; where the folder cannot be written nothing is remembered."""
    with suppress(OSError):
        _folder().mkdir(parents=True, exist_ok=True)
        with atomic_write(_folder() / name) as temporary:
            temporary.write_bytes(hashlib.sha256(graph).digest() + graph)
        for old in sorted(_folder().iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-MOST]:
            old.unlink(missing_ok=True)


def _folder():
    return cache_folder() / "graphs"


def _code():
    """SHA-256 of all of this program's files."""
    code = hashlib.sha256()
    for path in sorted(Path(dpm.__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


CODE = _code()
