"""Unusable data and checkpoints: one line that names the file and the fault, and no file is changed."""

import shutil

import h5py
import numpy as np
import pytest

from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.datasets import write_hdf5
from dpm.runs import checkpoint as files
from tests.helpers import runs

pytestmark = pytest.mark.usefixtures("quick_runs")

BOTH = pytest.mark.parametrize("main", [train_main, sample_main])


@pytest.fixture
def checkpoint(trained, tmp_path):
    """Return a copy of a checkpoint in a separate folder."""
    (tmp_path / "run").mkdir()
    path = tmp_path / "run/checkpoint.h5"
    shutil.copy(trained, path)
    return path


@pytest.fixture
def unusable(capsys, checkpoint):
    """Return a function that runs a command on the checkpoint, checks that no file changes and returns the error."""

    def run(main, *given):
        content = checkpoint.read_bytes()
        line = runs.refused(capsys, main, *(["--resume-file"] if main is train_main else []), checkpoint, *given)
        assert list(checkpoint.parent.iterdir()) == [checkpoint]
        assert checkpoint.read_bytes() == content
        return line

    return run


# ------------------------------------------------------------------ data


def test_non_finite_value_is_named_with_its_index(refused, tmp_path):
    for part, value in (("train", np.nan), ("test", -np.inf)):
        sets = {"train": np.random.default_rng(0).random((5, 1, 8, 8)), "test": runs.pixels(4) / 255}
        sets[part][3, 0, 2, 5] = value
        path = runs.write_data(tmp_path, **sets)
        line = refused(train_main, "--data-path", path)
        assert all(word in line for word in (str(path), part, "(3, 0, 2, 5)", str(value)))


@pytest.mark.parametrize("level", [0, 7])
def test_constant_data_are_refused(refused, tmp_path, level):
    path = runs.write_data(tmp_path, np.full((5, 1, 8, 8), level, np.uint8), runs.pixels(4))
    line = refused(train_main, "--data-path", path)
    assert f"{path} (train): every value is {level}" in line


def test_width_not_divisible_by_the_scales_is_refused_before_compiling(refused, tmp_path):
    path = runs.write_data(tmp_path, runs.pixels(5, width=6), runs.pixels(4, width=6))
    line = refused(train_main, "--data-path", path, "--model-args", runs.MODEL + ",n_scales=3")
    assert all(word in line for word in ("n_scales", "width 6", "not divisible by 4"))


def test_data_without_a_test_split_are_refused(refused, tmp_path):
    write_hdf5(tmp_path / "mnist.hdf5", {"train": {"features": runs.pixels(5)}})
    line = refused(train_main, "--data-path", tmp_path)
    assert all(word in line for word in ("mnist.hdf5", "no set 'test'", "its sets: train"))


def test_data_with_pixels_in_only_one_part_are_refused(refused, tmp_path):
    path = tmp_path / "mnist.hdf5"
    test = np.random.default_rng(0).normal(size=(4, 1, 8, 8))
    write_hdf5(path, {"train": {"features": runs.pixels(5) / 255}, "test": {"features": test}})
    assert "one of train and test is 8-bit pixels" in refused(train_main, "--data-path", path)


@pytest.mark.parametrize("size", [0, 100, -100])
def test_truncated_data_are_refused(refused, data, tmp_path, size):
    path = tmp_path / "mnist.hdf5"
    path.write_bytes((data / "mnist.hdf5").read_bytes()[:size])
    assert f"{path}: cannot be read" in refused(train_main, "--data-path", tmp_path)


# ------------------------------------------------------------------ checkpoints


@BOTH
def test_missing_checkpoint_starts_no_new_run(refused, tmp_path, main):
    for path in (tmp_path / "none.h5", tmp_path):
        given = (path,) if main is sample_main else ("--resume-file", path)
        missing = path / "checkpoint.h5" if path.is_dir() else path
        assert f"checkpoint {missing}: no such file" in refused(main, *given)


@BOTH
@pytest.mark.parametrize("fault", ["empty", "cut off", "a flipped bit", "text", "other HDF5", "later version"])
def test_incomplete_checkpoint_is_refused(unusable, checkpoint, data, main, fault):
    content = bytearray(checkpoint.read_bytes())
    if fault == "other HDF5":
        shutil.copy(data / "mnist.hdf5", checkpoint)
    elif fault == "later version":
        checkpoint.write_bytes(content[: files.USER_BLOCK].replace(b"dpm", b"DPM") + content[files.USER_BLOCK :])
        with h5py.File(checkpoint, "r+") as file:
            file.attrs["format_version"] = 3
    else:
        content[len(content) // 2] ^= 4
        size = len(content) // 3
        checkpoint.write_bytes({"empty": b"", "cut off": content[:size], "text": b"hello"}.get(fault, content))
    words = {"other HDF5": "not a checkpoint of dpm", "later version": "format version 3; this program reads 1 and 2"}
    line = unusable(main)
    assert f"checkpoint {checkpoint}: " in line
    assert words.get(fault, "damaged or not an HDF5 file") in line


@BOTH
@pytest.mark.parametrize("fault", ["shape", "missing", "foreign"])
def test_parameters_of_another_model_are_named(unusable, checkpoint, main, fault):
    meta, arrays = files.load(checkpoint)
    name = "/diffusionmodel/mlp_conv_dense/MLP dense upper/linear_1.b"
    value = arrays.pop(f"/parameters{name}")
    if fault == "shape":
        arrays[f"/parameters{name}"] = np.append(value, 0)
    elif fault == "foreign":
        arrays |= {f"/parameters{name}": value, "/parameters/other.W": value}
    files.save(checkpoint, meta, arrays)
    expected = {
        "shape": f"parameter {name}: got shape (5,); expected (4,)",
        "missing": f"parameter {name} is missing",
        "foreign": "parameter /other.W is not a parameter of this model",
    }
    assert expected[fault] in unusable(main)


def test_2015_checkpoint_cannot_be_resumed(refused, golden):
    assert "its pickle is never opened" in refused(train_main, "--resume-file", golden / "checkpoint/model.pkl")


@pytest.mark.parametrize(
    ("flag", "value", "saved"),
    [
        ("--lr", 0.5, "0.005"),
        ("--seed", 3, "0"),
        ("--batch-size", 512, "25"),
        ("--dropout-rate", 0.5, "0.0"),
        ("--dtype", "float64", "float32"),
        ("--dataset", "CIFAR10", "MNIST"),
        ("--suffix", "x", ""),
        ("--output-dir", "/", "/"),
        ("--experiment", "mnist", "None"),
        ("--faithful", "true", "False"),
        ("--model-args", "n_scales=2", "{'trajectory_length': 10,"),
    ],
)
def test_resumed_run_keeps_its_flags(unusable, flag, value, saved):
    """Another value than the run's is refused, and both are named."""
    line = unusable(train_main, flag, value)
    value = {"--faithful": "True", "--model-args": "{'n_scales': 2}"}.get(flag, value)
    assert f"{flag} {value} contradicts --resume-file, whose run has {saved}" in line


@pytest.mark.parametrize(("flag", "value"), [("--epochs", "0"), ("--ext-every-n", "0")])
def test_flags_of_a_resumed_run_are_range_checked(unusable, flag, value):
    assert f"{flag}: 0 is not accepted" in unusable(train_main, flag, value)
