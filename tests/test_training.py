"""Training: what a run leaves behind, what an epoch is, and that nothing but the flags changes the numbers."""

import csv
import itertools
import json
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dpm import checkpoint, viz
from dpm.bricks import draw_masks
from dpm.extensions import COLUMNS, LogLikelihood, PlotParameters
from dpm.main_loop import MainLoop
from dpm.model import DiffusionModel
from dpm.optimizers import RMSProp
from tests import runs


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def train(base, tmp_path, monkeypatch):
    """A function that trains without pictures in a new folder; returns it."""
    runs.share_compiled(monkeypatch)
    runs.without_pictures(monkeypatch)
    numbers = itertools.count()
    return lambda *flags: runs.train(tmp_path / f"out{next(numbers)}", runs.data(base), *flags)


def rows(folder):
    """The log, without the seconds."""
    with (folder / "log.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def parameters(folder):
    return checkpoint.split(checkpoint.load(folder / "checkpoint.h5")[1])[0]


def same(first, second):
    """Whether two runs have the same log and the same parameters, bit for bit."""
    a, b = parameters(first), parameters(second)
    return rows(first) == rows(second) and all(np.array_equal(a[name], b[name]) for name in a.keys() | b.keys())


class Recorder:
    """Keeps what the loop does: batches, parameters before and after each step, the state of the loop."""

    def __init__(self, monkeypatch):
        self.batches, self.thetas, self.loop = [], [], None
        step = MainLoop.train_batch

        def train_batch(loop, X):
            self.loop = loop
            self.batches.append(X.copy())
            self.thetas.append(loop.theta.copy())
            step(loop, X)

        monkeypatch.setattr(MainLoop, "train_batch", train_batch)


def pictures(batches):
    """The pictures of all batches, in an order of their own."""
    return np.array(sorted(map(tuple, np.concatenate(batches).reshape(-1, runs.WIDTH**2))))


# ------------------------------------------------------------------ what a run leaves behind


def test_the_folder_says_all_that_a_run_needs_again(base):
    folder = runs.trained(base)
    config = json.loads((folder / "config.json").read_text())
    assert sorted(config) == ["command", "data", "face", "flags", "model", "versions"]
    assert config["flags"]["batch_size"] == 25
    assert config["flags"]["lr"] == 1e-3
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


def test_the_log_has_one_row_an_epoch(base):
    folder = runs.trained(base)
    assert (folder / "log.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    log = rows(folder)
    assert [(row["epoch"], row["step"], row["learning_rate"]) for row in log] == [(1, 3, 1e-3), (2, 6, 1e-3)]
    # L_null is -(1 + log(2 pi)) / 2 / log(2) bits a pixel.
    for row in log:
        for part in ("train", "test"):
            assert row[f"{part}_K"] - row[f"{part}_K_minus_L_null"] == pytest.approx(-2.0471, abs=1e-4)


def test_the_checkpoint_holds_the_run_and_no_data(base):
    folder = runs.trained(base)
    meta, arrays = checkpoint.load(folder / "checkpoint.h5")
    assert meta["config"] == json.loads((folder / "config.json").read_text())
    assert meta["state"]["step"] == 6
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in meta["state"]["rows"]] == rows(folder)
    values, optimizer = checkpoint.split(arrays)
    assert {name: a.shape for name, a in values.items()} == {
        name: p.shape for name, p in DiffusionModel(**meta["model"]).parameters().items() if "perturb" not in name
    }
    assert optimizer["mean_square"].size == sum(a.size for a in values.values())
    with h5py.File(folder / "checkpoint.h5") as file:
        assert set(file) == {"meta", "optimizer", "parameters"}


def test_pictures_are_made_every_n_epochs(base):
    folder, _, _ = runs.complete(base)
    names = {path.name for path in folder.iterdir()}
    for step in ("000003", "000006"):
        for kind in ("", "_inpaint", "_denoise1"):
            for t in (10, 8, 6, 4, 2, 0):  # T, each ceil(T / 6) steps, 0
                assert {f"samples{kind}_t{t:04d}_batch{step}.{suffix}" for suffix in ("png", "npz")} <= names
        for name in ("trajectory_forward", "trajectory_reverse", "monitors", "internal-Z", "internal-conv"):
            assert f"{name}_batch{step}.png" in names
        layer = "mlp_conv_dense-MLP_dense_lower-linear_0.W"
        for kind in ("params", "grads"):
            assert {f"{kind}-{layer}_batch{step}_{view}.png" for view in ("raw", "rf")} <= names
    for name in names:
        if name.endswith(".png"):
            with Image.open(folder / name) as image:
                assert image.size > (40, 40)


def test_the_arrays_of_samples_are_in_the_units_of_the_data(base):
    folder, _, _ = runs.complete(base)
    known = runs.pixels(runs.TEST, seed=1) / 255
    with np.load(folder / "samples_true_t0000_batch000006.npz") as file:
        np.testing.assert_allclose(file["X"], known, atol=1e-6)
    with np.load(folder / "samples_inpaint_t0000_batch000006.npz") as file:
        np.testing.assert_allclose(file["X"][..., 4:], known[..., 4:], atol=1e-6)
        assert np.abs(file["X"][..., :4] - known[..., :4]).max() > 0.1
    with np.load(folder / "samples_t0010_batch000006.npz") as file:
        # x_T is unit noise in the model's units.
        scale = json.loads((folder / "config.json").read_text())["data"]["scale"]
        assert file["X"].std() * scale == pytest.approx(1, abs=0.06)


def test_what_is_printed_names_units_signs_and_the_run(base):
    """K and K - L_null, bits a pixel, with the error and the units of the data; data, scaling, engine and folder."""
    folder, out, err = runs.complete(base)
    for text in (
        "60 train, 20 test, 1x8x8",
        "uint8 in [0, 255], 8-bit pixels, dequantised; x * ",
        "has mean 0 and variance 1",
        "T = 10",
        "(float32, PyTensor",
        "3 steps an epoch, 2 epochs, from step 0; seed 0",
        f"folder   {folder}",
    ):
        assert text in out
    epochs = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["1/2", "2/2"]
    assert all("K - L_null train " in line and line.endswith(" bits/pixel") for line in epochs)
    (line, _) = [line for line in out.splitlines() if line.startswith("K=")]
    assert all(text in line for text in ("bits/pix standard error=", "K - L_null=", "(test data, scaled units)"))
    assert out.splitlines()[-1] == f"finished: {folder / 'checkpoint.h5'} (epoch 2, step 6)"
    assert err == ""


def test_quiet_prints_the_last_line_alone(train, capsys, monkeypatch):
    runs.without_pictures(monkeypatch, keep=LogLikelihood)
    folder = train()
    shown = capsys.readouterr()
    assert shown.out == f"finished: {folder / 'checkpoint.h5'} (epoch 2, step 6)\n"
    assert shown.err == ""


# ------------------------------------------------------------------ what an epoch is


def test_an_epoch_sees_each_training_picture_once(base, train, monkeypatch):
    """60 pictures in batches of 25 are 25, 25 and 10, in another order at each epoch; no test picture is among them."""
    recorder = Recorder(monkeypatch)
    folder = train()
    assert [len(X) for X in recorder.batches] == [25, 25, 10] * 2
    first, second = recorder.batches[:3], recorder.batches[3:]
    data = json.loads((folder / "config.json").read_text())["data"]
    expected = runs.pixels(runs.TRAIN).astype(np.float32) / 255 * data["scale"] + data["shift"]
    for batches in (first, second):
        np.testing.assert_allclose(pictures(batches), pictures([expected]), atol=1e-5)
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))


