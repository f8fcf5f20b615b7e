"""Rows are made once, resumed, and reproduced with the same figures."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from dpm.base.errors import InputError
from dpm.reports.tables import records, running, speed
from dpm.reports.tables.plan import Plan
from dpm.reports.tables.rows import ROWS
from dpm.training.loop import MainLoop
from tests.helpers import runs
from tests.helpers.reproduce_here import here
from tests.training.test_loop import Clock


def options(folder, **more):
    """Return a plan whose runs and results are in a folder."""
    given = {"what": "table1", "rows": None, "samples": None, "runs": folder, "results": folder}
    return Plan(**given | {"seed": 3, "budget": 1e-5, "small": False} | more)


@pytest.fixture
def calls(monkeypatch):
    """Run the commands in this process, compiling equal models once; return the list of commands."""
    runs.share_compiled(monkeypatch)
    runs.without_plots(monkeypatch)
    return here(monkeypatch)


def row(data, **more):
    flags = ("--data-path", str(data), "--model-args", runs.MODEL, "--batch-size", "25", "--quiet", "--epochs", "1000")
    return ROWS["mnist"].__class__("tiny", "a test", flags, ("--n-examples", "5"), flags, **more)


@pytest.mark.thorough
def test_row_ends_at_its_time_limit_and_resumes_with_a_larger_one(tmp_path, calls):
    tiny = row(runs.data(tmp_path))
    first = running.make_row(tiny, options(tmp_path))
    assert 0 < first["steps"] < 3000
    assert first["training_pictures"] == 60
    assert first["seconds"] >= 3600e-5
    assert running.make_row(tiny, options(tmp_path)) == first
    assert len(calls) == 2  # the second call runs nothing
    more = running.make_row(tiny, options(tmp_path, budget=(first["seconds"] + 0.01) / 3600))
    assert more["steps"] > first["steps"]
    # The learning rate had fallen to 0 with the first limit.
    assert "--resume-file" in calls[2]
    assert calls[2].endswith("--lr-schedule cosine")
    assert more["checkpoint"] == first["checkpoint"]
    assert records.find_record(tiny, options(tmp_path)) == more


@pytest.mark.thorough
def test_row_with_a_fixed_number_of_steps_is_reproducible(tmp_path, calls):
    found = []
    for name in ("a", "b"):
        tiny = row(runs.data(tmp_path), whole=True)
        tiny = replace(tiny, train=(*tiny.train, "--epochs", "2"))
        record = running.make_row(tiny, options(tmp_path / name))
        found.append([record["steps"], record["evaluation"]["scaled_units"], record["evaluation"]["errors"]])
    assert found[0] == found[1]
    assert found[0][0] == 6


def test_row_with_interrupted_training_is_not_complete(tmp_path, calls, monkeypatch):
    """train.py exits with status 0 when a signal stops it, because nothing is lost; the row then resumes it."""
    tiny = replace(row(runs.data(tmp_path)), whole=True)
    tiny = replace(tiny, train=(*tiny.train, "--epochs", "2"))
    with monkeypatch.context() as patch:
        patch.setattr(MainLoop, "end_of_step", stopping_at(2, MainLoop.end_of_step))
        with pytest.raises(InputError, match=r"checkpoint.h5: training was stopped at step 2; the same command"):
            running.make_row(tiny, options(tmp_path))
    assert running.make_row(tiny, options(tmp_path))["steps"] == 6
    assert "--resume-file" in calls[1]


def stopping_at(step, end_of_step):
    """Return an end_of_step that stops the loop at a step."""

    def stop(loop):
        end_of_step(loop)
        loop.stopped = loop.state.step == step

    return stop


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"train": ("--lr", "0.5")}, "train"), ({"evaluate": ("--n-examples", "6")}, "evaluate"), ({}, "data")],
)
def test_row_made_with_other_flags_or_data_is_refused(tmp_path, calls, changed, named):
    (place := tmp_path / "place").mkdir()
    runs.write_data(place, runs.pixels(60), runs.pixels(20, seed=1))
    tiny = row(place)
    running.make_row(tiny, options(tmp_path))
    if named == "data":
        runs.write_data(place, runs.pixels(60, seed=8), runs.pixels(20, seed=9))
    other = replace(tiny, **{key: (*getattr(tiny, key), *value) for key, value in changed.items()})
    with pytest.raises(InputError, match=f"was made with different .*{named}.*; move .*tiny-seed3 away"):
        running.make_row(other, options(tmp_path))


def test_changed_record_is_refused_and_a_removed_one_is_made_again(tmp_path, calls):
    tiny, path = row(runs.data(tmp_path)), tmp_path / "tiny-seed3" / "row.json"
    first = running.make_row(tiny, options(tmp_path))
    path.write_text(path.read_text().replace(f'"steps": {first["steps"]}', '"steps": 12345'))
    with pytest.raises(InputError, match=r"row.json: is damaged or was edited"):
        running.make_row(tiny, options(tmp_path))
    path.unlink()
    again = running.make_row(tiny, options(tmp_path))
    assert (again["steps"], again["evaluation"]) == (first["steps"], first["evaluation"])
    path.unlink()
    with pytest.raises(InputError, match=r"checkpoint.h5: was made with different train flags \(batch_size\); move"):
        running.make_row(replace(tiny, train=(*tiny.train, "--batch-size", "20")), options(tmp_path))


@pytest.mark.thorough
def test_interrupted_larger_budget_keeps_the_figures_and_their_hours(tmp_path, calls, monkeypatch):
    """The hours of a row are those of its training, whatever command evaluated it."""
    Clock(monkeypatch, 3600)
    tiny = row(runs.data(tmp_path))
    first = running.make_row(tiny, options(tmp_path, budget=2))
    assert (first["steps"], first["budget_hours"]) == (2, 2)
    with monkeypatch.context() as patch:
        patch.setattr(MainLoop, "end_of_step", stopping_at(5, MainLoop.end_of_step))
        with pytest.raises(InputError, match="stopped at step 5"):
            running.make_row(tiny, options(tmp_path, budget=9))
    assert records.find_record(tiny, options(tmp_path)) == first
    (tmp_path / "tiny-seed3" / "row.json").unlink()
    again = running.make_row(tiny, options(tmp_path, budget=2))
    assert (again["steps"], again["budget_hours"]) == (5, 5)
    assert "--hours 5 " in again["commands"][0]


def test_hours_of_the_full_size_come_from_its_speed_and_survive_a_larger_budget(tmp_path, calls, monkeypatch):
    """With steps of 2 s the time is epochs x images / images per step x 2 s."""
    Clock(monkeypatch, 2)
    flags = ("--data-path", str(runs.data(tmp_path)), "--model-args", runs.MODEL, "--batch-size", "25")
    tiny = row(runs.data(tmp_path), full=flags, images=500, epochs=90)
    monkeypatch.setattr(speed, "HOURS", 4 / 3600)
    record = running.make_row(tiny, options(tmp_path))
    assert record["full"]["hours"] == pytest.approx(90 * 500 / 25 * 2 / 3600, rel=0.01)
    assert record["full"]["parameters"] == record["parameters"]
    monkeypatch.setattr(running, "estimate_full_size", lambda *_: pytest.fail("it is known"))
    more = running.make_row(tiny, options(tmp_path, budget=(record["seconds"] + 3) / 3600))
    assert more["full"] == record["full"]


def test_full_size_that_cannot_be_trained_loses_only_the_estimate(tmp_path, calls, monkeypatch, capsys):
    def fails(row, folder):
        raise InputError("`python -m dpm.reports.tables.speed` ended with status -9")

    monkeypatch.setattr(running, "estimate_full_size", fails)
    record = running.make_row(row(runs.data(tmp_path), full=("--epochs", "1")), options(tmp_path))
    assert "full" not in record
    assert "no estimate of the paper's size" in capsys.readouterr().err


def test_missing_data_are_named(monkeypatch):
    monkeypatch.setattr(running, "locate", lambda name: None)
    assert "python -m dpm datasets fetch cifar10" in running.missing_data(ROWS["cifar10"])
    assert running.missing_data(ROWS["heartbeat"]) is None


def test_failed_program_is_named_with_its_status(capfd):
    with pytest.raises(InputError, match=r"`python train.py --epochs 0` ended with status 2"):
        running.run("train", "--epochs", 0)
    assert "--epochs: 0 is not accepted" in capfd.readouterr().err


PROGRAM = """
from dpm.base.errors import InputError
from dpm.reports.tables import running
running.SPEED_MODULE = "child"
try:
    running.run("speed")
except InputError as error:
    print(error)
"""
CHILD = """
import signal, sys, time

def save(*_):
    time.sleep(0.5)
    print("saved")
    sys.exit(3)

signal.signal(signal.{name}, save)
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signal_to_the_command_reaches_the_program_that_it_waits_for(tmp_path, name):
    (tmp_path / "child.py").write_text(CHILD.format(name=name))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{runs.ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("$ ")
    assert process.stdout.readline() == "begun\n"
    process.send_signal(getattr(signal, name))
    out, _ = process.communicate(timeout=60)
    assert out.startswith("saved\n")
    assert "ended with status 3; its output is above" in out
    assert process.returncode == 0
