"""The command line: one line per mistake, exit statuses, tables, and the list of commands."""

import os
import re
import subprocess
import sys

import pytest

import dpm
from dpm.__main__ import main
from dpm.base.command_line import Parser, print_table, run_command
from tests.helpers.runs import ROOT


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (OSError(28, "No space left on device"), 2, "dpm x: error: [Errno 28] No space left on device"),
        (MemoryError("8 GiB"), 2, "dpm x: error: not enough memory (8 GiB); use a smaller model or batch"),
        (KeyboardInterrupt(), 130, "dpm x: stopped"),
    ],
)
def test_failures_of_the_system_are_one_line(error, status, line, capsys):
    def action():
        raise error

    assert run_command("dpm x", action) == status
    assert capsys.readouterr().err.splitlines() == [line]


def test_the_status_of_the_action_is_returned():
    assert run_command("dpm x", lambda: None) == 0
    assert run_command("dpm x", lambda: 1) == 1


def test_an_unknown_option_is_one_line_and_a_prefix_is_unknown(capsys):
    parser = Parser(prog="dpm x")
    parser.add_argument("--batch-size")
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--batch", "3"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    hint = "did you mean --batch-size?"
    assert line == f"dpm x: error: unrecognized arguments: --batch 3; {hint} (--help lists all options)"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("sample a b", "dpm sample: error: got 'b' after RUN; accepted: one RUN; run the command once for each"),
        ("evaluate a b c", "dpm evaluate: error: got 'b', 'c' after RUN; accepted: one RUN; run the command once for "
         "each"),
        ("checkpoint show a b", "dpm checkpoint show: error: got 'b' after FILE; accepted: one FILE; run the command "
         "once for each"),
        ("checkpoint diff a b c", "dpm checkpoint diff: error: got 'c' after FILE FILE; accepted: only FILE FILE"),
        ("train MNIST", "dpm train: error: got 'MNIST'; accepted: options and their values only, such as --name VALUE"),
    ],
)  # fmt: skip
def test_an_argument_too_many_is_one_line_with_the_number_accepted(command, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"{line} (--help lists all options)\n"


def test_every_command_has_a_version(capsys):
    with pytest.raises(SystemExit) as stop:
        Parser(prog="dpm x").parse_args(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"dpm {dpm.__version__}\n"


def test_tables_have_left_aligned_columns(capsys):
    print_table([("a", "bb", "c"), ("long", "x", "")])
    assert capsys.readouterr().out == "a     bb  c\nlong  x\n"


@pytest.mark.parametrize("words", [["--output-dir", "a_b"], ["--output_dir", "a_b"], ["--output_dir=a_b"]])
def test_both_spellings_of_an_option_are_accepted(words):
    """As 2015 wrote it with underscores, and with hyphens; values keep theirs."""
    parser = Parser(prog="dpm x")
    parser.add_argument("--output-dir")
    assert parser.parse_args(words).output_dir == "a_b"


def test_help_shows_groups_and_ends_with_examples(capsys):
    parser = Parser(prog="dpm x", description="draw.", examples=[("RUN --n 50%", "half of them"), ("", "all")])
    for name, title in (("--n", "size"), ("--seed", "noise"), ("--m", "size")):
        parser.group(title).add_argument(name, help=f"help of {name}")
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "\nDraw.\n" in text
    assert re.search(r"\nsize:\n  --n N .*\n  --m M .*\n\nnoise:\n  --seed SEED ", text)
    assert text.endswith("\nexamples:\n  dpm x RUN --n 50%\n      half of them\n  dpm x\n      all\n")


def test_importing_the_parser_imports_nothing_heavy():
    code = "import sys, dpm.base.command_line; sys.exit(bool({'numpy', 'pytensor'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("variable", "library"),
    [("PYTENSOR_FLAGS=floatX=banana", "pytensor"), ("TQDM_MININTERVAL=soon", "tqdm"), ("OMP_NUM_THREADS=few", "")],
)
def test_environment_with_which_a_library_cannot_be_imported_is_one_line(variable, library):
    """PyTensor, tqdm and OpenMP read variables when they are imported, and raise what they like."""
    name, _, value = variable.partition("=")
    program = (
        "from dpm.base.command_line import run_command\n"
        "def act():\n    import tqdm\n    import pytensor\n"
        "raise SystemExit(run_command('dpm x', act))"
    )
    env = os.environ | {name: value}
    done = subprocess.run([sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"dpm x: error: {library}")
    assert "cannot be imported (" in line
    assert value.rpartition("=")[2] in line


def test_errors_of_the_program_itself_keep_their_traceback():
    def action():
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        run_command("dpm x", action)
