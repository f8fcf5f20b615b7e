"""HDF5 files are read by another process first: what crashes, lies, points elsewhere or never ends is one line."""

import os
import time

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import H5PYDataset, write_hdf5
from dpm.datasets.fuel import probe as hdf5_probe
from tests.helpers.hostile import external_storage, virtual


@pytest.fixture
def path(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), np.uint8)
    write_hdf5(tmp_path / "set.hdf5", {"train": {"features": pixels[:20]}, "test": {"features": pixels[20:]}})
    return tmp_path / "set.hdf5"


def test_a_good_file_passes_and_is_asked_about_once(path, monkeypatch):
    hdf5_probe.check(path)
    monkeypatch.setattr(hdf5_probe, "_ask", lambda _: "asked again")
    hdf5_probe.check(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="asked again"):
        hdf5_probe.check(path)


def test_numbers_that_are_not_those_written_are_noticed(path):
    with h5py.File(path, "r+") as file:
        file["features"][3, 0, 2, 2] ^= 1
    with pytest.raises(InputError, match="numbers of 'features' are not those that were written"):
        H5PYDataset(path)


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
        (external_storage, "'features' lies in other files"),
        (virtual, "'features' lies in other files"),
        (half_written, "written in part only"),
        (blown_up, "written in part only"),
    ],
)
def test_what_lies_elsewhere_or_nowhere_is_refused_by_name(path, change, reason):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=reason) as caught:
        H5PYDataset(path)
    assert str(path) in str(caught.value)


def test_a_chunk_that_unpacks_to_all_memory_is_refused(path):
    # 600 MB of zeros, packed to 600 kB, in the place of one chunk of 64 bytes.
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
        hdf5_probe.check(path)
    assert time.process_time() - start < 1, "this process only waits"


def test_a_child_that_dies_or_finds_no_end_is_an_error_of_the_file_and_the_next_file_gets_another(path, monkeypatch):
    good = path.read_bytes()
    for number, code in ((1, "import os, sys; sys.stdin.readline(); os.abort()"), (2, ENDLESS)):
        path.write_bytes(good)
        os.utime(path, ns=(number, number))
        hdf5_probe._end()
        monkeypatch.setattr(hdf5_probe, "_child", None)
        monkeypatch.setattr(hdf5_probe.sys, "executable", write_script(path.parent / f"child{number}", code))
        with pytest.raises(InputError, match="crashes HDF5" if number == 1 else "takes too long"):
            hdf5_probe.check(path)
        monkeypatch.undo()
        hdf5_probe.check(path)


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


def test_a_folder_and_a_pipe_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.hdf5")
    for place in (tmp_path, tmp_path / "pipe.hdf5"):
        with pytest.raises(InputError, match="is no file"):
            hdf5_probe.check(place)
