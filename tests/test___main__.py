"""`python -m dpm` and the console command: the list of commands, the version, and mistakes in one line."""

import argparse
import importlib
import shlex
import subprocess
import sys

import pytest

import dpm
from dpm.__main__ import COMMANDS, main


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)
    assert main([]) == 2


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dpm {dpm.__version__}\n"


def test_an_unknown_command_is_one_line(capsys):
    assert main(["trian"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dpm: error: unknown command 'trian'; expected one of train, sample")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_imports_no_compiler(name):
    code = (
        f"import sys, dpm.__main__ as m\ntry: m.main(['{name}', '--help'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "sys.exit(bool({'pytensor', 'jax', 'numba', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"usage: dpm {name}" in done.stdout


def test_a_folder_called_dpm_does_not_hide_the_package(tmp_path):
    """A folder without __init__.py is a namespace package, which hides an installation behind an import hook."""
    (tmp_path / "dpm" / "datasets").mkdir(parents=True)
    for words in (["--version"], ["datasets", "--help"]):
        done = subprocess.run([sys.executable, "-m", "dpm", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def parsers():
    """Return (words of the command, its parser) of every command and subcommand."""
    found = []
    for name in COMMANDS:
        parser = importlib.import_module(f"dpm.commands.{name}").build_parser()
        found.append((name, parser))
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [(f"{name} {sub}", kind) for sub, kind in action.choices.items()]
    return found


@pytest.mark.parametrize(("words", "parser"), [pytest.param(*pair, id=pair[0]) for pair in parsers()])
def test_help_of_each_command_has_groups_and_two_examples_that_are_accepted(words, parser):
    text = parser.format_help()
    assert "None)" not in text
    ungrouped = [action.option_strings for action in parser._optionals._group_actions]
    assert ungrouped == [["-h", "--help"], ["--version"]]
    examples = [line.strip() for line in text.partition("\nexamples:\n")[2].splitlines()[::2]]
    assert len(examples) >= (1 if words == "datasets list" else 2)
    for example in examples:
        assert example.startswith(f"dpm {words}")
        parser.parse_args(shlex.split(example)[1 + len(words.split()) :])
