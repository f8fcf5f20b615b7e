"""The options of python -m dpm.datasets."""

import subprocess
import sys

import pytest

from dpm.commands.datasets import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no command given; take list, fetch"),
        (("turn",), "invalid choice: 'turn'"),
        (("convert",), "NAME"),
        (("make", "heartbeat", "--n", "0"), "--n: 0 is not accepted"),
        (("make", "heartbeat", "--seed", "-1"), "--seed: -1 is not accepted"),
        (("convert", "pictures", "--crop", "left"), "invalid choice: 'left'"),
        (("convert", "pictures", "--crops", "0"), "--crops: 0 is not accepted"),
        (("info", "x", "--si", "4"), "--si"),
    ],
)
def test_a_wrong_command_line_is_one_line_with_status_2(capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    shown = capsys.readouterr()
    assert (stopped.value.code, shown.out) == (2, "")
    (line,) = shown.err.splitlines()
    assert line.startswith("dpm datasets")
    assert words in line


@pytest.mark.parametrize("command", ["list", "fetch", "convert", "make", "info", "export"])
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert command in capsys.readouterr().out


def test_the_module_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "dpm", "datasets", "info", "nowhere.hdf5"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dpm datasets: error: nowhere.hdf5: there is no such file")
