"""The process that makes a row for a worker."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dpm.base.errors import InputError
from dpm.reports.tables import row_process, running
from dpm.reports.tables.plan import Plan
from dpm.reports.tables.rows import ROWS
from dpm.runs.folder import lock_folder
from tests.helpers.runs import ROOT

PLAN = Plan("table1", None, 0.5, None, 3, Path("/runs"), Path("/results"), small=True, threads=1)


@pytest.mark.parametrize("name", ROWS)
def test_row_and_plan_arrive_as_they_were(name):
    text = row_process.write_order(ROWS[name], PLAN, "hash")
    assert row_process.read_order(json.loads(json.dumps(text))) == (ROWS[name], PLAN, "hash")


def test_other_data_than_those_of_the_command_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "hash_data", lambda row, plan: "other")
    plan = replace(PLAN, runs=tmp_path)
    (tmp_path / "mnist-small-seed3").mkdir()
    with pytest.raises(InputError, match=r"^mnist: this worker finds other data than the command; put the same"):
        row_process.make(ROWS["mnist"], plan, "hash")


def test_the_process_of_a_lost_worker_is_waited_for(tmp_path, monkeypatch):
    begun, left = threading.Event(), []

    def keep():
        with lock_folder(tmp_path):
            begun.set()
            time.sleep(1)
            left.append(True)

    thread = threading.Thread(target=keep)
    thread.start()
    begun.wait()
    with row_process.locked(tmp_path):
        assert left
    thread.join()
    monkeypatch.setattr(row_process, "WAIT", 0)
    with lock_folder(tmp_path), pytest.raises(InputError, match="is in use by process"):
        row_process.locked(tmp_path).__enter__()


PROGRAM = """
import subprocess, sys, time
from dpm.reports.tables import row_process, running
row_process.end_with_worker()
child = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), print('saved'), exit()))"
command = [sys.executable, "-c", child + "; print('begun', flush=True); time.sleep(600)"]
try:
    process = subprocess.Popen(command)
    process.wait()
except KeyboardInterrupt:
    process.wait()
    print("stopped")
"""


def test_programs_save_their_state_when_the_worker_has_gone():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout.readline() == "begun\n"
    out, _ = process.communicate()  # closes its input
    assert out == "saved\nstopped\n"
