"""Rows on workers: which, in a folder that all see, stopped, resumed after a kill, with the same figures."""

import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import psutil
import pytest

from dpm.base.errors import InputError
from dpm.cluster import messages
from dpm.cluster.pool import open_cluster
from dpm.cluster.workers import WorkerError
from dpm.reports.tables import on_workers, records, running
from dpm.reports.tables.plan import row_folder
from dpm.reports.tables.rows import ROWS
from dpm.runs import checkpoint
from tests.helpers import clusters, runs
from tests.reports.tables.test_running import options

EPOCHS = 40


def tiny_row(data, name="tiny", **more):
    """Return a row that ends by itself."""
    model = "--data-path", str(data), "--model-args", runs.MODEL, "--batch-size", "25", "--quiet"
    flags = (*model, *map(str, runs.CONSTANT_RATE), "--epochs", "1", "--plots", "none")
    given = {"train": flags, "evaluate": ("--n-examples", "5"), "small": flags, "whole": True} | more
    return ROWS["mnist"].__class__(name=name, description="a test", **given)


# ------------------------------------------------------------------ which rows


def test_only_rows_that_are_left_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "locate", lambda name: None)
    rows = [ROWS[name] for name in ("heartbeat", "swissroll", "cifar10")]
    plan = options(tmp_path)
    done, other = rows[:2]
    for row, given in ((done, records.row_flags(done, plan)), (other, {"train": ["--lr", "9"]})):
        folder = row_folder(row, plan)
        folder.mkdir()
        records.keep_record(folder, {"given": given, "evaluation": {}, "budget_hours": None})
    assert on_workers.choose_rows(rows, plan) == []  # complete; of other flags; without data
    assert on_workers.choose_rows(rows, options(tmp_path, seed=4)) == rows[:2]


# ------------------------------------------------------------------ the folder


def test_a_worker_sees_the_mark_only_in_the_same_folder(tmp_path):
    with on_workers.placed_mark(tmp_path) as mark:
        assert on_workers.sees(mark)
        assert not on_workers.sees(mark._replace(text="other"))
        assert not on_workers.sees(mark._replace(path=tmp_path / "elsewhere" / mark.path.name))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def cluster():
    """Return a cluster of one worker."""
    with clusters.scheduler() as (address, _, _), clusters.workers(address, 1), open_cluster(address) as opened:
        yield opened


def test_a_worker_without_the_folder_is_refused_by_its_address(tmp_path, cluster, monkeypatch):
    (worker,) = messages.ask_workers(cluster, on_workers.sees, on_workers.Mark(tmp_path / "none", "", ""))
    plan, unseen = options(tmp_path), on_workers.Mark(tmp_path / "unseen" / "mark", "text", "topic")
    monkeypatch.setattr(on_workers, "placed_mark", lambda folder: nullcontext(unseen))
    message = (
        rf"^--cluster: worker {worker} does not see the folder {tmp_path}/unseen, where rows are made; give --runs"
    )
    with pytest.raises(WorkerError, match=message):
        on_workers.make_rows([ROWS["heartbeat"]], plan, cluster)
    with pytest.raises(WorkerError, match=message):  # one that joins later
        list(cluster.map(on_workers.make_orders, [plan, unseen], [(ROWS["heartbeat"], "")]))


# ------------------------------------------------------------------ the process of a row


def test_a_failed_row_is_its_last_line(tmp_path, cluster):
    """The process reads no data: its hash is another."""
    tiny = tiny_row(tmp_path)
    with on_workers.placed_mark(tmp_path) as mark:
        (error,) = cluster.map(on_workers.make_orders, [options(tmp_path), mark], [(tiny, "hash")])
    output = tmp_path / "tiny-seed3" / on_workers.OUTPUT
    assert error.startswith("tiny: this worker finds other data than the command; ")
    assert error.endswith(f"; its output is in {output}")
    assert output.read_text().startswith("dpm reproduce: error: tiny: this worker")


@pytest.mark.parametrize(("program", "status"), [("input()", 1), ("import time; time.sleep(600)", -signal.SIGKILL)])
def test_the_process_of_a_row_that_nobody_waits_for_ends(monkeypatch, program, status):
    """One that does not end with its input is killed."""
    monkeypatch.setattr(messages, "is_wanted", lambda: False)
    monkeypatch.setattr(on_workers, "POLL", 0.1)
    monkeypatch.setattr(on_workers, "GRACE", 30 if status == 1 else 0.1)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert on_workers.wait(process) == status


# ------------------------------------------------------------------ whole rows


def figures(record):
    """Return what does not depend on the clock or on the folder."""
    return [record["steps"], record["evaluation"]["scaled_units"], record["evaluation"]["errors"]]


def parameters(plan, row):
    return checkpoint.split(checkpoint.load(running.newest_checkpoint(row_folder(row, plan)))[1])[0]


def check_equal(row, here, there):
    mine, other = (records.find_record(row, plan) for plan in (here, there))
    assert figures(mine) == figures(other)
    expected, found = (parameters(plan, row) for plan in (here, there))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture
def environment(monkeypatch):
    """Restore the number of cores that XLA sees."""
    monkeypatch.setenv("NPROC", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_rows_of_two_workers_have_the_figures_of_one_process(tmp_path):
    rows = [tiny_row(runs.data(tmp_path), name) for name in ("one", "two")]
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here, there = (options(tmp_path / name, threads=1) for name in ("here", "there"))
    with open_cluster("local:2") as workers:
        assert on_workers.make_rows(rows, there, workers) == {}
    for row in rows:
        running.make_record(row, here)
        check_equal(row, here, there)


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_the_row_of_a_killed_worker_resumes_from_its_checkpoint(tmp_path):
    row = tiny_row(runs.data(tmp_path))
    row = replace(row, train=(*row.train, "--epochs", str(EPOCHS)))
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here, there = (options(tmp_path / name, threads=1) for name in ("here", "there"))
    folder = row_folder(row, there)

    def kill():
        clusters.wait_for(lambda: running.newest_checkpoint(folder))
        (process,) = clusters.descendants("dpm.reports.tables.row_process")
        psutil.Process(process.ppid()).kill()

    killer = threading.Thread(target=kill)
    with open_cluster("local:1") as workers:
        killer.start()
        assert on_workers.make_rows([row], there, workers) == {}
    killer.join()
    assert "--resume-file" in (folder / on_workers.OUTPUT).read_text()
    assert len(list(folder.glob("*/checkpoint.h5"))) == 1
    assert records.find_record(row, there)["steps"] == EPOCHS * runs.STEPS
    running.make_record(row, here)
    check_equal(row, here, there)


def test_a_row_that_cannot_be_seen_here_is_one_line(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(type(cluster), "map", lambda *given: iter([""]))
    with pytest.raises(InputError, match=r"heartbeat-seed3: a worker has made the row, but it cannot be seen here"):
        on_workers.make_rows([ROWS["heartbeat"]], options(tmp_path), cluster)
