"""Runs of train.py with a learned schedule, and of binary images: resumed bit for bit, sampled, evaluated, refused."""

import numpy as np
import pytest

import dpm
from dpm.base.errors import InputError
from dpm.commands.evaluate import main as evaluate_main
from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.runs import checkpoint
from tests.helpers import runs
from tests.training.test_resume import Stop

DENSE = f"trajectory_length={runs.T},n_hidden_conv=0,n_hidden_dense_lower=4,n_layers_dense_lower=1,n_temporal_basis=2"
FREE = "schedule='free',beta_1=1e-5"
BITS = "kernel='binomial',base_rate=0.3"


@pytest.fixture(scope="module")
def bits(tmp_path_factory):
    """Return a folder with binary images, three in ten pixels white."""
    folder = tmp_path_factory.mktemp("bits")
    train, test = ((np.random.default_rng(i).random((n, 1, 8, 8)) < 0.3) for i, n in enumerate((60, 20)))
    runs.write_data(folder, train.astype("uint8"), test.astype("uint8"))
    return folder


@pytest.mark.parametrize("arguments", [FREE, pytest.param(f"{BITS},{FREE}", marks=pytest.mark.thorough)])
def test_a_stopped_run_resumes_bit_for_bit(data, bits, tmp_path, monkeypatch, arguments):
    """A learned schedule is among the parameters of the checkpoint, and it has moved; beta_1 has not."""
    runs.share_compiled(monkeypatch)
    flags = bits if "binomial" in arguments else data, "--model-args", f"{DENSE},{arguments}"
    runs.without_plots(monkeypatch)
    expected = runs.train(tmp_path / "whole", *flags)
    runs.without_plots(monkeypatch, Stop(4))
    stopped = runs.train(tmp_path / "stopped", *flags)
    assert not runs.same(stopped, expected)
    runs.without_plots(monkeypatch)
    assert train_main(["--resume-file", str(stopped / "checkpoint.h5")]) == 0
    assert runs.same(stopped, expected)
    assert np.abs(runs.parameters(stopped)["/diffusionmodel/schedule.logits"]).max() > 1e-4
    run = dpm.open_run(stopped)
    assert run.compiled.beta(run.theta)[0] == np.float32(1e-5)


@pytest.mark.thorough
def test_binary_images_are_trained_plotted_sampled_and_evaluated(bits, tmp_path, capsys):
    more = ("--plots", "all", "--quiet", "false")
    folder = runs.train(tmp_path / "out", bits, "--model-args", f"{DENSE},{BITS},{FREE}", *more)
    printed = capsys.readouterr()
    assert "uint8 in [0, 1], bits; diffused as they are" in printed.out
    assert "dequantized" not in printed.out
    assert printed.err == ""  # no plot has failed
    kinds = {path.name for path in (folder / "plots").iterdir()}
    assert {"samples", "parameters", "gradients", "internal", "entropies", "schedule", "trajectories"} <= kinds
    assert not [name for name in runs.files(folder) if "denoise" in name]
    with np.load(folder / "arrays/schedule_batch000006.npz") as file:
        assert file["beta"][0] == file["start"][0] == np.float32(1e-5)
        assert (file["beta"][1:] != file["start"][1:]).any()
    assert sample_main([str(folder), "--n", "3", "--output-dir", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "samples.npz") as file:
        assert file["X"].shape == (3, 1, 8, 8)
        assert set(np.unique(file["X"])) <= {0, 1}
    assert evaluate_main([str(folder), "--t-per-example", "3", "--output-dir", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "evaluation.npz") as file:
        assert file["mean_L_null"] == pytest.approx(64 * (0.3 * np.log(0.3) + 0.7 * np.log(0.7)))
    denoise = ["--mode", "denoise", "--input", str(tmp_path / "samples.npz"), "--output-dir", str(tmp_path)]
    assert "this model is of bits" in runs.refused(capsys, sample_main, folder, *denoise)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--model-args", f"{DENSE},{BITS}"],
            "among the values; expected 0 and 1, the bits of the binomial kernel; round them",
        ),
        (["--model-args", f"{DENSE},schedule='fre'"], "schedule: 'fre' is not accepted; expected released or"),
        (["--model-args", f"{DENSE},{FREE}", "--faithful"], "schedule='free' contradicts --faithful"),
        (["--model-args", "beta_1=1e-5", "--faithful"], "beta_1=1e-05 contradicts --faithful, which sets beta_1=None"),
        (["--model-args", BITS, "--faithful"], "contradicts --faithful"),
        (["--model-args", "uniform_noise=0", "--faithful"], "uniform_noise=0 contradicts --faithful"),
    ],
)
def test_what_does_not_go_together_is_named_in_one_line(data, tmp_path, capsys, flags, words):
    assert words in runs.refused_into(tmp_path / "out", capsys, data, train_main, *flags)


def test_a_run_without_dequantization_says_so_and_keeps_it(data, tmp_path, capsys, monkeypatch):
    runs.share_compiled(monkeypatch)
    runs.without_plots(monkeypatch)
    arguments = f"{DENSE},{FREE},uniform_noise=0"
    folder = runs.train(tmp_path / "out", data, "--model-args", arguments, "--epochs", 1, "--quiet", "false")
    assert "not dequantized, as uniform_noise=0: only beta_1 limits K" in capsys.readouterr().out
    assert checkpoint.load(folder / "checkpoint.h5")[0]["model"]["uniform_noise"] == 0
    assert dpm.open_run(folder).model.uniform_noise == 0


def test_a_schedule_of_the_users_is_given_again_to_open_the_run(tmp_path, monkeypatch):
    """A checkpoint holds no code: the error says so, and with the model the parameters are those of the run."""
    runs.without_plots(monkeypatch)
    data = dpm.load(np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8))
    sizes = {"n_hidden_conv": 0, "n_hidden_dense_lower": 4, "n_layers_dense_lower": 1, "n_temporal_basis": 2}

    def model():
        schedule = dpm.schedules.FreeSchedule(dpm.schedules.linear(10, 1e-5, 0.5))
        return dpm.DiffusionModel(8, 1, 10, schedule=schedule, **sizes)

    settings = {"epochs": 1, "batch_size": 36, "quiet": True}
    run = dpm.train(model(), data, output_dir=tmp_path, **settings)
    with pytest.raises(InputError, match=r"schedule, kernel or network of your own, .* give open_run\(\.\.\., model="):
        dpm.open_run(run.path)
    opened = dpm.open_run(run.path, model=model())
    np.testing.assert_array_equal(opened.theta, run.theta)
    np.testing.assert_array_equal(opened.compiled.beta(opened.theta), run.compiled.beta(run.theta))


def test_scaled_images_are_refused_by_a_model_of_bits():
    data = dpm.load(np.random.default_rng(0).integers(0, 2, (40, 1, 8, 8), dtype=np.uint8))
    with pytest.raises(InputError, match=r"expected dpm.load\(\.\.\., binary=True\)"):
        dpm.train(dpm.DiffusionModel(8, 1, 10, kernel="binomial", n_hidden_dense_lower=0), data, quiet=True)
