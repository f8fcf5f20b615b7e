"""Records of rows: one with each model, and a copy in the results folder, which pages use for rows made elsewhere."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpm.base.atomic import atomic_write, write_json
from dpm.base.errors import InputError
from dpm.reports.html.runs import read_json
from dpm.reports.tables.plan import Plan, name_row, row_folder
from dpm.reports.tables.rows import Row

RECORD = "row.json"
PUBLISHED = "rows"  # subfolder of the results folder that holds the copies
FOLDERS = re.compile(r"(?<![\w.:/-])/(?:[^/()]+/)+")  # the directories of an absolute path


def row_flags(row: Row, plan: Plan) -> dict[str, list[str]]:
    """Return the flags that a row is made with now."""
    flags, evaluate = row.flags(plan.small)
    return {"train": [*flags], "evaluate": [*evaluate]}


def find_record(row: Row, plan: Plan) -> dict[str, Any] | None:
    """Return the record of a row's model, or None. Raises InputError if it was made with other flags or edited."""
    folder = row_folder(row, plan)
    return _read_record_of(row, plan, folder / RECORD, advise_moving(folder))


def find_published(row: Row, plan: Plan) -> dict[str, Any] | None:
    """Return the copy of a row's record in the results folder, or None. Raises InputError as `find_record` does."""
    path = published_path(row, plan)
    return _read_record_of(row, plan, path, f"make the row again (--rows {row.name}), or remove this file")


def published_path(row: Row, plan: Plan) -> Path:
    """Return the path of the copy of a row's record in the results folder."""
    return plan.results / PUBLISHED / f"{name_row(row, plan)}.json"


def publish_records(rows: Sequence[Row], records: Sequence[Mapping[str, Any]], plan: Plan) -> None:
    """Copy the records of the rows on a page into the results folder, if their models are in `plan.runs`."""
    (plan.results / PUBLISHED).mkdir(exist_ok=True)
    for row, record in zip(rows, records, strict=True):
        source = row_folder(row, plan) / RECORD
        if "missing" not in record and source.is_file():
            with atomic_write(published_path(row, plan)) as temporary:
                shutil.copyfile(source, temporary)


def advise_moving(folder: Path) -> str:
    """Return what to do with a folder that belongs to another row."""
    return f"move {folder} away, or give another --runs, and the row is made again"


def keep_record(folder: Path, record: dict[str, Any]) -> None:
    """Write a row's record with a checksum."""
    write_json(folder / RECORD, record | {"sha256": _hash_record(record)})


def read_result(path: Path) -> dict[str, Any]:
    """Return the JSON object that a command wrote, with file names in place of absolute paths.

    Records are published, and the folders of one machine mean nothing on another.
    """
    result: dict[str, Any] = _drop_folders(read_json(path))
    return result


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a record, or None if there is no such file. Raises InputError if it was changed since it was written."""
    if not path.is_file():
        return None
    record = read_json(path)
    if record.pop("sha256", None) != _hash_record(record):
        raise InputError(f"{path}: is damaged or was edited; remove it, and the row can be evaluated or made again")
    return record


def _drop_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_drop_folders(part) for part in value]
    return FOLDERS.sub("", value) if isinstance(value, str) else value


def _read_record_of(row: Row, plan: Plan, path: Path, advice: str) -> dict[str, Any] | None:
    record, now = read_record(path), row_flags(row, plan)
    if record and (others := [name for name in now if record["given"].get(name) != now[name]]):
        raise InputError(f"{path}: was made with different {' and '.join(others)} flags; {advice}")
    return record


def _hash_record(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
