"""Helpers shared by several modules, under their names in the 2015 repository."""

import itertools
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytensor.tensor as pt


def logit(p):
    """log(p / (1 - p)), the inverse of the sigmoid; symbolic."""
    return pt.log(p) - pt.log1p(-p)


def create_log_dir(output_dir, name):
    """Make a new folder `name-yymmddTHHMMSS` in output_dir and return its path, made different where it exists."""
    stem = f"{name}-{datetime.now():%y%m%dT%H%M%S}"
    for number in itertools.count(1):
        folder = Path(output_dir) / (stem if number == 1 else f"{stem}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
