"""Fuel 0.2.0 and the two of its requirements that the comparisons use; all are pure Python."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
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


class NotAvailableError(Exception):
    """pip cannot download the archives."""


def is_right(path, sha256):
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def download(folder):
    """Download the archives with pip into `folder`."""
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
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError("pip did not download Fuel 0.2.0 within two minutes") from error
    if done.returncode:
        raise NotAvailableError(f"pip cannot download Fuel 0.2.0: {' '.join(done.stderr.split())[-300:]}")


def unpack(cache, folder):
    """Return PYTHONPATH with Fuel, its requirements and dpm; archives are kept in `cache` and unpacked in `folder`."""
    if not all(is_right(cache / name, sha256) for name, (_, sha256) in ARCHIVES.items()):
        download(cache)
    entries = []
    for name, (_, sha256) in ARCHIVES.items():
        assert is_right(cache / name, sha256)
        if name.endswith(".whl"):
            entries.append(cache / name)
        else:
            with tarfile.open(cache / name) as archive:
                archive.extractall(folder, filter="data")
            entries.append(folder / name.removesuffix(".tar.gz"))
    return os.pathsep.join(map(str, [*entries, ROOT]))


def run_module(path, folder, module, *arguments):
    """Run a module in a process that can import Fuel, in a folder with Fuel's golden files.

    Fuel needs names that Python's modules no longer have, which other code is not to see.
    """
    for golden in (ROOT / "tests" / "golden" / "fuel").glob("*.hdf5"):
        shutil.copy(golden, folder)
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    environment = os.environ | {
        "PYTHONPATH": path,
        "FUEL_DATA_PATH": ".",
        "FUEL_CONFIG": os.devnull,
        "PYTHONHASHSEED": "0",
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
