"""Training runs: the files they write, and that only the flags change the numbers."""

import json
import random

import h5py
import numpy as np
import pytest

from dpm.commands.evaluate import main as evaluate_main
from dpm.commands.train import main as train_main
from dpm.graph.bricks import draw_masks
from dpm.model import DiffusionModel
from dpm.runs import checkpoint
from tests.helpers import runs


def test_folder_records_everything_needed_to_repeat_the_run(base):
    folder = runs.trained(base)
    config = json.loads((folder / "config.json").read_text())
    assert sorted(config) == ["command", "data", "flags", "model", "variant", "versions"]
    assert config["variant"] == "corrected"
    assert config["flags"]["batch_size"] == 25
    assert config["flags"]["lr"] == 5e-3
    assert config["flags"]["model_args"]["trajectory_length"] == config["model"]["trajectory_length"] == runs.T
    assert config["data"]["path"] == str(runs.data(base) / "mnist.hdf5")
    assert (config["data"]["dtype"], config["data"]["range"]) == ("uint8", [0, 255])
    unit = runs.pixels(runs.TRAIN) / 255
    assert config["data"]["scale"] == pytest.approx(1 / unit.std(), rel=1e-6)
    assert config["data"]["shift"] == pytest.approx(-unit.mean() / unit.std(), rel=1e-6)
    assert config["versions"]["numpy"] == np.__version__
    assert {"dpm", "python", "pytensor", "h5py"} <= config["versions"].keys()
    assert folder.name.startswith("DiffusionModel_MNIST-")
    DiffusionModel(**config["model"])


def test_checkpoint_holds_the_run_and_no_data(base):
    folder = runs.trained(base)
    meta, arrays = checkpoint.load(folder / "checkpoint.h5")
    assert meta["config"] == json.loads((folder / "config.json").read_text())
    assert meta["state"]["step"] == 6
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in meta["state"]["rows"]] == runs.rows(folder)
    values, optimizer = checkpoint.split(arrays)
    assert {name: a.shape for name, a in values.items()} == {
        name: p.shape for name, p in DiffusionModel(**meta["model"]).parameters().items() if "perturb" not in name
    }
    assert optimizer["mean_square"].size == sum(a.size for a in values.values())
    with h5py.File(folder / "checkpoint.h5") as file:
        assert set(file) == {"meta", "optimizer", "parameters"}


@pytest.mark.slow  # test_exactness has it without the plots of the network's inside
def test_plots_do_not_change_training(base):
    """Log and parameters are the same bit for bit with plots after each epoch and without plots."""
    assert runs.same(runs.complete(base)[0], runs.trained(base))


def test_seed_determines_all_numbers(base, train):
    assert runs.same(train("--seed", 0), runs.trained(base))
    other = train("--seed", 1)
    before, after = runs.parameters(runs.trained(base)), runs.parameters(other)
    assert all(not np.array_equal(before[name], after[name]) for name in before)
    assert runs.rows(other)[0]["test_K"] != runs.rows(runs.trained(base))[0]["test_K"]


def test_global_random_states_do_not_change(train):
    before = np.random.get_state()[1].copy(), np.random.get_state()[2:], random.getstate()  # noqa: NPY002
    train()
    after = np.random.get_state()[1], np.random.get_state()[2:], random.getstate()  # noqa: NPY002
    np.testing.assert_array_equal(after[0], before[0])
    assert after[1:] == before[1:]


def test_dropout_changes_training_and_its_masks_keep_the_mean(base, train):
    folder = train("--dropout-rate", 0.5)
    assert all(np.isfinite(row["train_K"]) for row in runs.rows(folder))
    assert runs.rows(folder)[0]["train_K"] != runs.rows(runs.trained(base))[0]["train_K"]
    (mask,) = draw_masks(np.random.default_rng(0), [(100, 100)], 0.5)
    assert set(np.unique(mask)) == {0, 2}
    assert mask.mean() == pytest.approx(1, abs=0.05)


def test_data_that_moved_are_named_by_data_path(base, tmp_path, quick_runs, monkeypatch, capsys):
    """A relative --dataset holds from any folder; after a move --data-path names the new place, for every command."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    monkeypatch.chdir(tmp_path)
    file = runs.write_data(old, runs.pixels(runs.TRAIN), runs.pixels(runs.TEST, seed=1), "x.hdf5")
    given = ["--dataset", "old/x.hdf5", "--epochs", 1]
    words = [w for w in runs.arguments(tmp_path / "out", "", *given) if w]
    words.remove("--data-path")
    (tmp_path / "out").mkdir()
    assert train_main(words) == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert json.loads((folder / "config.json").read_text())["flags"]["dataset"] == str(file)
    path = folder / "checkpoint.h5"
    resume = ["--resume-file", path, "--epochs", 2, "--quiet"]
    old.rename(new)
    monkeypatch.chdir(new)
    line = runs.refused(capsys, train_main, *resume)
    assert "if x.hdf5 was moved, --data-path names its folder or its new name" in line
    assert "--data-path names the new place of moved data" in runs.refused(
        capsys, train_main, *resume, "--dataset", new / "x.hdf5"
    )
    assert runs.outcome(capsys, evaluate_main, path, "--quiet", "--data-path", new)[0] == 0
    assert runs.outcome(capsys, train_main, *resume, "--data-path", "x.hdf5")[0] == 0
    assert checkpoint.load_run(path)[0]["config"]["flags"]["data_path"] == str(new / "x.hdf5")


def test_run_whose_checkpoint_cannot_be_written_names_the_step_that_it_holds(base, train, monkeypatch, capsys):
    """Disk full from the second epoch on: the file on the disk is of step 3, not of step 6."""
    save, calls = checkpoint.save, []

    def fail_later(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save", fail_later)
    folder = train(status=1)
    assert checkpoint.load_run(folder / "checkpoint.h5")[0]["state"]["step"] == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("checkpoint.h5 (epoch 1, step 3); what was trained after it, up to step 6, is lost")


def test_names_that_the_file_system_refuses_are_named_before_data_are_read(refused, trained, monkeypatch, capsys):
    """The names of files have 255 bytes at most on Linux, and an umlaut has two in UTF-8."""
    line = refused(train_main, "--suffix", "\u00e4" * 120)
    assert "--suffix: the run folder's name would have 260 bytes; accepted: up to 235" in line
    monkeypatch.setattr("os.access", lambda path, mode: False)
    line = runs.refused(capsys, train_main, "--resume-file", trained, "--epochs", 3)
    assert f"--resume-file: the run folder {trained.parent} cannot be written; copy it to a place that can" in line
