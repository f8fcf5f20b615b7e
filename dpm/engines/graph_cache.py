"""Graph cache: graphs as JAX takes them, on disk, so that the next process with the same model need not build them."""

import hashlib
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dpm.base.atomic import atomic_write
from dpm.engines.compile_times import cache_folder, key_of
from dpm.graph.diffusion import Diffusion

PACKAGE = Path(__file__).parents[1]  # the folder dpm/
PACKAGES = ("pytensor", "jax", "jaxlib", "numpy", "scipy", "flatbuffers")  # whose versions a graph depends on
MAX_GRAPHS = 500  # those used last are kept; about 100 kB each


def is_available() -> bool:
    """Return True where graphs can be cached.

    They cannot where the program's files changed since they were imported, as the graphs are then not what the files
    say; nor without flatbuffers, by which JAX writes graphs, and which the extra jax installs.
    """
    try:
        return bool(version("flatbuffers")) and _hash_code() == CODE
    except PackageNotFoundError:
        return False


def model_facts(model: Diffusion) -> list[object] | None:
    """Return what determines the graphs of a model besides the program, as JSON can hold it, or None if unknown.

    It is unknown for a class from outside dpm, which may compute anything, whatever its arguments are.
    """
    classes = [type(part) for part in (model, model.kernel)]
    if model.arguments is None or not all(kind.__module__.startswith("dpm.") for kind in classes):
        return None
    return [*(f"{kind.__module__}.{kind.__qualname__}" for kind in classes), model.arguments]


def make_key(*facts: object) -> str:
    """Return the key of the graph that these facts, this program and the packages below it determine.

    Args:
        facts: anything that JSON can hold.
    """
    return key_of(*facts, CODE, platform.python_version(), *map(version, PACKAGES))


def load(key: str) -> bytes | None:
    """Return the graph that was stored under a key, or None where there is none or the file is damaged."""
    path = _folder() / key
    with suppress(OSError):
        content = path.read_bytes()
        checksum, graph = content[:32], content[32:]
        if checksum == hashlib.sha256(graph).digest():
            with suppress(OSError):
                path.touch()  # `store` removes those that were not used for longest
            return graph
    return None


def store(key: str, graph: bytes) -> None:
    """Store a graph under a key; where the folder cannot be written, do nothing."""
    with suppress(OSError):
        _folder().mkdir(parents=True, exist_ok=True)
        with atomic_write(_folder() / key) as temporary:
            temporary.write_bytes(hashlib.sha256(graph).digest() + graph)
        for old in sorted(_folder().iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-MAX_GRAPHS]:
            old.unlink(missing_ok=True)


def _folder() -> Path:
    return cache_folder() / "graphs"


def _hash_code() -> str:
    """Return the SHA-256 of all of this program's files."""
    code = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


CODE = _hash_code()
