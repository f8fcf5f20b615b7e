"""Small functions that several modules use; names as in the 2015 repository."""

import itertools
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytensor.tensor as pt

from dpm.graph import Tensor


def logit(p: Tensor) -> Tensor:
    """Return log(p / (1 - p)), the inverse of the sigmoid, symbolic."""
    return pt.log(p) - pt.log1p(-p)


def create_log_dir(output_dir: str | Path, name: str) -> Path:
    """Create a new folder `name-yymmddTHHMMSS` in output_dir and return its path.

    Where that folder exists, a number is appended: a second run in the same second gets a folder too.
    """
    stem = f"{name}-{datetime.now():%y%m%dT%H%M%S}"
    for number in itertools.count(1):
        folder = Path(output_dir) / (stem if number == 1 else f"{stem}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return folder
