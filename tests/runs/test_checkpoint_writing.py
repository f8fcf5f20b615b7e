"""Checkpoints are never partially written, whatever stops the writer."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.runs import checkpoint
from tests.helpers.checkpoints import META, arrays, equal


@pytest.fixture
def path(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.h5", META, arrays())
    return tmp_path / "checkpoint.h5"


@pytest.mark.parametrize("where", ["fsync", "replace", "write"])
def test_failed_save_keeps_the_old_file_and_no_temporary_file(path, monkeypatch, where):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    if where == "write":
        monkeypatch.setattr(h5py.Group, "create_dataset", full)
    else:
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"state": 2}, arrays(seed=1))
    monkeypatch.undo()
    assert list(path.parent.iterdir()) == [path]
    assert equal(checkpoint.load(path), META, arrays())


def test_file_is_synced_before_it_is_renamed(path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))[1])
    checkpoint.save(path, META, arrays())
    assert order[:2] == ["fsync", "replace"]


WRITER = """
import os, signal, sys, time
import numpy as np
from dpm.runs import checkpoint

path = sys.argv[1]
for number, seconds in enumerate(map(float, sys.argv[2:])):
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        for n in range(10**9):
            checkpoint.save(path, {"n": n}, {"/parameters/a": np.full(30_000, n)})
            os.write(send, n.to_bytes(4, "little"))
    done = os.read(receive, 4)  # one file is there
    time.sleep(seconds)
    while number % 2:  # every other one at an instant of writing, seen while the writer is stopped
        os.kill(child, signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        if len(os.listdir(os.path.dirname(path))) > 1:
            break
        os.kill(child, signal.SIGCONT)
        time.sleep(seconds / 10)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(send)
    while last := os.read(receive, 4):
        done = last
    os.close(receive)
    meta, arrays = checkpoint.load(path)
    assert meta["n"] >= int.from_bytes(done, "little"), (meta, done)
    assert (arrays["/parameters/a"] == meta["n"]).all()
    left = len(os.listdir(os.path.dirname(path))) - 1
    assert left <= 1, "what the writer before left was removed"
    print(left)
"""


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("number", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_newest_file_loads_after_the_writer_is_killed(tmp_path, number):
    """Kill writers in a tight loop at random times; the last confirmed file or a newer one loads.

    The next save removes the partial file of a killed writer.
    """
    path = tmp_path / "checkpoint.h5"
    moments = np.random.default_rng(0).uniform(0, 0.06, number)
    command = [sys.executable, "-c", WRITER, str(path), *map(str, moments)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    left = done.stdout.split()
    assert len(left) == number
    assert left[1::2] == ["1"] * (number // 2), "every other one was killed while it wrote"
    checkpoint.save(path, META, arrays())
    assert list(tmp_path.iterdir()) == [path]
