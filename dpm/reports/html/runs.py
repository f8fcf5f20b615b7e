"""Read and check the files of a run folder that the report shows: config.json, log.csv, result.json."""

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dpm.base.errors import InputError
from dpm.experiments.variants import find_variant
from dpm.likelihood.result import Bound, format_errors
from dpm.runs.settings import ends_by_hours

MAX_RUNS = 8  # one for each color of the charts
MAX_FILE_SIZE = 2**26  # bytes; a row of the log has about 150
MAX_POINTS = 2000  # points of a curve; more cannot be distinguished on a screen
CONFIG_PARTS = ("flags", "data", "model", "versions")
VECTOR_EXPERIMENTS = ("heartbeat", "swissroll")
BOUND_COLUMNS = ("train_K_minus_L_null", "test_K_minus_L_null")
RESULT_NUMBERS = ("K", "K_minus_L_null", "epoch")


class Measured(NamedTuple):
    """The last measured bound of a run on test data, in the run's unit.

    Attributes:
        K: the bound (Eq. 14).
        K_minus_L_null: K less the log likelihood of the prior.
        standard_error: of K, with the examples as a sample, or None where it was not measured.
        epoch: after which it was measured.
        note: its standard errors and how it was estimated, in words.
    """

    K: float
    K_minus_L_null: float
    standard_error: float | None
    epoch: float
    note: str


@dataclass(frozen=True)
class RunFiles:
    """The files of one run folder.

    Attributes:
        folder: path of the folder.
        name: name of the folder.
        config: content of config.json under today's key names, see `read_config`.
        rows: rows of log.csv, each a dict of numbers with NaN for missing ones.
        result: content of result.json, or None.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    rows: list[dict[str, float]]
    result: dict[str, Any] | None

    @property
    def has_vectors(self) -> bool:
        """Tell whether the examples are vectors, not images."""
        return self.config["flags"].get("experiment") in VECTOR_EXPERIMENTS

    @property
    def unit(self) -> str:
        """Return the unit of all bounds."""
        return "bits/example" if self.has_vectors else "bits/pixel"

    def describe_epoch(self, epoch: float) -> str:
        """Return "epoch 3 of 100", or "epoch 3" if the run ends by its hours."""
        flags = self.config["flags"]
        epochs = flags.get("epochs", 0)
        return f"epoch {epoch:g}" if ends_by_hours(epochs, flags.get("hours")) else f"epoch {epoch:g} of {epochs}"

    def columns(self) -> dict[str, list[float]]:
        """Return the curves of the log by column, thinned to MAX_POINTS rows that include the last one.

        Also the columns "truth" (exact log likelihood) and "ceiling", both less L_null; NaN where they are unknown.
        """
        step = max(1, math.ceil(len(self.rows) / MAX_POINTS))
        rows = self.rows[::-1][::step][::-1]
        names = ("epoch", *BOUND_COLUMNS, "learning_rate")
        columns = {name: [row.get(name, math.nan) for row in rows] for name in names}
        for name in ("truth", "ceiling"):
            columns[name] = [row.get(name, math.nan) - row["test_K"] + row["test_K_minus_L_null"] for row in rows]
        return columns

    def bound(self) -> Measured | None:
        """Return the bound of result.json if there is one, else of the last finite row of the log, else None."""
        if self.result:
            K, gain, epoch = (self.result[key] for key in RESULT_NUMBERS)
            error = self.result.get("standard_error")
            if "evaluation" not in self.result:  # of an earlier version
                return Measured(K, gain, error, epoch, "sum over all t")
            return Measured(K, gain, error, epoch, Bound.from_json(self.result).describe_errors())
        for row in reversed(self.rows):
            if math.isfinite(row["test_K"]) and math.isfinite(row["test_K_minus_L_null"]):
                return Measured(row["test_K"], row["test_K_minus_L_null"], *_describe_row(row))
        return None


def _describe_row(row: Mapping[str, float]) -> tuple[float | None, float, str]:
    """Return the standard error, the epoch and the note of a row of the log."""
    error = row.get("test_standard_error", math.nan)
    if math.isnan(error):  # of an earlier version
        return None, row["epoch"], "as last logged, one t per test example"
    return error, row["epoch"], f"{format_errors(row.get('test_draws_error'), error)}; as last logged"


def read_runs(folders: Sequence[str | Path]) -> list[RunFiles]:
    """Read several run folders.

    Raises:
        InputError: there are too many folders, one is given twice, or one is not a run folder.
    """
    if len(folders) > MAX_RUNS:
        raise InputError(
            f"RUN: got {len(folders)} folders; expected at most {MAX_RUNS}, one for each color of the charts"
        )
    paths = [Path(folder).resolve() for folder in folders]
    duplicates = sorted({str(path) for path in paths if paths.count(path) > 1})
    if duplicates:
        raise InputError(f"RUN: {duplicates[0]} is given twice; give each folder once")
    return [read_run(path) for path in paths]


def group_by_unit(runs: Sequence[RunFiles]) -> list[list[int]]:
    """Return the positions of the runs of each unit, in the order of the page; those of one unit share a chart."""
    units = dict.fromkeys(run.unit for run in runs)
    return [[number for number, run in enumerate(runs) if run.unit == unit] for unit in units]


def read_run(folder: str | Path) -> RunFiles:
    """Read one run folder.

    Raises:
        InputError: the folder or one of its files was not written by `dpm train`; the message names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"RUN: {folder} is not a folder; expected a run folder of dpm train")
    if not (folder / "config.json").is_file():
        raise InputError(f"RUN: {folder} has no config.json; expected a run folder of dpm train")
    config, rows = read_config(folder / "config.json"), read_log(folder / "log.csv")
    return RunFiles(folder, folder.name, config, rows, read_result(folder / "result.json"))


