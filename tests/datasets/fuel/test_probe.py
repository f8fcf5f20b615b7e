"""Validation of HDF5 files in a subprocess: crashes, false sizes, links and endless loops give a one-line error."""

import errno
import os
import resource
import subprocess
import sys
import time

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
    monkeypatch.setattr(probe, "_ask", lambda _: probe.Fault("asked again", "wait"))
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
    for number, (code, words) in enumerate(ENDS):
        path.write_bytes(good)
        os.utime(path, ns=(number, number))
        replace_child(monkeypatch, path.parent / f"child{number}", f"print('ready', flush=True)\n{code}")
        with pytest.raises(InputError, match=words) as caught:
            probe.check_file(path)
        assert ("download or convert it again" in str(caught.value)) == ("SIGABRT" in words)
        monkeypatch.undo()
        probe.check_file(path)


ENDLESS = """
import signal, sys
sys.stdin.readline()
signal.setitimer(signal.ITIMER_PROF, 0.1)
while True:
    pass
"""
# Only a crash within HDF5 is the fault of the file; the system may kill any process when memory is short.
ENDS = [
    ("import os, sys; sys.stdin.readline(); os.abort()", "crashes HDF5, SIGABRT"),
    (ENDLESS, "takes too long.*may be sound"),
    ("import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 9)", "was ended, SIGKILL.*may be sound"),
    ("import sys; sys.stdin.readline(); sys.exit(3)", "was ended, status 3.*may be sound"),
]


def replace_child(monkeypatch, path, code):
    """Make a script of Python the program of the child."""
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    probe._end()
    monkeypatch.setattr(probe.sys, "executable", str(path))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('no module named h5py')", r"cannot start \(no module named h5py\)"),
        ("print('hello')", r"cannot start \(it ended without a message\)"),
    ],
)
def test_child_that_cannot_start_says_so_and_the_file_is_not_blamed(path, monkeypatch, code, words):
    replace_child(monkeypatch, path.parent / "child", code)
    with pytest.raises(InputError, match=words) as caught:
        probe.check_file(path)
    assert "the files may be sound" in str(caught.value)
    monkeypatch.setattr(probe.sys, "executable", str(path.parent / "none"))
    with pytest.raises(InputError, match=r"cannot start .*No such file"):
        probe.check_file(path)
    monkeypatch.undo()
    probe.check_file(path)


BY_PATH = """
import os, sys
sys.path[:0] = {paths}
os.environ.pop("PYTHONPATH", None)
os.chdir("/")
from dpm.commands.datasets import main
sys.exit(main(["info", {file!r}, "--output-dir", {folder!r}]))
"""


def test_child_has_the_import_path_of_its_parent(path, tmp_path):
    """Packages that only sys.path names, as in a notebook or with a Python that has no environment."""
    bare = os.path.join(sys.base_prefix, "bin", os.path.basename(os.path.realpath(sys.executable)))
    paths = [entry for entry in map(os.path.abspath, sys.path) if not entry.startswith(sys.base_prefix)]
    program = BY_PATH.format(paths=paths, file=str(path), folder=str(tmp_path))
    done = subprocess.run([bare, "-I", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "train  features" in done.stdout


def test_more_open_files_than_select_knows(path):
    """select(2) handles only descriptors below 1,024."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit[1] < 1200:
        pytest.skip("the system permits too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1200, limit[1]))
    probe._end()
    files = [open(os.devnull) for _ in range(1050)]  # noqa: SIM115
    try:
        probe.check_file(path)
    finally:
        for file in files:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def test_file_that_is_open_for_writing_is_not_called_damaged(path):
    with h5py.File(path, "r+"), pytest.raises(InputError, match="another process has it open for writing; wait"):
        probe.check_file(path)
    probe.check_file(path)


UNCLOSED = """
import os, sys, h5py
file = h5py.File(sys.argv[1], "w", libver="latest")
file["data"] = range(9)
file.swmr_mode = True
file.flush()
os._exit(9)
"""


def test_file_that_its_writer_has_not_closed_is_not_called_damaged(tmp_path):
    """A process that is killed leaves HDF5's flags of writers set; h5clear resets them."""
    subprocess.run([sys.executable, "-c", UNCLOSED, str(tmp_path / "x.hdf5")], check=False)
    with pytest.raises(
        InputError, match=r"its writer has not closed it\); .*h5clear -s FILE marks it as closed"
    ) as caught:
        probe.check_file(tmp_path / "x.hdf5")
    assert "damaged" not in str(caught.value)


def test_compression_of_other_programs_is_not_called_damage(tmp_path):
    """Blosc, number 32001 of the HDF Group's register of filters, as PyTables writes it."""
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        options = {"compression": 32001, "allow_unknown_filter": True}
        array = file.create_dataset("data", (2, 4), "u1", chunks=(2, 4), **options)
        array.id.write_direct_chunk((0, 0), b"12345678")
    with pytest.raises(InputError, match=r"filter other than gzip.*it may be sound, but is not accepted") as caught:
        probe.check_file(tmp_path / "x.hdf5")
    assert "damaged" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_not_called_damaged(path):
    path.chmod(0)
    with pytest.raises(InputError, match=r"Permission denied.*it may be sound; make it readable"):
        H5PYDataset(path, ("train",))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN, errno.ENOLCK, errno.EIO, errno.ESTALE])
def test_errors_of_the_system_are_not_called_damage(path, number):
    """The numbers with which HDF5 fails on locked files, on file systems without locks, and on lost network disks."""
    text = str(probe.explain(path, OSError(number, os.strerror(number))))
    assert "damaged" not in text
    assert "again" in text or "readable" in text or "wait" in text or "HDF5_USE_FILE_LOCKING" in text


def complex_array(file):
    file["fourier"] = np.ones(5, complex)


def times(file):
    """An array of a type that numpy lacks."""
    space = h5py.h5s.create_simple((3,))
    h5py.h5d.create(file.id, b"times", h5py.h5t.UNIX_D32LE, space)


@pytest.mark.parametrize("add", [complex_array, times])
def test_other_arrays_next_to_the_images_are_no_fault(path, add):
    with h5py.File(path, "r+") as file:
        add(file)
    assert H5PYDataset(path, ("train",)).num_examples == 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            lambda good: b"version https://git-lfs.github.com/spec/v1",
            r"it begins with b'version https://'\); it is of an",
        ),
        (lambda good: b"", r"it is empty\); it is of another format"),
        (lambda good: good[: len(good) // 2], r"truncated file.*it is damaged or incomplete; download or convert it"),
    ],
)
def test_damage_and_other_formats_are_told_apart(path, content, words):
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(InputError, match=words):
        probe.check_file(path)


def test_folder_and_pipe_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.hdf5")
    for place in (tmp_path, tmp_path / "pipe.hdf5"):
        with pytest.raises(InputError, match="is not a regular file"):
            probe.check_file(place)
