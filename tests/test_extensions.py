"""Main-loop extensions: log, plots, printed lines and checkpoints, and failures of each."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dpm import viz
from dpm.base.errors import InputError
from dpm.commands.evaluate import main as evaluate
from dpm.commands.report import main as report
from dpm.experiments.variants import RELEASED
from dpm.extensions import LogLikelihood, PlotParameters, standard_extensions
from dpm.likelihood.result import Bound
from dpm.optimizers import Adam
from dpm.runs import checkpoint, settings
from dpm.runs.settings import Settings
from dpm.training import monitoring
from dpm.training.monitoring import COLUMNS, EveryN
from tests.helpers import runs

FEW = {
    "samples": 4,
    "schedule": 1,
    "trajectories": 2,
    "entropies": 1,
    "monitors": 1,
}  # samples, in-painting, true; in-painting next to true


def test_log_has_one_row_per_epoch(base):
    folder = runs.trained(base)
    assert (folder / "log.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    log = runs.rows(folder)
    assert [(row["epoch"], row["step"], row["learning_rate"]) for row in log] == [(1, 3, 5e-3), (2, 6, 5e-3)]
    # L_null is -(1 + log(2 pi)) / 2 / log(2) bits per pixel.
    for row in log:
        for part in ("train", "test"):
            assert row[f"{part}_K"] - row[f"{part}_K_minus_L_null"] == pytest.approx(-2.0471, abs=1e-4)


@pytest.mark.thorough
def test_plots_are_made_every_n_epochs(base):
    folder, _, _ = runs.complete(base)
    files = runs.files(folder)
    names = set(files)
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
            with Image.open(files[name]) as image:
                assert image.size > (40, 40)


@pytest.mark.parametrize(("plots", "kinds"), [("none", {}), ("few", FEW), ("all", FEW)])
def test_number_of_files_of_each_kind_of_plots(base, tmp_path, monkeypatch, plots, kinds):
    """One round, after the last of two epochs, or with all plots one after each; T = 10 has six captured states."""
    runs.share_compiled(monkeypatch)
    if plots == "all":
        folder, rounds = runs.complete(base)[0], 2
    else:
        folder, rounds = runs.train(tmp_path / "out", runs.data(base), "--plots", plots), 1
    top = {path.name for path in folder.iterdir() if path.is_file()}
    assert top == {"checkpoint.h5", "checkpoint_best.h5", "config.json", "log.csv", "result.json"}
    numbers = {path.name: len(list(path.iterdir())) for path in folder.glob("plots/*")}
    expected = kinds | ({"samples": 1 + 3 * 6 + 2} if plots == "all" else {})
    assert {name: numbers[name] for name in expected} == {name: rounds * number for name, number in expected.items()}
    assert set(numbers) - set(expected) == ({"parameters", "gradients", "internal"} if plots == "all" else set())
    n_arrays = {"none": 0, "few": 1 + 2 * 6 + 2, "all": 1 + 3 * 6 + 2}[plots]
    assert len(list(folder.glob("arrays/*"))) == rounds * n_arrays


def test_faithful_run_has_all_plots_by_default_and_wrong_choices_are_refused():
    assert Settings.from_arguments(faithful=True).plots == "all"
    assert Settings.from_arguments().plots == "few"
    with pytest.raises(InputError, match="--plots: 'some' is not accepted; expected none, few, all"):
        Settings.from_arguments(plots="some")
    with pytest.raises(InputError, match="--plot-before-training contradicts --plots none"):
        Settings.from_arguments(plots="none", plot_before_training=True)


def test_one_K_in_console_log_result_report_and_evaluation(base, tmp_path, capsys, data):
    """Equal settings, equal text: K, K - L_null, both errors and how they were estimated."""
    folder, out, _ = runs.complete(base)
    row = runs.rows(folder)[-1]
    result = json.loads((folder / "result.json").read_text())
    assert result["epoch"] == row["epoch"] == 2
    for name in ("K", "K_minus_L_null", "draws_error", "standard_error"):
        assert result[name] == row[f"test_{name}"]
    line = str(Bound.from_json(result))
    assert out.splitlines()[-2] == line
    assert evaluate([str(folder), "--data-path", str(data), "--output-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == line
    assert report([str(folder), "--data-path", str(data), "--output", str(tmp_path / "r.html"), "--quiet"]) == 0
    page = (tmp_path / "r.html").read_text()
    assert f": {line}; from these terms" in page
    assert line.partition("bits/pixel; ")[2] in page.partition("KL_t by t")[0]


def test_result_holds_how_it_was_found(base):
    result = json.loads((runs.complete(base)[0] / "result.json").read_text())
    assert result["evaluation"] == {
        "split": "test",
        "n_examples": 20,
        "times_per_example": 2,
        "n_times": 9,
        "seed": 0,
        "units": "scaled units",
    }
    assert {"dpm", "pytensor", "jax", "numpy", "python"} <= set(result["versions"])
    assert (result["seed"], result["objective"], result["step"], result["data"]) == (0, "K", 6, "MNIST")


@pytest.mark.thorough
def test_entropies_of_reverse_steps_are_plotted_with_their_bounds(base):
    """Eq. 23 at every t = 2..T in bits per pixel: the upper bound is log2(2 pi e beta_t) / 2 (T = 10)."""
    folder, _, _ = runs.complete(base)
    assert (folder / "plots/entropies/entropies_batch000003.png").is_file()
    with np.load(folder / "arrays/entropies_batch000006.npz") as file:
        found = {name: file[name] for name in file}
    np.testing.assert_array_equal(found["times"], np.arange(2, 11))
    beta = 1 / np.linspace(10, 2, 10)[1:]
    np.testing.assert_allclose(found["upper"], np.log2(2 * np.pi * np.e * beta) / 2, atol=1e-3)
    assert np.all(found["lower"] < found["upper"])
    assert all(found[name].shape == (9,) and np.isfinite(found[name]).all() for name in ("entropy", "standard_error"))


@pytest.mark.thorough
def test_arrays_of_samples_are_in_data_units(base):
    folder, _, _ = runs.complete(base)
    known = runs.pixels(runs.TEST, seed=1) / 255
    with np.load(folder / "arrays/samples_true_t0000_batch000006.npz") as file:
        np.testing.assert_allclose(file["X"], known, atol=1e-6)
    with np.load(folder / "arrays/samples_inpaint_t0000_batch000006.npz") as file:
        np.testing.assert_allclose(file["X"][..., 4:], known[..., 4:], atol=1e-6)
        assert np.abs(file["X"][..., :4] - known[..., :4]).max() > 0.1
    with np.load(folder / "arrays/samples_t0010_batch000006.npz") as file:
        # x_T is unit noise in the model's units.
        scale = json.loads((folder / "config.json").read_text())["data"]["scale"]
        assert file["X"].std() * scale == pytest.approx(1, abs=0.06)


@pytest.mark.thorough
def test_printed_lines_name_units_signs_and_the_run(base):
    """K and K - L_null in bits per pixel with their error and data units; data, scaling, engine and folder."""
    folder, out, err = runs.complete(base)
    for text in (
        "60 train, 20 test, 1x8x8",
        "uint8 in [0, 255], 8-bit pixels; x * ",
        "dequantized by uniform noise of width 0.013337",
        "has mean 0 and variance 1",
        "T = 10",
        "(float32, PyTensor",
        "3 steps per epoch, 2 epochs, seed 0",
        f"folder   {folder}",
    ):
        assert text in out
    epochs = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["1/2", "2/2"]
    reported = [line for line in out.splitlines() if line.startswith("K = ")]
    for line, row, again in zip(epochs, runs.rows(folder), reported, strict=True):
        errors = f"{row['test_draws_error']:.4f} of the draws of t and noise, {row['test_standard_error']:.4f} with"
        K = f"K = {row['test_K']:.4f}, K - L_null = {row['test_K_minus_L_null']:.4f} bits/pixel"
        text = f"{K}; standard error {errors}"
        assert text in line
        assert line.endswith(f"; train K - L_null = {row['train_K_minus_L_null']:.4f}")
        assert again == f"{text} the examples as a sample; 20 test examples, scaled units, 2 of 9 t each, seed 0"
    assert out.splitlines()[-1] == f"finished: {folder / 'checkpoint.h5'} (epoch 2, step 6)"
    assert err == ""


def test_faithful_run_prints_the_released_estimator_and_says_so(train, monkeypatch, capsys):
    """Its K is not that of log.csv, which counts KL_t T - 1 times."""
    runs.without_plots(monkeypatch, keep=LogLikelihood)
    short = replace(RELEASED, epoch_batches=2, likelihood_draws=30)
    monkeypatch.setattr(settings, "select_variant", lambda faithful: short)
    folder = train("--faithful", "--epochs", 1, "--quiet", "false")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("K = ")]
    assert "; as released in 2015: 30 minibatches of 20, each at one random t, KL_t counted T times" in line
    assert line.endswith(", unlike in log.csv")
    (row,) = runs.rows(folder)
    result = json.loads((folder / "result.json").read_text())
    assert result["K"] == row["test_K"]
    assert f"K = {row['test_K']:.4f}," not in line


def test_quiet_prints_only_the_last_line(train, capsys, monkeypatch):
    runs.without_plots(monkeypatch, keep=LogLikelihood)
    folder = train()
    printed = capsys.readouterr()
    assert printed.out == f"finished: {folder / 'checkpoint.h5'} (epoch 2, step 6)\n"
    assert printed.err == ""


def test_non_finite_model_never_replaces_a_good_checkpoint(train, monkeypatch, capsys):
    step, count = Adam.step, iter(range(100))
    monkeypatch.setattr(Adam, "step", lambda *a: step(*a) * (np.float32(np.nan) if next(count) > 3 else 1))
    folder = train(status=1)
    assert "warning: checkpoint.h5 was not saved: parameters are not finite" in capsys.readouterr().err
    meta, arrays = checkpoint.load(folder / "checkpoint.h5")
    assert meta["state"]["step"] == 3
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_failed_plot_is_one_warning_and_changes_nothing(base, train, monkeypatch, capsys):
    def broken(*arguments):
        raise RuntimeError("no pen")

    monkeypatch.setattr(viz, "plot_parameter", broken)
    runs.without_plots(monkeypatch, keep=PlotParameters)
    folder = train("--plots", "all", status=1)
    expected = [f"warning: {kind} was not saved: no pen" for kind in ("PlotParameters", "PlotGradients")]
    expected.append("not saved: PlotGradients, PlotParameters; the warnings above say why")
    assert capsys.readouterr().err.splitlines() == expected
    assert runs.same(folder, runs.trained(base))


def test_log_that_cannot_be_written_is_a_warning(base, train, monkeypatch, capsys):
    """The disk is full at log.csv: each failure is reported, and the checkpoint is complete."""
    replace = Path.write_text

    def full(path, *arguments, **more):
        if "log.csv" in path.name:
            raise OSError(28, "No space left on device")
        return replace(path, *arguments, **more)

    monkeypatch.setattr(Path, "write_text", full)
    folder = train(status=1)
    *warnings, last = capsys.readouterr().err.splitlines()
    assert set(warnings) == {"warning: log.csv was not saved: [Errno 28] No space left on device"}
    assert last == "not saved: log.csv; the warnings above say why"
    first, second = runs.parameters(folder), runs.parameters(runs.trained(base))
    assert all(np.array_equal(first[name], second[name]) for name in second)


def test_file_written_at_a_later_epoch_counts_as_saved(train, monkeypatch, capsys):
    """The disk is full for one epoch only: log and checkpoint finally hold all epochs."""
    save, count = checkpoint.save, iter(range(10))

    def full_once(*arguments):
        if next(count) == 0:
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save", full_once)
    folder = train()
    assert capsys.readouterr().err == "warning: checkpoint.h5 was not saved: [Errno 28] No space left on device\n"
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == 6


def checkpoints(folder):
    """Return {name: step} of the checkpoints of a run."""
    return {path.name: checkpoint.load(path)[0]["state"]["step"] for path in folder.glob("*.h5")}


def test_last_and_best_checkpoints_are_kept(train, monkeypatch):
    """Of five epochs the third has the best test K; of equal ones the later is kept."""
    values = iter([-3.0, -2.0, -1.0, float("nan"), -1.5] * 2)

    def estimate(*arguments):
        return Bound(next(values), 1.0, 0.1, 0.1, "bits/pixel", 20, 2, 9, 0, "test")

    monkeypatch.setattr(monitoring, "estimate_bound", estimate)
    folder = train("--epochs", 5, "--keep", 3)
    steps = {"checkpoint.h5": 15, "checkpoint_step00000012.h5": 12, "checkpoint_step00000009.h5": 9}
    assert checkpoints(folder) == steps | {"checkpoint_best.h5": 9}
    folder = train("--epochs", 5)
    assert checkpoints(folder) == {"checkpoint.h5": 15, "checkpoint_best.h5": 9}


def test_each_plot_says_what_it_draws(tmp_path):
    """Its name in the progress, next to that of a user's own extension, which is its class."""
    data = SimpleNamespace(test=np.zeros((2, 1, 8, 8)), scaling=None)
    everything = standard_extensions(tmp_path, {"versions": {}, "data": {"name": "x"}}, data, Settings(plots="all"))
    names = [e.extension.what for e in everything if isinstance(e, EveryN)]
    assert len(names) == len(set(names)) == 8
