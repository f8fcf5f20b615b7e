"""CIFAR-10 archives and folders in all published forms."""

import gzip
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.formats import cifar10
from dpm.datasets.formats.cifar10 import read_cifar10
from tests.helpers.pickles import BATCHES, LABELS, Hostile, python2_pickle

NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
TRAIN = np.concatenate(BATCHES[:5]).reshape(-1, 3, 32, 32)
TEST = BATCHES[5].reshape(-1, 3, 32, 32)


def binary(pixels, labels):
    return np.concatenate([np.array(labels, np.uint8)[:, None], pixels], 1).tobytes()


def python3(protocol):
    return lambda pixels, labels: pickle.dumps({"data": pixels, "labels": labels}, protocol)


def contents(kind, encode):
    suffix = ".bin" if kind == "bin" else ""
    return {name + suffix: encode(*pair) for name, pair in zip(NAMES, zip(BATCHES, LABELS, strict=True), strict=True)}


def write_folder(parent, kind, encode):
    folder = parent / f"cifar-10-batches-{kind}"
    folder.mkdir()
    for name, content in contents(kind, encode).items():
        (folder / name).write_bytes(content)
    return folder


def tar_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_archive(parent, kind, encode):
    path = parent / f"cifar-10-{'binary' if kind == 'bin' else 'python'}.tar.gz"
    members = {f"cifar-10-batches-{kind}/{name}": data for name, data in contents(kind, encode).items()}
    path.write_bytes(gzip.compress(tar_of({"cifar-10-batches-py/readme.html": b"hello", **members}), 1))
    return path


@pytest.mark.parametrize("write", [write_folder, write_archive], ids=["folder", "archive"])
@pytest.mark.parametrize(
    ("kind", "encode"),
    [("bin", binary), ("py", python2_pickle), *(("py", python3(protocol)) for protocol in range(2, 6))],
    ids=["binary", "python2", *(f"protocol{p}" for p in range(2, 6))],
)
def test_all_forms_give_the_same_images(tmp_path, write, kind, encode):
    train, test = read_cifar10(write(tmp_path, kind, encode))
    assert train.dtype == test.dtype == np.uint8
    np.testing.assert_array_equal(train, TRAIN)
    np.testing.assert_array_equal(test, TEST)


def test_hostile_batch_is_refused_with_its_opcode(tmp_path):
    folder = write_folder(tmp_path, "py", python2_pickle)
    (folder / "data_batch_3").write_bytes(pickle.dumps({"data": Hostile(os.getcwd)}, 2))
    with pytest.raises(InputError, match=r"data_batch_3: refused, its pickle opcode GLOBAL"):
        read_cifar10(folder)


def test_missing_batches_are_listed(tmp_path):
    folder = write_folder(tmp_path, "bin", binary)
    (folder / "data_batch_2.bin").unlink()
    (folder / "test_batch.bin").unlink()
    with pytest.raises(InputError, match=r"lacks data_batch_2\.bin, test_batch\.bin;"):
        read_cifar10(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes"),
        (binary(BATCHES[0], LABELS[0])[:-1], "9218 bytes"),
        (binary(BATCHES[0], [1, 2, 10]), "label 10"),
    ],
    ids=["empty", "short", "label"],
)
def test_damaged_binary_batch_is_refused(tmp_path, content, said):
    folder = write_folder(tmp_path, "bin", binary)
    (folder / "data_batch_4.bin").write_bytes(content)
    with pytest.raises(InputError, match=rf"data_batch_4\.bin: .*{said}"):
        read_cifar10(folder)


@pytest.mark.parametrize("value", [[1, 2], {"data": b"12"}, {"data": np.zeros((2, 784), np.uint8)}], ids=str)
def test_pickle_without_pixels_is_refused(tmp_path, value):
    folder = write_folder(tmp_path, "py", python2_pickle)
    (folder / "test_batch").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(InputError, match="test_batch: holds no uint8 array"):
        read_cifar10(folder)


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>403</html>"])
def test_incomplete_archive_is_refused(tmp_path, spoil):
    path = write_archive(tmp_path, "bin", binary)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz: .*download it again"):
        read_cifar10(path)


def test_only_regular_members_with_exact_names_are_read(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    members = {f"../cifar-10-batches-bin/{name}": data for name, data in contents("bin", binary).items()}
    path.write_bytes(tar_of(members))
    with pytest.raises(InputError, match="holds no CIFAR-10"):
        read_cifar10(path)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in contents("bin", binary):
            link = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="holds no CIFAR-10"):
        read_cifar10(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "something was extracted"


def test_archives_and_batches_beyond_the_limits_are_refused(tmp_path, monkeypatch):
    archive = write_archive(tmp_path, "bin", binary)
    folder = write_folder(tmp_path, "bin", binary)
    monkeypatch.setattr(cifar10, "MAX_BATCH_BYTES", 9000)
    with pytest.raises(InputError, match=r"data_batch_1\.bin: 9219 bytes"):
        read_cifar10(archive)
    with pytest.raises(InputError, match=r"data_batch_1\.bin: .*accepted are 9000"):
        read_cifar10(folder)
    monkeypatch.setattr(cifar10, "MAX_ARCHIVE_BYTES", 10_000)
    with pytest.raises(InputError, match="unpacks to more than 10000 bytes"):
        read_cifar10(archive)
