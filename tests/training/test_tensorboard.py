"""--tensorboard: TensorBoard's curves equal the columns of log.csv."""

import importlib.util
import struct

import pytest

from dpm.base.errors import InputError
from dpm.training import tensorboard
from tests.helpers import runs


def scalars(folder):
    """Return {(name, step): value} of all event files, which are TFRecords: length, checksum, message, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            at += length + 16
    return found


@pytest.fixture
def compiled(monkeypatch):
    runs.share_compiled(monkeypatch)
    runs.without_plots(monkeypatch)


def test_curves_equal_the_columns_of_the_log(base, tmp_path, compiled):
    folder = runs.train(tmp_path / "out", runs.data(base), "--tensorboard")
    found = scalars(folder)
    rows = runs.rows(folder)
    assert [row["step"] for row in rows] == [3, 6]
    for row in rows:
        for name, value in row.items():
            if name != "step":
                assert found[name, row["step"]] == pytest.approx(value, rel=1e-6)


def test_tensorboard_does_not_change_the_run(base, tmp_path, compiled):
    plain, watched = (
        runs.train(tmp_path / name, runs.data(base), *flags) for name, flags in (("a", ()), ("b", ["--tensorboard"]))
    )
    assert runs.rows(plain) == runs.rows(watched)
    assert not list(plain.glob("events*"))


def test_full_disk_is_a_warning_and_status_1(base, tmp_path, compiled, monkeypatch, capsys):
    tensorboardX = pytest.importorskip("tensorboardX")

    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(tensorboardX.SummaryWriter, "add_scalar", full)
    runs.train(tmp_path / "out", runs.data(base), "--tensorboard", status=1)
    assert "warning: the log for TensorBoard was not saved: no space left on device" in capsys.readouterr().err


def test_file_that_cannot_be_created_is_reported_once(base, tmp_path, compiled, monkeypatch, capsys):
    tensorboardX = pytest.importorskip("tensorboardX")

    def no_writer(*arguments, **more):
        raise PermissionError("not allowed")

    monkeypatch.setattr(tensorboardX, "SummaryWriter", no_writer)
    runs.train(tmp_path / "out", runs.data(base), "--tensorboard", status=1)
    assert capsys.readouterr().err.count("the log for TensorBoard was not saved") == 1


def test_missing_package_is_an_error(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"--tensorboard: tensorboardX is not installed; pip install '.\[tensorboard\]'.*false"
    ):
        tensorboard.check_installed()
