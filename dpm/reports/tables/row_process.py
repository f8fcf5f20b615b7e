"""`python -m dpm.reports.tables.row_process JSON`: make one row, while the worker that started this process lives.

Training ends with its state saved, as after a Ctrl-C, when the standard input is closed: the worker has died, or nobody
waits for the row.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dpm.base.command_line import run_command
from dpm.base.errors import InputError
from dpm.reports.tables import running
from dpm.reports.tables.plan import Plan, row_folder
from dpm.reports.tables.rows import Row
from dpm.runs.folder import lock_folder

PROG = "dpm reproduce"
WAIT = 120  # seconds for the process of a lost worker to save its state
FOLDERS = ("runs", "results")


def write_order(row: Row, plan: Plan, data: str) -> str:
    """Return the argument of the process: the row, the plan, and the hash of the data that the row needs."""
    folders = {name: str(getattr(plan, name)) for name in FOLDERS}
    return json.dumps({"row": asdict(row), "plan": asdict(plan) | folders, "data": data})


def read_order(text: str) -> tuple[Row, Plan, str]:
    """Return row, plan and hash of an argument."""
    order = json.loads(text)
    row: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in order["row"].items()
    }
    plan = order["plan"] | {name: Path(order["plan"][name]) for name in FOLDERS}
    return Row(**row), Plan(**plan), order["data"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the row; return the exit status."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    return run_command(PROG, lambda: make(*read_order(text)))


def make(row: Row, plan: Plan, data: str) -> int:
    """Make a row in its folder, which no other process uses.

    Raises:
        InputError: the data are others than those of the command, another process keeps the folder, or as of
            `running.make_record`.
    """
    with locked(row_folder(row, plan)):
        if running.hash_data(row, plan) != data:
            raise InputError(
                f"{row.name}: this worker finds other data than the command; put the same into its FUEL_DATA_PATH"
            )
        running.make_record(row, plan)
    return 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder of a row, for which the process of a lost worker is given the time to save its state."""
    end = time.monotonic() + WAIT
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock_folder(folder))
                break
            except InputError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
        yield


def end_with_worker() -> None:
    """Stop this process and the programs that it has started once the standard input is closed."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def watch() -> None:
        os.read(0, 1)  # past Python's buffer, whose lock would keep this process from ending
        os.killpg(os.getpgrp(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=watch, daemon=True, name="worker").start()


if __name__ == "__main__":
    end_with_worker()
    sys.exit(main())
