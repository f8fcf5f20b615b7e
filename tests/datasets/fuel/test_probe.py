"""Validation of HDF5 files in a subprocess: crashes, false sizes, links and endless loops give a one-line error."""

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import H5PYDataset, write_hdf5
from dpm.datasets.fuel import probe
from tests.helpers.hostile import external_storage, virtual


@pytest.fixture
def path(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), np.uint8)
    write_hdf5(tmp_path / "set.hdf5", {"train": {"features": pixels[:20]}, "test": {"features": pixels[20:]}})
    return tmp_path / "set.hdf5"


def test_valid_file_passes_and_is_read_once(path, monkeypatch):
    probe.check_file(path)
    monkeypatch.setattr(probe, "_ask", lambda _: "asked again")
    probe.check_file(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="asked again"):
        probe.check_file(path)


def test_changed_values_are_detected(path):
    with h5py.File(path, "r+") as file:
        file["features"][3, 0, 2, 2] ^= 1
    with pytest.raises(InputError, match="values of 'features' differ from those that were written"):
        H5PYDataset(path, ("train",))


def external_link(file):
    file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["elsewhere"] = h5py.SoftLink("/features")


def half_written(file):
    del file["features"]
    file.create_dataset("features", (30, 1, 8, 8), np.uint8, chunks=(3, 1, 8, 8))[:9] = 1


def blown_up(file):
    del file["features"]
    file.create_dataset("features", (1 << 40, 1, 8, 8), np.uint8, chunks=(3, 1, 8, 8))[:9] = 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external_link, "'elsewhere' is a link"),
        (soft_link, "'elsewhere' is a link"),
        (external_storage, "'features' is stored in other files"),
        (virtual, "'features' is stored in other files"),
        (half_written, "written only in part"),
        (blown_up, "written only in part"),
    ],
)
def test_links_external_data_and_missing_chunks_are_refused(path, change, reason):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=reason) as caught:
        H5PYDataset(path, ("train",))
    assert str(path) in str(caught.value)


@pytest.mark.thorough
def test_chunk_that_decompresses_to_all_memory_is_refused(path):
    # 600 MB of zeros, compressed to 600 kB, instead of a chunk of 1,920 bytes.
    import zlib

    packer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    packed = b"".join(packer.compress(piece) for _ in range(600)) + packer.flush()
    with h5py.File(path, "r+") as file:
        del file["features"]
        array = file.create_dataset("features", (30, 1, 8, 8), np.uint8, chunks=(30, 1, 8, 8), compression="gzip")
        array.id.write_direct_chunk((0, 0, 0, 0), packed)
    start = time.process_time()
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        probe.check_file(path)
    assert time.process_time() - start < 1, "this process only waits"


def test_crash_or_endless_loop_of_the_child_is_an_error_and_the_child_is_replaced(path, monkeypatch):
    good = path.read_bytes()
    for number, code in ((1, "import os, sys; sys.stdin.readline(); os.abort()"), (2, ENDLESS)):
        path.write_bytes(good)
        os.utime(path, ns=(number, number))
        probe._end()
        monkeypatch.setattr(probe, "_child", None)
        monkeypatch.setattr(probe.sys, "executable", write_script(path.parent / f"child{number}", code))
        with pytest.raises(InputError, match="crashes HDF5" if number == 1 else "takes too long"):
            probe.check_file(path)
        monkeypatch.undo()
        probe.check_file(path)


ENDLESS = """
import signal, sys
sys.stdin.readline()
signal.setitimer(signal.ITIMER_PROF, 0.1)
while True:
    pass
"""


def write_script(path, code):
    import sys

    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return str(path)


def test_folder_and_pipe_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.hdf5")
    for place in (tmp_path, tmp_path / "pipe.hdf5"):
        with pytest.raises(InputError, match="is not a regular file"):
            probe.check_file(place)


def test_child_imports_this_package_from_any_folder(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    first, *others = probe._child_environment()["PYTHONPATH"].split(os.pathsep)
    assert (Path(first) / "dpm" / "datasets" / "fuel" / "probe.py").is_file()
    assert others == ["elsewhere"]
