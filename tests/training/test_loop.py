"""Epochs, the inputs of each step, and non-finite steps."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from dpm.commands.train import main as train_main
from dpm.runs import checkpoint
from dpm.training import loop as main_loop
from dpm.training.loop import MainLoop
from dpm.training.monitoring import Monitoring
from tests.helpers import runs


class Recorder:
    """Record batches, parameters before and after each step, and the state of the loop."""

    def __init__(self, monkeypatch):
        self.batches, self.thetas, self.loop = [], [], None
        step = MainLoop.train_batch

        def train_batch(loop, inputs):
            self.loop = loop
            self.batches.append(inputs[0].copy())
            self.thetas.append(loop.theta.copy())
            step(loop, inputs)

        monkeypatch.setattr(MainLoop, "train_batch", train_batch)


def sorted_images(batches):
    """Return the images of all batches in sorted order."""
    return np.array(sorted(map(tuple, np.concatenate(batches).reshape(-1, runs.WIDTH**2))))


def test_epoch_uses_each_training_image_once(base, train, monkeypatch):
    """60 images in batches of 25, 25 and 10, in a new order at each epoch; none is a test image."""
    recorder = Recorder(monkeypatch)
    folder = train()
    assert [len(X) for X in recorder.batches] == [25, 25, 10] * 2
    first, second = recorder.batches[:3], recorder.batches[3:]
    data = json.loads((folder / "config.json").read_text())["data"]
    expected = runs.pixels(runs.TRAIN).astype(np.float32) / 255 * data["scale"] + data["shift"]
    for batches in (first, second):
        np.testing.assert_allclose(sorted_images(batches), sorted_images([expected]), atol=1e-5)
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))


@pytest.mark.thorough
def test_epoch_of_crops_draws_as_many_crops_as_the_images_hold(tmp_path, monkeypatch):
    """Images of 17 x 25 hold six disjoint crops of 8 x 8, so an epoch draws a crop of each image six times."""
    recorder = Recorder(monkeypatch)
    runs.without_plots(monkeypatch)
    plain = np.repeat(np.arange(0, 250, 50, dtype=np.uint8), 17 * 25).reshape(5, 1, 17, 25)
    data = runs.write_data(tmp_path, plain, plain[:2])
    folder = runs.train(tmp_path / "out", data, "--crop", 8, "--batch-size", 3, "--epochs", 1)
    assert [len(X) for X in recorder.batches] == [3, 2] * 6
    for start in range(0, 12, 2):
        assert len(np.unique(np.concatenate(recorder.batches[start : start + 2])[:, 0, 0, 0])) == 5
    assert [row["step"] for row in runs.rows(folder)] == [12]


def test_cost_of_a_partial_batch_ignores_the_padding(train, monkeypatch):
    """The cost of the last 10 images is their mean, whatever pads the batch."""
    recorder = Recorder(monkeypatch)
    train("--times", "stratified")
    loop, X = recorder.loop, recorder.batches[2]
    inputs = loop.inputs(X, loop.state.step)
    assert [len(a) for a in inputs] == [10] * 5
    cost, _ = loop.objective(inputs)
    costs = loop.compiled.costs(runs.TEST)(loop.theta, *inputs[:4])
    assert costs.shape == (10,)
    assert cost == pytest.approx(costs.mean(), rel=1e-5)


@pytest.mark.thorough
def test_batch_size_is_capped_at_the_number_of_images(train, monkeypatch):
    recorder = Recorder(monkeypatch)
    folder = train("--batch-size", 1000)
    assert [len(X) for X in recorder.batches] == [60, 60]
    assert [row["step"] for row in runs.rows(folder)] == [1, 2]


@pytest.mark.thorough
def test_several_times_per_image(train, monkeypatch):
    """n_t_per_minibatch=2: each image occurs twice with different times and noise; the epoch has the same length."""
    recorder = Recorder(monkeypatch)
    folder = train("--model-args", f"{runs.MODEL},n_t_per_minibatch=2")
    assert [row["step"] for row in runs.rows(folder)] == [3, 6]
    assert all(np.isfinite(row["train_K"]) for row in runs.rows(folder))
    assert len(recorder.batches[0]) == 50
    X, t, N, U, weights = recorder.loop.inputs(recorder.batches[0][:25], 0)
    assert weights.sum() == len(X) == 50
    np.testing.assert_array_equal(X[:25], X[25:])
    for noise in (t, N, U):
        assert not np.array_equal(noise[:25], noise[25:])


def test_noise_of_a_step_depends_on_its_number(train, monkeypatch):
    """Prefetched inputs of step k depend on the seed and k only, in the next epoch and after a resume."""
    step, seen = MainLoop.train_batch, []

    def train_batch(loop, inputs):
        seen.append(loop.state.step)
        for given, expected in zip(inputs, loop.inputs(inputs[0], loop.state.step), strict=True):
            np.testing.assert_array_equal(given, expected)
        step(loop, inputs)

    monkeypatch.setattr(MainLoop, "train_batch", train_batch)
    folder = train()
    assert train_main(["--resume-file", str(folder / "checkpoint.h5"), "--epochs", "3", "--quiet"]) == 0
    assert seen == [*range(9)]


def test_noise_and_times_advance_with_the_steps(train, monkeypatch):
    recorder = Recorder(monkeypatch)
    train()
    loop, X = recorder.loop, recorder.batches[0]
    seen = [loop.inputs(X, step)[1:4] for step in (0, 1, 3, 6)]
    for i in range(len(seen)):
        for first, second in zip(seen[i], seen[i - 1], strict=True):
            assert not np.array_equal(first, second)
    for first, second in zip(loop.inputs(X, 0)[1:4], seen[0], strict=True):
        np.testing.assert_array_equal(first, second)


def test_non_finite_step_is_skipped_and_counted(train, monkeypatch):
    """After one NaN the parameters stay for this step, the log counts it, and training ends finite."""
    recorder = Recorder(monkeypatch)
    objective = MainLoop.objective

    def broken(loop, X):
        cost, gradient = objective(loop, X)
        return (np.float32(np.nan), gradient * np.nan) if loop.state.step == 2 else (cost, gradient)

    monkeypatch.setattr(MainLoop, "objective", broken)
    folder = train()
    moved = [not np.array_equal(a, b) for a, b in zip(recorder.thetas, recorder.thetas[1:], strict=False)]
    assert moved == [True, True, False, True, True]
    assert [row["skipped_steps"] for row in runs.rows(folder)] == [1, 1]
    assert all(np.isfinite(list(row.values())).all() for row in runs.rows(folder))
    arrays = checkpoint.load(folder / "checkpoint.h5")[1]
    assert arrays["/optimizer/skipped_steps"] == 1
    assert all(np.isfinite(a).all() for a in arrays.values())


def not_finite(monkeypatch, when):
    """Make the gradient of step k NaN if when(k) is true."""
    objective = MainLoop.objective

    def broken(loop, X):
        cost, gradient = objective(loop, X)
        bad = np.float32(np.nan) if when(loop.state.step) else 1
        return cost * bad, gradient * bad

    monkeypatch.setattr(MainLoop, "objective", broken)


def test_consecutive_skipped_steps_end_training_with_advice(train, monkeypatch, capsys):
    """After finite steps the advice is a smaller rate; the checkpoint holds the parameters before the skipped steps."""
    not_finite(monkeypatch, lambda step: step >= 4)
    folder = train("--epochs", 9, "--max-skipped", 7, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "training diverged: 7 steps in a row were skipped" in line
    assert "take a smaller --lr" in line
    assert f"{folder / 'checkpoint.h5'} (epoch 3, step 11)" in line
    meta, arrays = checkpoint.load(folder / "checkpoint.h5")
    assert (meta["state"]["step"], meta["state"]["skipped_in_a_row"]) == (11, 7)
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_data_without_any_finite_step_are_named(train, monkeypatch, capsys):
    not_finite(monkeypatch, lambda step: True)
    train("--max-skipped", 2, status=2)
    assert "no step was ever finite: check the data's range" in capsys.readouterr().err


def test_isolated_skipped_steps_do_not_end_training(train, monkeypatch):
    not_finite(monkeypatch, lambda step: step % 3 != 2)
    folder = train("--epochs", 4, "--max-skipped", 3)
    assert [row["skipped_steps"] for row in runs.rows(folder)] == [2, 4, 6, 8]


def test_count_of_skipped_steps_survives_an_interruption(train, monkeypatch, capsys):
    not_finite(monkeypatch, lambda step: step >= 3)
    folder = train("--epochs", 2, "--max-skipped", 5)
    assert train_main(["--resume-file", str(folder / "checkpoint.h5"), "--epochs", "9"]) == 2
    assert "5 steps in a row" in capsys.readouterr().err
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == 8


class Clock:
    """Clock that advances by `seconds` per step, and by what others add to `now`."""

    def __init__(self, monkeypatch, seconds):
        self.now, step = 0.0, MainLoop.train_batch

        def train_batch(loop, inputs):
            step(loop, inputs)
            self.now += seconds

        monkeypatch.setattr(MainLoop, "train_batch", train_batch)
        monkeypatch.setattr(main_loop, "time", SimpleNamespace(perf_counter=lambda: self.now))


def test_hours_limit_ends_training_and_a_larger_one_resumes_it(train, monkeypatch, capsys):
    """With steps of one second, 3.9 s are four steps. The resumed run equals an uninterrupted one of six steps."""
    straight = runs.rows(train())
    Clock(monkeypatch, 1)
    folder = train("--hours", 3.9 / 3600, "--quiet", "false")
    printed = capsys.readouterr()
    assert "finished, as --hours 0.00108333 are used up:" in printed.out
    assert "(epoch 1, step 4)" in printed.out
    assert "epoch 1, 0 min left,  step 3" in printed.out
    resume = ["--resume-file", str(folder / "checkpoint.h5"), "--quiet", "--hours"]
    assert train_main([*resume, str(4.9 / 3600)]) == 0
    assert checkpoint.load_run(folder / "checkpoint.h5")[0]["state"]["step"] == 5
    assert train_main([*resume, "1"]) == 0
    assert runs.rows(folder) == straight
    assert "used up" not in capsys.readouterr().out.splitlines()[-1]


def test_training_seconds_include_evaluation(train, monkeypatch):
    """Short epochs can spend most of their time in evaluation; --hours counts wall time."""
    clock, after_epoch = Clock(monkeypatch, 1), Monitoring.after_epoch

    def slow(monitoring, loop):
        after_epoch(monitoring, loop)
        clock.now += 10

    monkeypatch.setattr(Monitoring, "after_epoch", slow)
    folder = train()
    with (folder / "log.csv").open(newline="") as file:
        assert [float(row["seconds"]) for row in csv.DictReader(file)] == [3, 16]
