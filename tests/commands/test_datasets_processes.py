"""dpm datasets as a process: from an installed package, with missing folders, and the commands that it prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dpm

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
