"""Rows are made once, gone on with, and made again with the same figures."""

import argparse
import json
from dataclasses import replace

import pytest

from dpm.errors import InputError
from dpm.reproduce import running
from dpm.reproduce.rows import ROWS
from tests import runs
from tests.reproduce.here import here


def options(folder, **more):
    given = {"runs": str(folder), "results": str(folder), "seed": 3, "budget": 1e-5, "small": False}
    return argparse.Namespace(**given | more)


@pytest.fixture
def calls(monkeypatch):
    """The commands that were run: here, not in processes of their own, with equal models compiled once."""
    runs.share_compiled(monkeypatch)
    runs.without_pictures(monkeypatch)
    return here(monkeypatch)


def row(data, **more):
    flags = ("--data-path", str(data), "--model-args", runs.MODEL, "--batch-size", "25", "--quiet", "--epochs", "1000")
    return ROWS["mnist"].__class__("tiny", "a test", flags, ("--n-examples", "5"), flags, **more)


def test_a_row_ends_when_its_time_is_used_up_and_goes_on_with_more(tmp_path, calls):
    tiny = row(runs.data(tmp_path))
    first = running.made(tiny, options(tmp_path))
    assert 0 < first["steps"] < 3000
    assert first["seconds"] >= 3600e-5
    assert running.made(tiny, options(tmp_path)) == first
    assert len(calls) == 2  # the second time nothing was run
    more = running.made(tiny, options(tmp_path, budget=(first["seconds"] + 0.01) / 3600))
    assert more["steps"] > first["steps"]
    assert "--resume-file" in calls[2]
    assert more["checkpoint"] == first["checkpoint"]
    assert json.loads((tmp_path / "tiny-seed3" / "row.json").read_text()) == more


def test_a_row_of_a_number_of_steps_made_again_has_the_same_figures(tmp_path, calls):
    found = []
    for name in ("a", "b"):
        tiny = row(runs.data(tmp_path), whole=True)
        tiny = replace(tiny, train=(*tiny.train, "--epochs", "2"))
        record = running.made(tiny, options(tmp_path / name))
        found.append([record["steps"], record["evaluation"]["scaled_units"], record["evaluation"]["errors"]])
    assert found[0] == found[1]
    assert found[0][0] == 6


def test_data_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setattr(running, "located", lambda name: None)
    assert "python -m dpm.datasets fetch cifar10" in running.missing(ROWS["cifar10"])
    assert running.missing(ROWS["heartbeat"]) is None


def test_a_program_that_fails_is_named_with_its_status(capfd):
    with pytest.raises(InputError, match=r"`python train.py --epochs 0` ended with status 2"):
        running.run(running.TRAIN, "--epochs", 0)
    assert "--epochs: 0 is not accepted" in capfd.readouterr().err