def test_a_partial_batch_counts_its_own_pictures_alone(train, monkeypatch):
    """The cost of the last 10 pictures is the mean over these, whatever fills the batch up."""
    recorder = Recorder(monkeypatch)
    train()
    loop, X = recorder.loop, recorder.batches[2]
    inputs = loop.inputs(X)
    assert [len(a) for a in inputs] == [10] * 5
    cost, _ = loop.objective(X)
    costs = loop.compiled.costs(runs.TEST)(loop.theta, *inputs[:4])
    assert costs.shape == (10,)
    assert cost == pytest.approx(costs.mean(), rel=1e-5)


def test_a_batch_larger_than_the_data_is_all_of_them(train, monkeypatch):
    recorder = Recorder(monkeypatch)
    folder = train("--batch-size", 1000)
    assert [len(X) for X in recorder.batches] == [60, 60]
    assert [row["step"] for row in rows(folder)] == [1, 2]


def test_several_times_a_picture(train, monkeypatch):
    """n_t_per_minibatch=2: each picture comes twice, with times and noise of its own; the epoch stays as long."""
    recorder = Recorder(monkeypatch)
    folder = train("--model-args", f"{runs.MODEL},n_t_per_minibatch=2")
    assert [row["step"] for row in rows(folder)] == [3, 6]
    assert all(np.isfinite(row["train_K"]) for row in rows(folder))
    X, t, N, U, weights = recorder.loop.inputs(recorder.batches[0])
    assert weights.sum() == len(X) == 50
    np.testing.assert_array_equal(X[:25], X[25:])
    for noise in (t, N, U):
        assert not np.array_equal(noise[:25], noise[25:])


# ------------------------------------------------------------------ what the numbers depend on


def test_pictures_do_not_change_training(base):
    """With pictures after each epoch and with none, log and parameters are the same, bit for bit."""
    assert same(runs.complete(base)[0], runs.trained(base))


