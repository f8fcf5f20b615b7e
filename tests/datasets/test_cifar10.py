"""CIFAR-10's archives and folders, and pickles read without running them."""

import gzip
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest

from dpm.datasets import cifar10
from dpm.datasets.cifar10 import read_cifar10
from dpm.datasets.pickled import read_plain_pickle
from dpm.errors import InputError

RNG = np.random.default_rng(0)
BATCHES = [RNG.integers(0, 256, (n, 3072), np.uint8) for n in (3, 2, 2, 1, 2, 4)]
LABELS = [RNG.integers(0, 10, len(batch)).tolist() for batch in BATCHES]
NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
TRAIN = np.concatenate(BATCHES[:5]).reshape(-1, 3, 32, 32)
TEST = BATCHES[5].reshape(-1, 3, 32, 32)


def python2_pickle(pixels, labels):
    """As cPickle of Python 2 wrote the batches: protocol 2, byte strings by BINSTRING and SHORT_BINSTRING."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x10cnumpy\nndarray\nq\x11K\x00\x85U\x01b\x87Rq\x12(K\x01"
        + number(len(pixels)) + number(3072) + b"\x86cnumpy\ndtype\nq\x13U\x02u1K\x00K\x01\x87Rq\x14"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", pixels.size) + pixels.tobytes() + b"tb"
    )  # fmt: skip
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5")
        + text(b"labels") + b"]q\x03(" + b"".join(map(number, labels)) + b"e"
        + text(b"data") + array + b"u."
    )  # fmt: skip


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
def test_every_form_gives_the_same_images(tmp_path, write, kind, encode):
    train, test = read_cifar10(write(tmp_path, kind, encode))
    assert train.dtype == test.dtype == np.uint8
    np.testing.assert_array_equal(train, TRAIN)
    np.testing.assert_array_equal(test, TEST)


def test_the_hand_made_python2_pickle_is_what_pickle_reads():
    batch = pickle.loads(python2_pickle(BATCHES[0], LABELS[0]), encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"], BATCHES[0])
    assert batch[b"labels"] == LABELS[0]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_pickle_reads_them(protocol):
    value = {"a": [1, -2, 2**40, 2**80, 1.5, True, None], 3: ("x", (), (1,), [2, {}], "é" * 300)}
    assert read_plain_pickle(pickle.dumps(value, protocol), "test") == value


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_keep_their_shape_and_order(protocol, order):
    array = np.asarray(RNG.integers(0, 256, (4, 5), np.uint8), order=order)
    np.testing.assert_array_equal(read_plain_pickle(pickle.dumps(array, protocol), "test"), array)


class Hostile:
    """Pickles to a call that leaves a trace if it is ever made."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_calls_os_system_is_refused_and_not_run(tmp_path, protocol):
    trace = tmp_path / "ran"
    hostile = pickle.dumps({"data": Hostile(os.system, f"touch {trace}")}, protocol)
    with pytest.raises(InputError, match=r"GLOBAL asks for '(posix|nt)\.system'"):
        read_plain_pickle(hostile, "test")
    assert not trace.exists()
    pickle.loads(hostile)
    assert trace.exists(), "the pickle is harmless, so the test shows nothing"


@pytest.mark.parametrize(
    ("data", "opcode"),
    [
        (b"(S'touch x'\nios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nS'touch x'\no.", "GLOBAL"),
        (b"(NS'touch x'\no.", "OBJ"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"\x80\x02cbuiltins\neval\n.", "GLOBAL"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "REDUCE"),
        (b"\x80\x02N)R.", "REDUCE"),
        (b"\x80\x02}}b.", "BUILD"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"P1\n.", "PERSID"),
        (pickle.dumps({1, 2}, 4), "EMPTY_SET"),
        (pickle.dumps(np.arange(3.0), 4), "REDUCE"),
        (pickle.dumps(np.array([{}]), 2), "REDUCE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_is_more_than_values_is_refused_by_its_opcode(data, opcode):
    with pytest.raises(InputError, match=rf"refused, its pickle opcode {opcode} "):
        read_plain_pickle(data, "test")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"K\x01",
        b"K\x01K\x02.",
        b"\x86.",
        b"e.",
        b"h\x07.",
        b"NNs.",
        b"}" + b"(" + b"Nt" + b"Ns.",
        b"}(K\x01u.",
        b"\x8e" + b"\xff" * 8 + b"x.",
        python2_pickle(BATCHES[0], LABELS[0])[:500],
        python2_pickle(BATCHES[0], LABELS[0]).replace(b"M\x00\x0c\x86", b"M\x00\x0d\x86"),
    ],
    ids=repr,
)
def test_a_damaged_pickle_is_refused(data):
    with pytest.raises(InputError, match="not a whole pickle"):
        read_plain_pickle(data, "test")


def test_a_deeply_nested_key_does_not_overflow_the_stack():
    nested = b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"Ns."
    with pytest.raises(InputError, match="not a whole pickle"):
        read_plain_pickle(nested, "test")


def test_a_hostile_batch_is_refused_by_file_and_opcode(tmp_path):
    folder = write_folder(tmp_path, "py", python2_pickle)
    (folder / "data_batch_3").write_bytes(pickle.dumps({"data": Hostile(os.getcwd)}, 2))
    with pytest.raises(InputError, match=r"data_batch_3: refused, its pickle opcode GLOBAL"):
        read_cifar10(folder)


def test_missing_batches_are_named(tmp_path):
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
def test_a_damaged_binary_batch_is_refused_by_name(tmp_path, content, said):
    folder = write_folder(tmp_path, "bin", binary)
    (folder / "data_batch_4.bin").write_bytes(content)
    with pytest.raises(InputError, match=rf"data_batch_4\.bin: .*{said}"):
        read_cifar10(folder)


@pytest.mark.parametrize("value", [[1, 2], {"data": b"12"}, {"data": np.zeros((2, 784), np.uint8)}], ids=str)
def test_a_pickle_without_cifars_pixels_is_refused_by_name(tmp_path, value):
    folder = write_folder(tmp_path, "py", python2_pickle)
    (folder / "test_batch").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(InputError, match="test_batch: holds no uint8 array"):
        read_cifar10(folder)


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>403</html>"])
def test_a_half_downloaded_archive_is_refused_by_name(tmp_path, spoil):
    path = write_archive(tmp_path, "bin", binary)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz: .*fetch it again"):
        read_cifar10(path)


def test_members_are_taken_by_exact_name_and_only_if_they_are_files(tmp_path):
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
