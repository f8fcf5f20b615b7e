"""What lies in a run's folder, read and checked: config.json, log.csv, result.json."""

import csv
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from dpm.base.errors import InputError

MOST_RUNS = 8  # as many as there are colors that everyone can tell apart
LARGEST = 2**26  # bytes of a file; a row of the log has about 150
MOST_POINTS = 2000  # of a curve: more are not seen
PARTS = ("flags", "data", "model", "versions")
TOYS = ("heartbeat", "swissroll")  # the experiments whose model draws vectors
BOUND = "train_K_minus_L_null", "test_K_minus_L_null"


@dataclass(frozen=True)
class Run:
    """One run.

    folder: its path; name: of the folder; config: of config.json; rows: of log.csv, a dict of numbers each, NaN where
    one is missing; result: of result.json, K as the sum over all t, or None.
    """

    folder: Path
    name: str
    config: dict
    rows: list
    result: dict | None

    @property
    def vectors(self):
        """Whether it draws vectors, not pictures."""
        return self.config["flags"].get("experiment") in TOYS

    @property
    def unit(self):
        """What all its bounds are stated in."""
        return "bits/example" if self.vectors else "bits/pixel"

    def columns(self):
        """The log by column, thinned to MOST_POINTS rows, the last one among them: dict of name to numbers.

        Besides what train.py wrote: truth and ceiling less L_null, where there are any.
        """
        step = max(1, math.ceil(len(self.rows) / MOST_POINTS))
        rows = self.rows[::-1][::step][::-1]
        found = {name: [row.get(name, math.nan) for row in rows] for name in ("epoch", *BOUND, "learning_rate")}
        for name in ("truth", "ceiling"):
            found[name] = [row.get(name, math.nan) - row["test_K"] + row["test_K_minus_L_null"] for row in rows]
        return found

    def bound(self):
        """(K, K - L_null, standard error or None, epoch) as last measured on test data, or None.

        From result.json where the folder has one, else the last finite row of the log.
        """
        if self.result:
            return tuple(self.result[key] for key in ("K", "K_minus_L_null", "standard_error", "epoch"))
        for row in reversed(self.rows):
            if math.isfinite(row["test_K"]) and math.isfinite(row["test_K_minus_L_null"]):
                return row["test_K"], row["test_K_minus_L_null"], None, row["epoch"]
        return None


def read_runs(folders):
    """The runs of the folders: a list of Run. Raises InputError, naming the folder, for what is none."""
    if len(folders) > MOST_RUNS:
        raise InputError(f"RUN: {len(folders)} folders given; up to {MOST_RUNS} can be told apart on one page")
    paths = [Path(folder).resolve() for folder in folders]
    twice = sorted({str(path) for path in paths if paths.count(path) > 1})
    if twice:
        raise InputError(f"RUN: {twice[0]} is given twice; give each folder once")
    return [read_run(path) for path in paths]


def read_run(folder):
    """The Run of a folder. Raises InputError, naming the file, where train.py did not write it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"RUN: {folder} is not a folder; give one that train.py made")
    if not (folder / "config.json").is_file():
        raise InputError(f"RUN: {folder} holds no config.json; give a folder that train.py made")
    config = read_json(folder / "config.json")
    if not all(isinstance(config.get(part), dict) for part in PARTS) or not isinstance(config.get("face"), str):
        raise InputError(f"{folder / 'config.json'}: was not written by train.py: {', '.join(PARTS)} or face is amiss")
    return Run(folder, folder.name, config, read_log(folder / "log.csv"), read_result(folder / "result.json"))


def read_json(path):
    """The object that a JSON file holds. Raises InputError, naming it, for anything else."""
    try:
        value = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no list of names and values")
    return value


def read_log(path):
    """The rows of log.csv: a list of dict of name to number. No file yet: no rows."""
    if not path.exists():
        return []
    reader = csv.DictReader(_text(path).splitlines())
    rows = []
    for number, row in enumerate(reader, start=2):
        try:
            values = {name: float(text or "nan") for name, text in row.items()}
        except (TypeError, ValueError):
            raise InputError(f"{path}: line {number} is not a row of numbers, as train.py writes it") from None
        missing = [name for name in ("epoch", "test_K", *BOUND) if name not in values]
        if missing:
            raise InputError(f"{path}: has no column {missing[0]}; it was not written by train.py")
        rows.append(values)
    return rows


def read_result(path):
    """result.json of a toy problem, or None where there is none."""
    if not path.exists():
        return None
    result = read_json(path)
    for key in ("K", "K_minus_L_null", "standard_error", "epoch"):
        if isinstance(result.get(key), bool) or not isinstance(result.get(key), int | float):
            raise InputError(f"{path}: its {key} is {result.get(key)!r}, not a number as train.py writes it")
    return result


def _text(path):
    try:
        if os.stat(path).st_size > LARGEST:
            raise InputError(f"{path}: has more than {LARGEST} bytes; it was not written by train.py")
        return path.read_text()
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text") from None