def test_the_seed_decides_all_numbers(base, train):
    assert same(train("--seed", 0), runs.trained(base))
    other = train("--seed", 1)
    before, after = parameters(runs.trained(base)), parameters(other)
    assert all(not np.array_equal(before[name], after[name]) for name in before)
    assert rows(other)[0]["test_K"] != rows(runs.trained(base))[0]["test_K"]


def test_noise_and_times_advance_with_the_steps(train, monkeypatch):
    recorder = Recorder(monkeypatch)
    train()
    loop, X, seen = recorder.loop, recorder.batches[0], []
    for loop.state.step in (0, 1, 3, 6):
        seen.append(loop.inputs(X)[1:4])
    for i in range(len(seen)):
        for first, second in zip(seen[i], seen[i - 1], strict=True):
            assert not np.array_equal(first, second)
    loop.state.step = 0
    for first, second in zip(loop.inputs(X)[1:4], seen[0], strict=True):
        np.testing.assert_array_equal(first, second)


def test_global_random_states_are_left_alone(train):
    before = np.random.get_state()[1].copy(), np.random.get_state()[2:], random.getstate()  # noqa: NPY002
    train()
    after = np.random.get_state()[1], np.random.get_state()[2:], random.getstate()  # noqa: NPY002
    np.testing.assert_array_equal(after[0], before[0])
    assert after[1:] == before[1:]


def test_dropout_changes_training_and_its_masks_keep_the_mean(base, train):
    folder = train("--dropout-rate", 0.5)
    assert all(np.isfinite(row["train_K"]) for row in rows(folder))
    assert rows(folder)[0]["train_K"] != rows(runs.trained(base))[0]["train_K"]
    (mask,) = draw_masks(np.random.default_rng(0), [(100, 100)], 0.5)
    assert set(np.unique(mask)) == {0, 2}
    assert mask.mean() == pytest.approx(1, abs=0.05)


# ------------------------------------------------------------------ what goes wrong on the way


def test_a_step_that_is_not_finite_is_skipped_and_counted(train, monkeypatch):
    """One NaN: the parameters stay for this step, the log counts it, and training goes on to a finite end."""
    recorder = Recorder(monkeypatch)
    objective = MainLoop.objective

    def broken(loop, X):
        cost, gradient = objective(loop, X)
        return (np.float32(np.nan), gradient * np.nan) if loop.state.step == 2 else (cost, gradient)

    monkeypatch.setattr(MainLoop, "objective", broken)
    folder = train()
    moved = [not np.array_equal(a, b) for a, b in zip(recorder.thetas, recorder.thetas[1:], strict=False)]
    assert moved == [True, True, False, True, True]
    assert [row["skipped_steps"] for row in rows(folder)] == [1, 1]
    assert all(np.isfinite(list(row.values())).all() for row in rows(folder))
    arrays = checkpoint.load(folder / "checkpoint.h5")[1]
    assert arrays["/optimizer/skipped_steps"] == 1
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_a_model_that_is_not_finite_never_replaces_a_good_checkpoint(train, monkeypatch):
    step, count = RMSProp.step, iter(range(100))
    monkeypatch.setattr(RMSProp, "step", lambda *a: step(*a) * (np.float32(np.nan) if next(count) > 3 else 1))
    with pytest.warns(UserWarning, match=r"not finite; checkpoint\.h5 stays"):
        folder = train()
    meta, arrays = checkpoint.load(folder / "checkpoint.h5")
    assert meta["state"]["step"] == 3
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_a_picture_that_fails_is_one_warning_of_its_kind_and_changes_nothing(base, train, monkeypatch, capsys):
    def broken(*arguments):
        raise RuntimeError("no pen")

    monkeypatch.setattr(viz, "plot_parameter", broken)
    runs.without_pictures(monkeypatch, keep=PlotParameters)
    folder = train()
    expected = [f"warning: {kind} was not saved: no pen" for kind in ("PlotParameters", "PlotGradients")]
    assert capsys.readouterr().err.splitlines() == expected
    assert same(folder, runs.trained(base))


def test_a_log_that_cannot_be_written_is_a_warning_too(base, train, monkeypatch, capsys):
    """A full disk at log.csv: each failure is told, the checkpoint is as ever."""
    replace = Path.write_text

    def full(path, *arguments, **more):
        if "log.csv" in path.name:
            raise OSError(28, "No space left on device")
        return replace(path, *arguments, **more)

    monkeypatch.setattr(Path, "write_text", full)
    folder = train()
    warnings_shown = capsys.readouterr().err.splitlines()
    assert set(warnings_shown) == {"warning: log.csv was not saved: [Errno 28] No space left on device"}
    first, second = parameters(folder), parameters(runs.trained(base))
    assert all(np.array_equal(first[name], second[name]) for name in second)
