"""The command train: the same under both names, with the command line recorded in config.json."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from dpm.commands.report import main as report_main
from dpm.commands.train import main
from dpm.runs import checkpoint
from tests.helpers import runs


@pytest.mark.parametrize(("prog", "words"), [("train.py", ["train.py"]), ("dpm train", ["dpm", "train"])])
def test_command_line_is_recorded(tmp_path, data, quick_runs, prog, words):
    given = runs.arguments(tmp_path, data, "--epochs", 1)
    assert main(given, prog) == 0
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "config.json").read_text())["command"] == [*words, *given]


def test_errors_name_the_script_that_was_called(capsys):
    for prog in ("train.py", "dpm train"):
        assert main(["--lr", "nan"], prog) == 2
        assert capsys.readouterr().err.startswith(f"{prog}: error: --lr: nan is not accepted")


def run_shell(command, folder, data, *flags, **environment):
    """Run train.py in a shell line in which $TRAIN stands for it; return the finished process."""
    words = [sys.executable, runs.ROOT / "train.py", *runs.arguments(folder, data, "--epochs", 1, *flags)]
    line = command.replace("$TRAIN", " ".join(shlex.quote(str(word)) for word in words if word != "--quiet"))
    return subprocess.run(["bash", "-c", line], env=os.environ | environment, capture_output=True, text=True)


def test_closed_stdout_and_stderr_lose_nothing(tmp_path, data):
    """`train.py 2>&- | head -1`: the epoch is in the checkpoint, which is written before anything is printed of it."""
    run_shell("$TRAIN 2>&- | head -1", tmp_path, data)
    (folder,) = tmp_path.iterdir()
    meta, _ = checkpoint.load_run(folder / "checkpoint.h5")
    assert (meta["state"]["step"], len(meta["state"]["rows"])) == (runs.STEPS, 1)
    assert (folder / "log.csv").read_text().count("\n") == 2


@pytest.mark.thorough
def test_names_that_are_no_text(tmp_path, data):
    """A folder name that is not UTF-8, on a terminal with ASCII only: train, then report."""
    folder = tmp_path / os.fsdecode(b"lat\xe4")
    folder.mkdir()
    done = run_shell("$TRAIN", folder, data, "--suffix", "\u00e4", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "lat\\udce4/DiffusionModel_MNIST\\xe4" in done.stdout
    (run,) = folder.iterdir()
    page = tmp_path / "report.html"
    assert report_main([str(run), "--output", str(page)]) == 0
    assert "lat\\udce4" in page.read_text("utf-8")