def read_config(path: Path) -> dict[str, Any]:
    """Read config.json under today's key names.

    Files of earlier versions have the key "face" in place of "variant", with "exact" for "corrected", and the data key
    "quantised".

    Raises:
        InputError: the file is not a config.json of `dpm train`.
    """
    config = read_json(path)
    wrong = [part for part in CONFIG_PARTS if not isinstance(config.get(part), dict)]
    if wrong:
        raise InputError(f"{path}: has no object {wrong[0]!r}; it was not written by dpm train")
    try:
        variant = find_variant(config.get("variant", config.get("face"))).name
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    config = {name: value for name, value in config.items() if name != "face"} | {"variant": variant}
    data = dict(config["data"])
    if "quantised" in data:
        data.setdefault("quantized", data.pop("quantised"))
    return config | {"data": data}


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        InputError: it holds something else; the message names the file.
    """
    text = _read_text(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object")
    return value


def read_log(path: Path) -> list[dict[str, float]]:
    """Read the rows of log.csv; a file that does not exist yet has none.

    Raises:
        InputError: the file is not a log of `dpm train`.
    """
    if not path.exists():
        return []
    reader = csv.DictReader(_read_text(path).splitlines())
    rows = []
    for number, row in enumerate(reader, start=2):
        try:
            values = {name: float(text or "nan") for name, text in row.items()}
        except (TypeError, ValueError):
            raise InputError(
                f"{path}: line {number} is not a row of numbers; it was not written by dpm train"
            ) from None
        missing = [name for name in ("epoch", "test_K", *BOUND_COLUMNS) if name not in values]
        if missing:
            raise InputError(f"{path}: has no column {missing[0]}; it was not written by dpm train")
        rows.append(values)
    return rows


def read_result(path: Path) -> dict[str, Any] | None:
    """Read result.json, or return None where there is none, or its K is not finite, which is stored as null.

    Raises:
        InputError: a value that the report needs is not a number.
    """
    if not path.exists():
        return None
    result = read_json(path)
    if "K" in result and result["K"] is None:
        return None
    for key in RESULT_NUMBERS:
        if isinstance(result.get(key), bool) or not isinstance(result.get(key), int | float):
            raise InputError(f"{path}: {key} is {result.get(key)!r}; expected a number, as dpm train writes")
    if "evaluation" in result:
        try:
            str(Bound.from_json(result))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: was not written by dpm train ({type(error).__name__}: {error})") from None
    return result


def _read_text(path: str | Path) -> str:
    try:
        if os.stat(path).st_size > MAX_FILE_SIZE:
            raise InputError(f"{path}: is larger than {MAX_FILE_SIZE} bytes; it was not written by dpm train")
        return Path(path).read_text()
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file") from None
