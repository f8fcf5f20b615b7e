"""Rows on the workers of a Dask cluster: each worker makes a row in a folder that the command sees too."""

import os
import secrets
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dpm.base.errors import InputError
from dpm.base.pieces import Report
from dpm.base.progress import Progress
from dpm.cluster import messages
from dpm.cluster.pool import Cluster
from dpm.cluster.workers import WorkerError, get_address
from dpm.reports.tables import row_process, running
from dpm.reports.tables.plan import Plan, row_folder
from dpm.reports.tables.records import find_record
from dpm.reports.tables.rows import Row

OUTPUT = "output.txt"
THREADS = 1  # of a row, as of a worker: the figures do not depend on the cores of its machine
POLL, GRACE = 1.0, 60  # seconds between looks whether a row is still wanted, and for it to save its state


class Mark(NamedTuple):
    """A file in the folder of the runs by which workers show that they see this folder.

    Attributes:
        path: of the file.
        text: its content.
        topic: on which workers tell what they make.
    """

    path: Path
    text: str
    topic: str


def choose_rows(rows: Sequence[Row], plan: Plan) -> list[Row]:
    """Return the rows that are left to train or to evaluate, and can be."""
    return [row for row in rows if not running.missing_data(row) and _is_left(row, plan)]


def _is_left(row: Row, plan: Plan) -> bool:
    try:
        return not running.is_complete(row, find_record(row, plan) or {}, plan)
    except InputError:  # of other flags, which is reported where the row is read
        return False


def make_rows(rows: Sequence[Row], plan: Plan, cluster: Cluster) -> dict[str, str]:
    """Make rows on workers, all at the same time; return the error of each one that failed.

    Raises:
        WorkerError: a worker does not see the folder of the runs.
        InputError: no worker is left.
    """
    plan = replace(plan, runs=plan.runs.resolve(), threads=plan.threads or THREADS)
    orders = [(row, running.hash_data(row, plan)) for row in rows]
    running_now: dict[str, bool] = {}
    with placed_mark(plan.runs) as mark, Progress(desc="rows", total=len(rows), unit="row") as bar:
        for worker, seen in messages.ask_workers(cluster, sees, mark).items():
            if not seen:
                raise blind(worker, mark)

        def show(message: dict[str, Any]) -> None:
            running_now[message["row"]] = message["runs"]
            bar.set_postfix_str(", ".join(name for name, runs in running_now.items() if runs), refresh=False)

        with messages.listen(cluster, mark.topic, show):
            errors = list(cluster.map(make_orders, [plan, mark], orders, bar.update))
    for row, error in zip(rows, errors, strict=True):
        if not error and not find_record(row, plan):
            folder = row_folder(row, plan)
            raise InputError(f"{folder}: a worker has made the row, but it cannot be seen here; give another --runs")
    return {row.name: error for row, error in zip(rows, errors, strict=True) if error}


@contextmanager
def placed_mark(folder: Path) -> Iterator[Mark]:
    """Place a Mark in a folder for a while."""
    mark = Mark(folder / f".cluster-{secrets.token_hex(4)}", secrets.token_hex(16), f"rows-{uuid.uuid4().hex}")
    mark.path.write_text(mark.text)
    try:
        yield mark
    finally:
        mark.path.unlink(missing_ok=True)


def sees(mark: Mark) -> bool:
    """Return True if this process sees a Mark."""
    try:
        return mark.path.read_text() == mark.text
    except OSError:
        return False


def blind(worker: str, mark: Mark) -> WorkerError:
    """Return the error of a worker that does not see a Mark."""
    return WorkerError(
        f"--cluster: worker {worker} does not see the folder {mark.path.parent}, where rows are made; give --runs a "
        "folder of a disk that all workers have under the same path"
    )


# ------------------------------------------------------------------ on a worker


def make_orders(plan: Plan, mark: Mark, orders: Iterable[tuple[Row, str]], report: Report) -> Iterator[str]:
    """Make rows, each a pair with the hash of its data; yield the error of each, "" for none."""
    if not sees(mark):
        raise blind(get_address(), mark)
    for row, data in orders:
        messages.tell(mark.topic, {"row": row.name, "runs": True})
        error = make_order(row, plan, data)
        messages.tell(mark.topic, {"row": row.name, "runs": False})
        yield error
        report(1)


def make_order(row: Row, plan: Plan, data: str) -> str:
    """Make a row in a subprocess, and stop it if the row is cancelled; return its error, or ""."""
    folder = row_folder(row, plan)
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    command = [sys.executable, "-P", "-m", "dpm.reports.tables.row_process", row_process.write_order(row, plan, data)]
    with (folder / OUTPUT).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
        status = wait(process)
    if not status:
        return ""
    lines = (folder / OUTPUT).read_text(errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "no output")
    return f"{last.removeprefix(f'{row_process.PROG}: error: ')}; its output is in {folder / OUTPUT}"


def wait(process: subprocess.Popen[bytes]) -> int:
    """Return the exit status of a row's process; a process whose row is cancelled is stopped after saving its state."""
    assert process.stdin
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL)
        if not messages.is_wanted():
            break
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
