"""dpm datasets as a process: from an installed package, with missing folders, and the commands that it prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import dpm
from dpm.commands.datasets import main as datasets_main
from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.datasets import load
from tests.helpers import runs

PACKAGE = Path(dpm.__file__).parent
NUMPY = str(Path(sys.modules["numpy"].__file__).parents[1])


def run(*words, cwd, status=0, **variables):
    """Run `python -m dpm` with environment variables added, or removed where they are None; return (stdout, stderr)."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)} | variables
    done = subprocess.run(
        [sys.executable, "-m", "dpm", *map(str, words)],
        env={name: value for name, value in environment.items() if value is not None},
        cwd=cwd, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    if status:
        (line,) = done.stderr.splitlines()
        assert line.startswith("dpm ")
        return line
    return done.stdout


MAKE = ("datasets", "make", "HEARTBEAT", "--n", 5, "--test", 2)


def test_installed_package_writes_to_the_users_data_folder(tmp_path):
    """Not into a package called datasets that is installed next to it."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / "dpm", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "datasets").mkdir()
    (site / "datasets" / "__init__.py").write_text("")
    given = {"PYTHONPATH": os.pathsep.join([str(site), NUMPY]), "FUEL_DATA_PATH": None, "HOME": str(tmp_path)}
    shown = run(*MAKE, cwd=tmp_path, XDG_DATA_HOME=None, **given)
    path = tmp_path / ".local" / "share" / "dpm" / "heartbeat.hdf5"
    assert shown.startswith(f"{path}: {path.stat().st_size:,} bytes")
    assert os.listdir(site / "datasets") == ["__init__.py"]


def test_missing_folders_are_made_or_named(tmp_path):
    """A data folder is made; the folder of --output is not. No message has HDF5's internal text."""
    missing = tmp_path / "none" / "data"
    assert run(*MAKE, cwd=tmp_path, FUEL_DATA_PATH=str(missing)).startswith(f"{missing / 'heartbeat.hdf5'}: ")
    line = run(*MAKE, "--output", "other/x.hdf5", cwd=tmp_path, status=2)
    assert "other/x.hdf5: cannot be written, there is no folder other; create it" in line
    (tmp_path / "file").write_text("")
    line = run(*MAKE, cwd=tmp_path, FUEL_DATA_PATH=str(tmp_path / "file" / "data"), status=2)
    assert f"the data folder {tmp_path / 'file' / 'data'} cannot be made (Not a directory); name a file" in line


RNG = np.random.default_rng(0)
SQUARE = RNG.integers(0, 256, (40, 8, 8), np.uint8)
ARRAYS = {"12 bits": SQUARE.astype(np.uint16) * 16, "oblong": RNG.integers(0, 256, (40, 8, 12), np.uint8)}


def shell_words(command):
    """Return the words into which a shell divides a command."""
    program = f'python() {{ printf "%s\\n" "$@"; }}\n{command}'
    return subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True).stdout.splitlines()


def printed_words(shown):
    """Return the words after `python -m dpm train` in the command on the last line of a conversion."""
    before, command = shown.splitlines()[-1].split(": ", 1)
    assert before == "train on it"
    module, package, train, *words = shell_words(command)
    assert [module, package, train] == ["-m", "dpm", "train"]
    return words


def run_printed(shown, out):
    """Run the printed command with one epoch and a tiny model; return the run's folder."""
    words = printed_words(shown)
    tiny = ["--epochs", "1", "--model-args", runs.MODEL, "--batch-size", str(runs.BATCH), "--quiet"]
    out.mkdir()
    assert train_main([*words, *tiny, "--output-dir", str(out)]) == 0
    (folder,) = out.iterdir()
    return folder


@pytest.mark.parametrize("name", ["two words", "-dash", "quote's", "$HOME", "a;b"])
def test_the_printed_command_names_the_file(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", SQUARE)
    assert datasets_main(["convert", "arrays", "--input", "x.npy", f"--output={name}.hdf5"]) == 0
    flag, path = printed_words(capsys.readouterr().out)
    assert (flag, os.path.samefile(path, tmp_path / f"{name}.hdf5")) == ("--dataset", True)
    assert not path.startswith("-")


@pytest.mark.parametrize("name", ARRAYS)
def test_the_printed_command_runs_as_printed(tmp_path, monkeypatch, capsys, quick_runs, name):
    """For integers that are no pixels, for images that are not square, and for a name that a shell would divide."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", ARRAYS[name])
    assert datasets_main(["convert", "arrays", "--input", "x.npy", f"--output={name}.hdf5"]) == 0
    folder = run_printed(capsys.readouterr().out, tmp_path / "out")
    if name != "oblong":
        return
    # What a model was trained on can be in-painted, in the same squares.
    given = ["--mode", "inpaint", "--input", "oblong.hdf5:test:0-3", "--output-dir", str(tmp_path)]
    assert sample_main([str(folder), *given]) == 0
    assert "3 images of 8 x 12, cut into 3 squares of 8 x 8" in capsys.readouterr().out
    known = np.load("samples.npz")["X"][..., 4:]
    np.testing.assert_array_equal(known, load("oblong.hdf5", large=True).test[:3, :, :, 4:8] / 255)


def test_large_images_are_trained_on_in_crops(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for shape, end in (((256, 256), " --crop 64"), ((48, 200), " --crop 48"), ((128, 128), "")):
        np.save("x.npy", RNG.integers(0, 256, (3, *shape), np.uint8))
        assert datasets_main(["convert", "arrays", "--input", "x.npy", "--output", "x.hdf5"]) == 0
        assert capsys.readouterr().out.endswith(f"python -m dpm train --dataset x.hdf5{end}\n")


def test_arrays_of_other_programs_and_any_suffix_are_converted(tmp_path, monkeypatch, capsys):
    """A plain HDF5 file: train names the command that converts it; the result is found whatever its name."""
    monkeypatch.chdir(tmp_path)
    with h5py.File("plain.H5", "w") as file:
        file["volume"] = SQUARE
    line = runs.refused(capsys, train_main, "--dataset", "plain.H5")
    assert "python -m dpm datasets convert arrays --input FILE" in line
    assert datasets_main(["convert", "arrays", "--input", "plain.H5", "--output", "plain.H5"]) == 2
    assert "would replace its input plain.H5" in capsys.readouterr().err
    assert datasets_main(["convert", "arrays", "--input", "plain.H5", "--output", "x.h5"]) == 0
    os.rename("x.h5", "x")
    assert load("x").train.shape == (36, 1, 8, 8)
    assert datasets_main(["info", "x"]) == 0
    assert datasets_main(["export", "x", "--to", "npz"]) == 0
