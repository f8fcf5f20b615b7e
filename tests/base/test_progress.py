"""Progress: bars on a terminal, lines elsewhere, and no other bars in the program."""

import ast
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import dpm
from dpm.base import progress
from dpm.base.progress import Progress, write_line

PACKAGE = Path(dpm.__file__).parent
CODE = """
import sys, time
from dpm.base import progress
progress.DELAY, progress.BAR_INTERVAL, progress.LINE_INTERVAL = 0.0, 0.02, 0.02
with progress.Progress(desc="outer"):
    for _ in progress.Progress(range(3), unit="step", desc="solving"):
        time.sleep(0.1)
    progress.write_line("a message")
    with progress.Progress(desc="a single call"):
        time.sleep(0.3)
"""


@pytest.fixture
def log(monkeypatch, capsys):
    """Return a function that returns stderr, where phases are shown at once and lines come without an interval."""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.0)
    monkeypatch.setattr(Progress, "_tick", lambda self: None)  # no lines from the thread
    parts = []

    def read():
        parts.append(capsys.readouterr().err)
        return "".join(parts)

    return read


def test_a_log_gets_plain_lines_with_the_time_left(log):
    for i in Progress(range(4), unit="step", desc="solving", mininterval=0):
        assert log().count("\n") >= i
    assert "\r" not in log()
    lines = log().splitlines()
    assert lines[0] == "solving: 0/4, 00:00 so far, ? left"
    assert lines[-1] == "solving: 4/4, 00:00 so far, 00:00 left"
    assert all(re.fullmatch(r"solving: [0-4]/4, 00:00 so far, (\?|00:00) left", line) for line in lines)


def test_a_phase_of_unknown_length_and_a_single_call_have_lines_too(log):
    with Progress(desc="compiling"):
        pass
    with Progress(desc="fitting", unit="fit", total=None) as bar:
        bar.set_postfix_str("K 1.0")
    lines = log().splitlines()
    assert lines[0] == "compiling: 00:00 so far"
    assert lines[-1] == "fitting: 0, 00:00 so far, K 1.0"


def test_a_single_call_of_expected_length_shows_the_time_left(log):
    """As long as there is some; a call that takes longer than the last time says what it has taken."""
    with Progress(desc="compiling", expected=90.4) as bar:
        bar.refresh()
        bar.start_t -= 60
        bar.refresh()
        bar.start_t -= 60
    assert list(dict.fromkeys(log().splitlines())) == [
        "compiling: 00:00 so far, about 01:30 left",
        "compiling: 01:00 so far, about 00:30 left",
        "compiling: 02:00 so far",
    ]


def test_the_innermost_phase_writes(log):
    with Progress(desc="outer") as outer:
        with Progress(desc="inner") as inner:
            inner.refresh()
            before = log()
            outer.refresh()
            assert log() == before
        outer.refresh()
    assert [line.partition(":")[0] for line in log().splitlines()][-2:] == ["outer", "outer"]


def test_lines_come_after_an_interval_since_the_last_one(log, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL", 1e6)
    write_line("a message")
    with Progress(desc="outer") as outer:
        outer.refresh()
    assert log() == ""


def test_short_and_quiet_phases_are_silent(log, monkeypatch):
    for _ in Progress(range(3), desc="quiet", quiet=True):
        pass
    monkeypatch.setattr(progress, "DELAY", 1e6)
    for _ in Progress(range(3), desc="short", mininterval=0):
        write_line("a message")
    assert log() == ""


def test_phases_end_with_an_error(log):
    with pytest.raises(ZeroDivisionError), Progress(desc="failing"):
        _ = 1 / 0
    assert Progress._phases == []


def test_a_file_gets_lines_while_a_single_call_computes(tmp_path):
    """A thread writes them: the call itself says nothing."""
    path = tmp_path / "log"
    with path.open("w") as stream:
        subprocess.run([sys.executable, "-c", CODE], cwd=PACKAGE.parent, stdout=stream, stderr=stream, check=True)
    text = path.read_text()
    assert "\r" not in text
    assert text.count("\nsolving: ") >= 2
    assert text.count("\na single call: ") >= 3  # the first line, the last one, and some of the thread
    assert "\na message\n" in text


@pytest.mark.parametrize("size", [(24, 80), (0, 0)])
def test_a_terminal_gets_bars_that_move_while_a_single_call_computes(size):
    """The bars are drawn over each other, and removed at the end; some containers have terminals without a size."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, size)
    with subprocess.Popen([sys.executable, "-c", CODE], cwd=PACKAGE.parent, stdout=child, stderr=child):
        os.close(child)
        text = b""
        while True:
            try:
                part = os.read(parent, 4096)
            except OSError:  # the process has ended
                break
            if not part:
                break
            text += part
    os.close(parent)
    shown = text.decode()
    assert shown.count("\rsolving") + shown.count("solving:") >= 3
    assert shown.count("a single call") >= 3
    assert "a message" in shown
    last = shown.rpartition("\r")
    assert "call" not in last[2]


def test_all_bars_are_progress():
    """tqdm itself is silent in a log, or fills it with carriage returns."""
    users = []
    for path in [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            users += [path.relative_to(PACKAGE.parent).as_posix() for name in names if name.partition(".")[0] == "tqdm"]
    assert users == ["dpm/base/progress.py"]
