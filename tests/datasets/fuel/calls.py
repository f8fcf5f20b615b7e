"""Compare calls of Fuel 0.2.0 with the same calls of dpm.datasets.fuel, and mixtures of both.

python -m tests.datasets.fuel.calls TARGET writes one paragraph per call: the call, what Fuel gives, what dpm gives.
SAME is the same down to the bits of arrays. MORE is accepted here and refused by Fuel.
"""

import ast
import pickle
import re
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tests.datasets.fuel import archives
from tests.datasets.fuel.call_list import CALLS, MIXED
from tests.datasets.fuel.run_programs import describe

MODULES = ("datasets", "schemes", "streams", "transformers")


def names_of(package):
    """The public names of a package, with a file, data sets and a stream."""
    import importlib

    import h5py

    found = {}
    for module in MODULES:
        found |= vars(importlib.import_module(f"{package}.{module}"))
    found |= {"numpy": np, "h5py": h5py, "pickle": pickle, "P": "tiny.hdf5"}
    found["WORDS"] = {word: number for number, word in enumerate(["<S>", "</S>", "<UNK>", "a", "rose", "is", "o"])}
    found["ds"] = found["H5PYDataset"]("tiny.hdf5", which_sets=("train",))
    found["memory"] = found["H5PYDataset"]("tiny.hdf5", which_sets=("train",), load_in_memory=True)
    scheme = found["SequentialScheme"](16, 4)
    found["stream"] = found["DataStream"](found["ds"], iteration_scheme=scheme)
    found["letters"] = found["DataStream"](found["IterableDataset"](range(3)))
    return found


def value_of(line, names):
    """("ok", description, short text) of what a line gives, or ("ERR", "", its error)."""
    names = dict(names)
    *first, last = ast.parse(line).body
    try:
        if not isinstance(last, ast.Expr):
            exec(line, names)
            return "ok", None, "None"
        exec(compile(ast.Module(first, []), "call", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "call", "eval"), names)
    except Exception as error:
        return "ERR", "", f"{type(error).__name__}: {re.sub(' at 0x[0-9a-f]*', '', ' '.join(str(error).split()))}"
    return "ok", describe(value), shorten(value)


def shorten(value):
    """A value in a few words."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape} {value.dtype}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shorten(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        more = ", ..." * (len(value) > 4)
        return f"{type(value).__name__}({', '.join(map(shorten, value[:4]))}{more})"
    return str(value) if isinstance(value, np.generic) else repr(value)


def compare(theirs, ours):
    """SAME, both refuse, MORE (only Fuel refuses) or DIFF."""
    if theirs[0] == ours[0] == "ERR":
        return "both refuse"
    if theirs[0] == "ERR":
        return "MORE"
    return "SAME" if theirs[:2] == ours[:2] else "DIFF"


def compare_calls():
    """Yield (word, text of the paragraph) for each call."""
    theirs, ours = names_of("fuel"), names_of("dpm.datasets.fuel")
    for line in filter(None, CALLS.splitlines()):
        pair = value_of(line, theirs), value_of(line, ours)
        word = compare(*pair)
        yield word, f"[{word}] {line}\n      fuel: {pair[0][0]} {pair[0][2]}\n      dpm : {pair[1][0]} {pair[1][2]}\n"


class Dictionaries:
    """The batches of a stream as dictionaries."""

    def __init__(self, stream):
        self.get_epoch_iterator = lambda: stream.get_epoch_iterator(as_dict=True)


def compare_mixtures():
    """Yield (word, text of the paragraph) for each mixture of packages."""
    from dpm.datasets import FuelStream

    packages = {"fuel": SimpleNamespace(**names_of("fuel")), "dpm": SimpleNamespace(**names_of("dpm.datasets.fuel"))}
    common = {
        "numpy": np,
        "FuelStream": FuelStream,
        "Dictionaries": Dictionaries,
        "generator": np.random.default_rng(0),
    }
    for line in filter(None, MIXED.splitlines()):
        expected = value_of(line, common | {"A": packages["fuel"], "B": packages["fuel"]})
        text, words = "", set()
        for outer, inner in (("fuel", "dpm"), ("dpm", "fuel"), ("dpm", "dpm")):
            found = value_of(line, common | {"A": packages[outer], "B": packages[inner]})
            words.add(compare(expected, found))
            text += f"      A {outer}, B {inner}: {found[0]} {found[2]}\n"
        word = words.pop() if len(words) == 1 else "DIFF"
        yield word, f"[mix {word}] {line}\n      fuel alone: {expected[0]} {expected[2]}\n{text}"


def write(target):
    """Write the paragraphs to a file; the working folder has the golden files of Fuel."""
    from dpm.datasets import write_hdf5

    rng = np.random.default_rng(0)
    sets = {
        part: {"features": rng.integers(0, 256, (n, 1, 8, 8), np.uint8)} for part, n in (("train", 16), ("test", 4))
    }
    write_hdf5("tiny.hdf5", sets, {"features": ("batch", "channel", "height", "width")})
    Path("words.txt").write_text("a rose is\na rose\n")
    found = [*compare_calls(), *compare_mixtures()]
    words = [word for word, _ in found]
    head = ", ".join(f"{words.count(word)} {word}" for word in ("SAME", "both refuse", "MORE", "DIFF"))
    Path(target).write_text(f"{len(words)} calls: {head}\n\n" + "".join(text for _, text in found))


def main(target):
    """Write the comparison to `target` in a process that can import Fuel, which is downloaded into pytest's cache."""
    cache = archives.ROOT / ".pytest_cache" / "d" / "fuel-0.2.0"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = archives.unpack(cache, folder)
        done = archives.run_module(path, folder, "tests.datasets.fuel.calls", Path(target).absolute(), "here")
    sys.exit(done.stderr)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        from tests.datasets.fuel import aliases  # noqa: F401

        write(sys.argv[1])
    else:
        main(sys.argv[1])
