"""SFO and L-BFGS with their subfunctions on the workers of a cluster: the same path as in one process."""

import itertools

import numpy as np
import pytest

from dpm.commands.train import main as train_main
from dpm.engines import engine
from dpm.runs.setting_checks import FROZEN
from tests.helpers import clusters, runs
from tests.training.test_frozen_loop import StopWithin
from tests.training.test_resume import assert_same

SFO = ("--optimizer", "sfo", "--n-subfunctions", 4)
MORE = ("--threads", 1, "--epochs", 3, "--quiet")


@pytest.fixture(scope="module")
def address():
    """Return the file of a scheduler with two workers."""
    with clusters.scheduler() as (address, file, _), clusters.workers(address, 2):
        yield file


@pytest.fixture(autouse=True)
def three_microbatches(monkeypatch):
    """Make three microbatches of a subfunction of 15 images."""
    monkeypatch.setattr(engine, "PIXELS_PER_MICROBATCH", 5 * runs.WIDTH**2)


@pytest.fixture
def train(data, tmp_path, quick_runs):
    """Return a function that trains in a new folder and returns the folder."""
    numbers = itertools.count()

    def run(*flags):
        out = tmp_path / f"out{next(numbers)}"
        out.mkdir()
        assert train_main(words(data, out, *SFO, *flags)) == 0
        (folder,) = out.iterdir()
        return folder

    return run


def words(data, out, *flags):
    """Return a command line."""
    given = "--data-path", data, "--output-dir", out, "--model-args", runs.MODEL, *MORE, *flags
    return [str(word) for word in given]


@pytest.mark.parametrize("optimizer", FROZEN)
def test_two_workers_train_as_one_process(train, address, optimizer):
    chosen = "--optimizer", optimizer
    assert_same(train(*chosen, "--cluster", address), train(*chosen))


def test_subfunctions_ahead_change_the_path_and_workers_do_not(train, address):
    chosen = "--subfunctions-ahead", 3
    expected = train(*chosen)
    assert_same(train(*chosen, "--cluster", address), expected)
    first, ahead = (runs.parameters(folder) for folder in (train(), expected))
    assert not all(np.array_equal(first[name], array) for name, array in ahead.items())


@pytest.mark.thorough
def test_other_objectives_and_times_too(train, address):
    chosen = "--objective", "balanced", "--times", "importance", "--refresh-noise", 2
    assert_same(train(*chosen, "--cluster", address), train(*chosen))


def test_a_run_is_resumed_without_the_cluster(train, address, monkeypatch):
    """Nothing of it is in the checkpoint."""
    expected = train()
    runs.without_plots(monkeypatch, StopWithin(6))
    folder = train("--cluster", address)
    runs.without_plots(monkeypatch)
    assert train_main(["--resume-file", str(folder / "checkpoint.h5")]) == 0
    assert_same(folder, expected)


class Kill:
    """Extension that kills the worker during one step."""

    killed = 0

    def after_evaluation(self, loop):
        if loop.state.step == 5 and not self.killed:
            self.killed += clusters.kill_one()


def test_a_killed_worker_changes_nothing(train, monkeypatch):
    expected = train()
    kill = Kill()
    runs.without_plots(monkeypatch, kill)
    assert_same(train("--cluster", "local:1"), expected)
    assert kill.killed == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--optimizer", "adam"], "--cluster local:1: --optimizer adam makes small steps"),
        ([*SFO, "--cluster", "local:0"], "--cluster local:0: got '0' workers"),
        ([*SFO, "--distributed"], "--cluster local:1 contradicts --distributed"),
    ],
)
def test_what_a_cluster_cannot_train_is_one_line(data, tmp_path, capsys, flags, message):
    line = runs.refused(capsys, train_main, *words(data, tmp_path, "--cluster", "local:1", *flags))
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_the_lines_before_training_name_the_shares(train, address, capsys):
    train("--epochs", 1, "--quiet", "false", "--cluster", address)
    out = capsys.readouterr().out
    assert f"cluster {address}: 2 workers\n" in out
    assert "the workers share the 3 microbatches of a subfunction" in out
    train("--epochs", 1, "--quiet", "false", "--cluster", address, "--subfunctions-ahead", 2)
    assert "the workers share the 6 microbatches of 2 subfunctions" in capsys.readouterr().out
