"""The command train: the same under both names, with the command line recorded in config.json."""

import json

import pytest

from dpm.commands.train import main
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
