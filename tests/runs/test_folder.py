"""Run folders: the lock, the newest checkpoint, and earlier checkpoints."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dpm.base.errors import InputError
from dpm.commands.train import main as train_main
from dpm.runs import checkpoint
from dpm.runs import folder as run_folder
from tests.helpers import runs

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from dpm.runs.folder import lock_folder

with lock_folder(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Start another process that holds the lock of tmp_path."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_folder_in_use_names_the_process(tmp_path, holder):
    words = rf"{tmp_path}: is in use by process {holder.pid} on .* since 20.*; wait"
    with pytest.raises(InputError, match=words), run_folder.lock_folder(tmp_path):
        pass


def test_lock_of_a_killed_process_is_taken_over_with_a_message(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with run_folder.lock_folder(tmp_path) as left:
        assert left.startswith(f"process {holder.pid} on ")
    with run_folder.lock_folder(tmp_path) as left:
        assert left == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_means_its_newest_checkpoint_and_without_one_that_of_2015(tmp_path):
    find = run_folder.find_checkpoint
    assert find(tmp_path / "checkpoint_best.h5") == tmp_path / "checkpoint_best.h5"
    assert find(tmp_path) == tmp_path / "checkpoint.h5"
    (tmp_path / "model.pkl").touch()
    assert find(str(tmp_path)) == tmp_path / "model.pkl"
    (tmp_path / "checkpoint.h5").touch()
    assert find(tmp_path) == tmp_path / "checkpoint.h5"


def test_a_folder_is_resumed_as_its_checkpoint_is(train):
    folder = train()
    assert train_main(["--resume-file", str(folder), "--epochs", "3", "--quiet"]) == 0
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == 9


def test_running_run_is_not_resumed_twice(train, tmp_path, capsys):
    folder = train()
    with run_folder.lock_folder(folder):
        assert train_main(["--resume-file", str(folder / "checkpoint.h5"), "--epochs", "3"]) == 2
    assert f"is in use by process {os.getpid()}" in capsys.readouterr().err
    assert checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] == 6
    assert not (folder / "run.lock").exists()


def write(path, step=1, when=None):
    path.parent.mkdir(exist_ok=True)
    checkpoint.save(path, {"config": {}, "model": {}, "state": {"step": step}}, {})
    if when is not None:
        os.utime(path, (when, when))
    return path


def test_auto_picks_the_newest_loadable_checkpoint(tmp_path):
    write(tmp_path / "a" / "checkpoint.h5", 1, when=100)
    earlier = write(tmp_path / "b" / "checkpoint_step00000003.h5", 3, when=200)
    broken = write(tmp_path / "b" / "checkpoint.h5", 4, when=300)
    broken.write_bytes(broken.read_bytes()[:-100])
    os.utime(broken, (300, 300))
    write(tmp_path / "b" / "checkpoint_best.h5", 2, when=400)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "samples.h5").write_bytes(b"")
    path, (meta, _), messages = run_folder.find_newest_run(tmp_path)
    assert (path, meta["state"]["step"]) == (earlier, 3)
    (message,) = messages
    assert message.startswith(f"skipped: checkpoint {broken}")


def test_auto_never_starts_a_new_run(tmp_path):
    with pytest.raises(InputError, match="holds no run folder"):
        run_folder.find_newest_run(tmp_path)
    path = write(tmp_path / "a" / "checkpoint.h5")
    path.write_bytes(b"")
    with pytest.raises(InputError, match="of 1 checkpoints in its folders none can be loaded"):
        run_folder.find_newest_run(tmp_path)


def test_auto_resumes_and_names_the_checkpoint(train, tmp_path, capsys):
    straight, folder = train("--epochs", 3), train("--epochs", 1)
    capsys.readouterr()
    arguments = ["--resume-file", "auto", "--output-dir", str(folder.parent), "--epochs", "3", "--quiet", "false"]
    assert train_main(arguments) == 0
    assert "resumed at epoch 1, step 3; seed 0" in capsys.readouterr().out
    assert runs.same(straight, folder)
    assert train_main(["--resume-file", "auto", "--output-dir", str(tmp_path / "nowhere")]) == 2
    assert "--resume-file auto" in capsys.readouterr().err


def test_run_resumes_from_an_earlier_checkpoint(train, capsys):
    straight, folder = train("--epochs", 3), train("--epochs", 3, "--keep", 3)
    assert train_main(["--resume-file", str(folder / "checkpoint_step00000003.h5")]) == 0
    assert runs.same(straight, folder)


def test_earlier_checkpoints_are_named_by_step_and_the_oldest_are_deleted(tmp_path):
    for step in (3, 6, 9, 12):
        write(tmp_path / "checkpoint.h5", step)
        run_folder.keep_earlier(tmp_path, step, 2)
    run_folder.keep_earlier(tmp_path, None, 2)
    run_folder.mark_best(tmp_path)
    run_folder.mark_best(tmp_path)
    names = ["checkpoint.h5", "checkpoint_best.h5", "checkpoint_step00000009.h5", "checkpoint_step00000012.h5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    write(tmp_path / "checkpoint.h5", 15)
    steps = [checkpoint.load(tmp_path / name)[0]["state"]["step"] for name in names]
    assert steps == [15, 12, 9, 12], "a new checkpoint takes a name, it changes no file"
