"""Run programs of 2015 under Fuel or under dpm, and write their results, bit by bit, as JSON.

python -m tests.datasets.fuel.run_programs PACKAGE TARGET PROGRAM...: PACKAGE is fuel or dpm.datasets.fuel, and the
working folder has the data.
"""

import hashlib
import json
import re
import sys
from numbers import Integral
from pathlib import Path

import numpy as np


def describe(value):
    """Return a value as JSON: arrays by dtype, shape and bytes, whole numbers alike whatever their type."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return ["objects", [describe(item) for item in value]]
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value).tobytes()
        return ["array", value.dtype.str, list(value.shape), hashlib.sha256(data).hexdigest()]
    if isinstance(value, dict):
        return ["dict", sorted([str(key), describe(item)] for key, item in value.items())]
    if isinstance(value, tuple | list):
        return [type(value).__name__, [describe(item) for item in value]]
    if isinstance(value, slice):
        return ["slice", [describe(part) for part in (value.start, value.stop, value.step)]]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return repr(value)


def run(package, program):
    """Return the described results of a program after its imports of fuel are those of a package."""
    text = re.sub(r"^(from|import) fuel\b", rf"\1 {package}", program.read_text(), flags=re.MULTILINE)
    names = {"__name__": program.stem}
    exec(compile(text, program.name, "exec"), names)
    return [describe(result) for result in names["results"]]


if __name__ == "__main__":
    package, target, *programs = sys.argv[1:]
    if package == "fuel":
        from tests.datasets.fuel import aliases  # noqa: F401
    done = {Path(program).stem: run(package, Path(program)) for program in programs}
    Path(target).write_text(json.dumps(done))
