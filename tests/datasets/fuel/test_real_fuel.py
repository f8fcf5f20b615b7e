"""Fuel 0.2.0 from PyPI and dpm read the same data from each other's files; real_fuel.py has the checks."""

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHECKS = Path(__file__).with_name("real_fuel.py")
# Fuel and the two of its requirements that the checks use; all are pure Python.
ARCHIVES = {
    "fuel-0.2.0.tar.gz": ("fuel==0.2.0", "2a4121b614219288c80e1688e0a35c11060fb999dde4218f65412c621a8a5f65"),
    "picklable-itertools-0.1.1.tar.gz": (
        "picklable_itertools==0.1.1",
        "faecb7709d2684f3d2d06032e06ed0670cacc59cc074adccd666291c848fe638",
    ),
    "six-1.17.0-py2.py3-none-any.whl": (
        "six==1.17.0",
        "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274",
    ),
}


def is_right(path, sha256):
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def download(folder):
    """Download the archives with pip into `folder`; skip the test if pip cannot."""
    requirements = folder / "requirements.txt"
    lines = [f"{wanted} --hash=sha256:{sha256}\n" for wanted, sha256 in ARCHIVES.values()]
    requirements.write_text("".join(lines))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries", "1", "--timeout", "20"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), "--requirement", str(requirements)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("pip did not download Fuel 0.2.0 within two minutes")
    if done.returncode:
        pytest.skip(f"pip cannot download Fuel 0.2.0: {' '.join(done.stderr.split())[-300:]}")


@pytest.fixture
def fuel(pytestconfig, tmp_path):
    """Entries for PYTHONPATH with Fuel and its requirements; downloaded once into pytest's cache."""
    cache = Path(pytestconfig.cache.mkdir("fuel-0.2.0"))
    if not all(is_right(cache / name, sha256) for name, (_, sha256) in ARCHIVES.items()):
        download(cache)
    entries = []
    for name, (_, sha256) in ARCHIVES.items():
        assert is_right(cache / name, sha256)
        if name.endswith(".whl"):
            entries.append(cache / name)
        else:
            with tarfile.open(cache / name) as archive:
                archive.extractall(tmp_path, filter="data")
            entries.append(tmp_path / name.removesuffix(".tar.gz"))
    return entries


@pytest.mark.thorough
def test_fuel_0_2_0_and_dpm_read_the_same(fuel):
    """Run the checks in a subprocess, since Fuel needs names that Python's modules no longer have."""
    command = [sys.executable, "-m", "pytest", "--noconftest", "-p", "no:cacheprovider", "-W", "ignore", str(CHECKS)]
    path = os.pathsep.join(map(str, [*fuel, ROOT]))
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
