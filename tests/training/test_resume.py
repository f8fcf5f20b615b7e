"""Stopped and resumed runs equal uninterrupted ones bit for bit."""

import csv
import itertools
import json
import shutil
import signal

import numpy as np
import pytest

from dpm.commands.train import main as train_main
from dpm.runs import checkpoint
from tests.helpers import runs

EPOCHS = 3


class Stop:
    """Extension that sends a signal to the process after step number `step`."""

    def __init__(self, step, number=signal.SIGINT, times=1):
        self.step, self.number, self.times = step, number, times

    def after_batch(self, loop):
        if loop.state.step == self.step:
            for _ in range(self.times):
                signal.raise_signal(self.number)


@pytest.fixture(autouse=True)
def attended():
    """Reset SIGHUP to its default, as in a terminal, however the tests were started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def train(data, tmp_path, monkeypatch):
    """Return a function that trains for EPOCHS in a new folder and returns the folder; stop: an extension."""
    runs.share_compiled(monkeypatch)
    numbers = itertools.count()

    def run(*flags, stop=None, data_path=data):
        runs.without_plots(monkeypatch, *([stop] if stop else []))
        return runs.train(tmp_path / f"out{next(numbers)}", data_path, "--epochs", EPOCHS, *flags)

    return run


@pytest.fixture
def resume(monkeypatch):
    """Return a function that resumes the run in a folder and returns the exit status."""

    def run(folder, *flags, stop=None):
        runs.without_plots(monkeypatch, *([stop] if stop else []))
        return train_main(["--resume-file", str(folder / "checkpoint.h5"), *map(str, flags)])

    return run


def log(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same(folder, expected):
    """Check that log, parameters, optimizer buffers and, except for times, the state are equal."""
    meta, arrays = checkpoint.load(folder / "checkpoint.h5")
    meta_expected, arrays_expected = checkpoint.load(expected / "checkpoint.h5")
    assert list(arrays) == list(arrays_expected)
    for name, array in arrays_expected.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert log(folder) == log(expected)
    for state in (meta["state"], meta_expected["state"]):
        del state["seconds"], state["rows"]
    assert meta["state"] == meta_expected["state"]


@pytest.mark.parametrize("step", [1, 3, 4, 8])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_run_resumes_like_an_uninterrupted_run(train, resume, capsys, step, number):
    """Stops after the first batch, at the end of an epoch (3), and within the second and third epochs."""
    expected = train()
    capsys.readouterr()
    folder = train(stop=Stop(step, number))
    path = folder / "checkpoint.h5"
    assert capsys.readouterr().out == (
        f"stopped; resume it with --resume-file: {path} (epoch {step // runs.STEPS}, step {step})\n"
    )
    assert checkpoint.load(path)[0]["state"]["step"] == step
    assert len(log(folder)) == step // runs.STEPS
    assert resume(folder) == 0
    assert capsys.readouterr().out == f"finished: {path} (epoch {EPOCHS}, step {EPOCHS * runs.STEPS})\n"
    assert_same(folder, expected)


def test_run_under_nohup_survives_the_closing_of_the_terminal(train):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder = train(stop=Stop(2, signal.SIGHUP))
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == EPOCHS * runs.STEPS


def test_run_can_be_stopped_repeatedly(train, resume):
    expected, folder = train(), train(stop=Stop(2))
    for step in (4, 5):
        assert resume(folder, stop=Stop(step)) == 0
    assert resume(folder) == 0
    assert_same(folder, expected)


@pytest.mark.thorough
def test_resuming_keeps_the_dropout_noise(train, resume):
    expected = train("--dropout-rate", 0.5)
    folder = train("--dropout-rate", 0.5, stop=Stop(4))
    assert resume(folder) == 0
    assert_same(folder, expected)


def test_second_interrupt_exits_at_once(train, monkeypatch, data, tmp_path, capsys):
    """Status 130; the checkpoint of the last epoch is intact."""
    before = signal.getsignal(signal.SIGINT)
    train()
    runs.without_plots(monkeypatch, Stop(4, times=2))
    (tmp_path / "twice").mkdir()
    assert train_main(runs.arguments(tmp_path / "twice", data, "--epochs", EPOCHS)) == 130
    assert capsys.readouterr().err == "dpm train: stopped\n"
    (folder,) = (tmp_path / "twice").iterdir()
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_finished_run_resumes_for_more_epochs(train, resume):
    expected = train("--epochs", 4)
    folder = train("--epochs", 2)
    assert resume(folder, "--epochs", 4) == 0
    assert_same(folder, expected)
    assert json.loads((folder / "config.json").read_text())["flags"]["epochs"] == 4


def test_a_rate_that_has_fallen_to_0_asks_for_a_new_schedule(train, resume, capsys):
    """More epochs of a finished run begin a schedule of their own: cosine from its start, at the resumed step."""
    folder = train("--lr-schedule", "linear", "--lr", "0.5e-3")
    assert resume(folder, "--epochs", EPOCHS + 2) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the learning rate of this run has fallen to 0; give --lr-schedule" in line
    assert resume(folder, "--epochs", EPOCHS + 2, "--lr-schedule", "cosine", "--warmup", 2) == 0
    rates = [row["learning_rate"] for row in runs.rows(folder)]
    assert rates[:EPOCHS] == pytest.approx([0.5e-3 * (1 - k / EPOCHS) for k in range(1, EPOCHS + 1)])
    assert rates[EPOCHS:] == pytest.approx([0.25e-3, 0], abs=1e-12)
    state = checkpoint.load(folder / "checkpoint.h5")[0]["state"]
    assert (state["schedule_step"], state["step"]) == (EPOCHS * runs.STEPS, (EPOCHS + 2) * runs.STEPS)


def test_a_new_schedule_without_further_epochs_makes_no_step(train, resume):
    """The schedule would begin and end at the same step; the objective depends on the part of it that is done."""
    folder = train("--times", "importance", "--lr-schedule", "linear")
    assert resume(folder, "--lr-schedule", "cosine") == 0
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == EPOCHS * runs.STEPS


def test_averaged_parameters_are_stored_and_the_raw_ones_kept(train):
    """Averaging does not change training."""
    files = [train("--ema", decay) / "checkpoint.h5" for decay in (0, 0.5)]
    (_, plain), (_, averaged) = map(checkpoint.load, files)
    paths = [name for name in plain if name.startswith("/parameters")]
    raw = averaged["/optimizer/average/theta"]
    np.testing.assert_array_equal(np.sort(raw), np.sort(np.concatenate([plain[path].ravel() for path in paths])))
    assert all(not np.array_equal(averaged[path], plain[path]) for path in paths if plain[path].any())


def test_resuming_a_finished_run_makes_no_step(train, resume):
    folder = train()
    shutil.copytree(folder, before := folder.parent / "copy")
    assert resume(folder) == 0
    assert_same(folder, before)
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in before.iterdir())


def test_resuming_makes_no_new_folder(train, resume):
    """A moved run resumes in its new folder."""
    folder = train(stop=Stop(4))
    moved = folder.parent.parent / "moved"
    folder.rename(moved)
    assert resume(moved) == 0
    assert list(folder.parent.iterdir()) == []
    assert len(log(moved)) == EPOCHS


def test_moved_data_need_a_new_data_path(train, resume, data, tmp_path, capsys):
    expected = train()
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        shutil.copy(data / "mnist.hdf5", tmp_path / name)
    folder = train(stop=Stop(4), data_path=tmp_path / "old")
    shutil.rmtree(tmp_path / "old")
    assert resume(folder) == 2
    assert "no MNIST found" in capsys.readouterr().err
    assert resume(folder, "--data-path", tmp_path / "new") == 0
    assert_same(folder, expected)
    config = json.loads((folder / "config.json").read_text())
    assert config["data"]["path"] == str(tmp_path / "new/mnist.hdf5")


@pytest.mark.parametrize("part", ["train", "test"])
def test_other_data_are_refused_and_the_run_stays_unchanged(train, resume, data, tmp_path, capsys, part):
    """One changed pixel in either part is enough; the message names both files."""
    folder = train(stop=Stop(4))
    sets = {"train": runs.pixels(runs.TRAIN), "test": runs.pixels(runs.TEST, seed=1)}
    sets[part][7, 0, 3, 3] ^= 1
    other = runs.write_data(tmp_path, **sets)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert resume(folder, "--data-path", tmp_path) == 2
    line = capsys.readouterr().err
    assert all(str(path) in line for path in (other, data / "mnist.hdf5"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_state_of_a_stopped_epoch_is_saved(train, resume):
    """The mean training cost of the epoch includes the batches before the stop."""
    folder = train(stop=Stop(5))
    state = checkpoint.load(folder / "checkpoint.h5")[0]["state"]
    assert state["weight_sum"] == 50
    assert np.isfinite(state["cost_sum"])
    assert state["seconds"] > 0
    resume(folder, stop=Stop(6))
    state = checkpoint.load(folder / "checkpoint.h5")[0]["state"]
    assert (state["weight_sum"], state["cost_sum"]) == (0, 0)


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("config", "variant", "sideways", "variant 'sideways' is unknown; expected corrected or released"),
        ("config", "variant", ["exact"], "variant ['exact'] is unknown; expected corrected or released"),
        ("flags", "lr", "fast", "its flag 'lr' is 'fast'"),
        ("state", "epoch_cost", 1.0, "its state 'epoch_cost' is 1.0"),
        ("state", "step", 1.5, "its state 'step' is 1.5"),
    ],
)
def test_run_with_a_handmade_checkpoint_is_refused(train, resume, capsys, part, key, value, words):
    """Its checksums agree, but train.py never writes such values."""
    folder = train(stop=Stop(2))
    meta, arrays = checkpoint.load(folder / "checkpoint.h5")
    meta = json.loads(json.dumps(meta))
    {"config": meta["config"], "flags": meta["config"]["flags"], "state": meta["state"]}[part][key] = value
    checkpoint.save(folder / "checkpoint.h5", meta, arrays)
    capsys.readouterr()
    assert resume(folder) == 2
    assert f"checkpoint {folder / 'checkpoint.h5'}: {words}" in capsys.readouterr().err
