"""Helpers shared by several modules, under their names in the 2015 repository."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytensor.tensor as pt


def logit(p: Any) -> pt.TensorVariable:
    """Return the symbolic log(p / (1 - p)), the inverse of the sigmoid."""
    return pt.log(p) - pt.log1p(-p)


def create_log_dir(output_dir: str | Path, name: str) -> Path:
    """Create a new folder `name-yymmddTHHMMSS` in output_dir and return its path.

    If the folder exists, `-2`, `-3` ... is appended.
    """
    stem = f"{name}-{datetime.now():%y%m%dT%H%M%S}"
    folder, number = Path(output_dir) / stem, 1
    while True:
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1
            folder = folder.with_name(f"{stem}-{number}")
