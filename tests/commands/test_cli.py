"""Every user error is one line on stderr, status 2 and an unchanged output folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.runs import loading
from dpm.training import building
from tests.helpers import runs

pytestmark = pytest.mark.usefixtures("quick_runs")

ROOT = Path(__file__).parents[2]
HEAVY = ("pytensor", "jax", "numba", "matplotlib", "numpy", "h5py")


# ------------------------------------------------------------------ train.py


NUMBERS = {
    "--batch-size": ("0", "-3", "2.5", "many"),
    "--lr": ("nan", "0", "-1", "inf", "fast"),
    "--seed": ("-1", "1.5"),
    "--epochs": ("0", "1e3"),
    "--ext-every-n": ("0", "-25"),
    "--dropout-rate": ("1", "-0.1", "nan"),
}


@pytest.mark.parametrize(("flag", "value"), [(flag, value) for flag, values in NUMBERS.items() for value in values])
def test_numbers_out_of_range_are_named(refused, flag, value):
    line = refused(train_main, flag, value)
    assert flag in line
    assert value in line


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--dataset", "MNISt10"), ("MNISt10", "did you mean MNIST?", "CIFAR10")),
        (("--dataset", "a\nb"), ("data set",)),
        (("--dtype", "float16"), ("float16", "float32")),
        (("--backend", "theano"), ("theano", "jax")),
        (("--experiment", "imagenet"), ("imagenet", "mnist, fashion, cifar10")),
        (("--suffix", "a/b"), ("a/b",)),
        (("--suffix", "x" * 300), ("take a shorter suffix",)),
        (("--data-path", "/nowhere"), ("/nowhere (does not exist)", "mnist.hdf5")),
        (("--data-path", ""), ("the path is empty",)),
        (("--bogus", "a\nb"), ("--bogus",)),
        (("--batch", "5"), ("--batch",)),
        (("--see", "1"), ("--see",)),
        (("--plot_before_training", "maybe"), ("maybe", "neither true nor false")),
        (("--faithful", "2"), ("'2'", "neither true nor false")),
    ],
)
def test_invalid_options_are_named(refused, given, words):
    line = refused(train_main, *given)
    assert all(word in line for word in words)


def test_output_folder_must_be_a_folder_that_exists(refused, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (tmp_path / "nowhere", file):
        for main, more in ((train_main, ()), (sample_main, ("x.h5",))):
            assert f"{path} is not a folder" in refused(main, *more, "--output-dir", path)
    assert not (tmp_path / "nowhere").exists()


def test_output_folder_reported_as_not_writable_is_refused(refused, monkeypatch, trained):
    monkeypatch.setattr(os, "access", lambda *arguments, **more: False)
    assert "cannot be written" in refused(train_main)
    assert "cannot be written" in refused(sample_main, trained)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write in every folder")
def test_output_folder_without_permission_is_refused(refused, tmp_path):
    (tmp_path / "out").mkdir(0o555)
    assert "cannot be written" in refused(train_main)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_hidden_convv=3", ("n_hidden_convv", "did you mean n_hidden_conv?")),
        ("zzz=3", ("zzz", "accepted: spatial_width")),
        ("trajectory_length=1", ("trajectory_length: 1", "2 or more")),
        ("n_temporal_basis=1", ("n_temporal_basis: 1", "2 or more")),
        ("trajectory_length=10.5", ("trajectory_length: 10.5", "whole number")),
        ("trajectory_length='10'", ("trajectory_length: '10'", "whole number")),
        ("n_scales=True", ("n_scales: True",)),
        ("step1_beta=0.5", ("step1_beta: 0.5",)),
        ("kl_terms='2T'", ("kl_terms: '2T'", "T-1 or T")),
        ("n_hidden_conv=0,n_hidden_dense_lower=0", ("neither the convolutional nor",)),
        ("n_hidden_dense_lower=1000000000000", ("not enough memory",)),
        ("n_scales=5", ("5 scales", "width 8", "not divisible by 16")),
        ("spatial_width=28", ("spatial_width=28", "contradicts the data", "is 8")),
        ("n_colors=3", ("n_colors=3", "contradicts the data", "is 1")),
    ],
)
def test_invalid_model_arguments_are_named(refused, text, words):
    line = refused(train_main, "--model-args", text)
    assert all(word in line for word in words)


def test_integer_written_as_a_float_is_accepted(data, tmp_path):
    """trajectory_length=10.0 trains the same model as 10."""
    folder = runs.train(tmp_path / "out", data, "--model-args", runs.MODEL.replace("=10,", "=10.0,"))
    assert '"trajectory_length": 10,' in (folder / "config.json").read_text().partition('"model":')[2]


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (("--experiment", "cifar10", "--dataset", "MNIST"), ("MNIST", "CIFAR10")),
        (("--faithful", "--model-args", "kl_terms='T-1'"), ("kl_terms='T-1'", "kl_terms='T'")),
        (("--faithful", "--model-args", "constants='float64'"), ("constants='float64'", "constants='float32'")),
    ],
)
def test_contradictory_flags_are_refused_with_both_values(refused, given, values):
    line = refused(train_main, *given)
    assert "contradicts" in line
    assert all(value in line for value in values)


# ------------------------------------------------------------------ sample.py


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--n", "0"), ("--n: 0",)),
        (("--every", "0"), ("--every: 0",)),
        (("--seed", "-1"), ("--seed: -1",)),
        (("--mode", "draw"), ("draw", "inpaint")),
        (("--input", "{input}"), ("--input", "not used by --mode sample")),
        (("--mask", "left"), ("--mask", "not used by --mode sample")),
        (("--sigma", "1"), ("--sigma", "not used by --mode sample")),
        (("--add-noise",), ("--add-noise", "not used by --mode sample")),
        (("--mode", "denoise", "--input", "{input}", "--mask", "left"), ("--mask", "not used by --mode denoise")),
        (("--mode", "inpaint", "--input", "{input}", "--sigma", "1"), ("--sigma", "not used by --mode inpaint")),
        (("--mode", "inpaint", "--input", "{input}", "--add-noise"), ("--add-noise", "not used by --mode inpaint")),
        (("--mode", "inpaint"), ("--mode inpaint needs --input",)),
        (("--mode", "denoise"), ("--mode denoise needs --input",)),
        (("--mode", "denoise", "--input", "{input}", "--sigma", "0"), ("--sigma: 0.0",)),
        (("--mode", "denoise", "--input", "{input}", "--sigma", "nan"), ("--sigma: nan",)),
        (("--mode", "inpaint", "--input", "{input}", "--mask", "middle"), ("--mask middle", "center")),
        (("--scale", "0"), ("--scale is for a model.pkl",)),
        (("--shift", "0"), ("--shift is for a model.pkl",)),
        (("--model-args", "n_scales=1"), ("--model-args is for a model.pkl",)),
        (("--inp", "x"), ("--inp",)),
        (("--quiet", "true"), ("true",)),
    ],
)
def test_options_unused_by_a_mode_are_refused(refused, trained, data, given, words):
    given = [text.format(input=data / "mnist.hdf5") for text in given]
    line = refused(sample_main, trained, *given)
    assert all(word in line for word in words)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--scale", "0"), ("--scale: 0",)),
        (("--scale", "nan"), ("--scale: nan",)),
        (("--shift", "inf"), ("--shift: inf",)),
        (("--model-args", "kl_terms='T-1'"), ("kl_terms", "'T'")),
        (("--model-args", "n_hidden_conv=7"), ("got shape (3, 1, 3, 3); expected (7, 1, 3, 3)",)),
        (("--model-args", "n_hiden_conv=7"), ("did you mean n_hidden_conv?",)),
    ],
)
def test_options_incompatible_with_a_2015_checkpoint_are_refused(refused, golden, given, words):
    line = refused(sample_main, golden / "checkpoint/model.pkl", *given)
    assert all(word in line for word in words)


# ------------------------------------------------------------------ both


@pytest.mark.parametrize("script", ["train.py", "sample.py"])
def test_help_imports_nothing_heavy(script):
    command = [sys.executable, "-X", "importtime", str(ROOT / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2)
    assert done.returncode == 0
    assert "--output-dir" in done.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint(HEAVY)


def test_scripts_exit_with_status_2_and_one_line(tmp_path):
    for script, arguments in (("train.py", ["--lr", "nan"]), ("sample.py", ["none.h5"])):
        command = [sys.executable, str(ROOT / script), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        # On a slow machine, lines of progress come before the error.
        assert len([line for line in done.stderr.splitlines() if "so far" not in line]) == 1
    assert list(tmp_path.iterdir()) == []


def test_interrupt_before_training_is_one_line(monkeypatch, capsys, data, tmp_path):
    def interrupt(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "load_data", interrupt)
    monkeypatch.setattr(loading, "open_run", interrupt)
    assert train_main(runs.arguments(tmp_path, data)) == 130
    assert sample_main(["x.h5", "--output-dir", str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines() == ["dpm train: stopped", "dpm sample: stopped"]
