"""A watched command: its status, signals, and a line where a library ends the process."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.runs import ROOT

PROGRAM = """
import os, sys, time
from dpm.base.watch import run_watched

def action():
    print("printed", flush=True)
    print(os.getpid(), file=sys.stderr, flush=True)
    {action}

sys.exit(run_watched("prog", action, lambda name, log: f"{{name}}, {{log!r}}"))
"""


def run(action):
    """Run the program with the rest of its action; return its status, stdout and the last line of stderr."""
    code = PROGRAM.format(action=action)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.splitlines()[-1]


@pytest.mark.parametrize("status", [0, 2, 130])
def test_the_status_is_that_of_the_action(status):
    assert run(f"return {status}")[:2] == (status, "printed\n")
    assert run(f"sys.exit({status})")[:2] == (status, "printed\n")


def test_an_exception_has_its_traceback():
    status, _, line = run("raise RuntimeError('bug')")
    assert (status, line) == (1, "RuntimeError: bug")


def test_what_a_library_wrote_explains_its_abort():
    """Text written past Python is not shown; how Abseil begins a line is left out."""
    status, out, line = run("os.write(2, b'F1129 17:06:34.8 12 client.h:80] gone'); os.write(1, b'!'); os.abort()")
    assert (status, out, line) == (2, "printed\n", "prog: error: SIGABRT, 'gone!'")


def started(action):
    """Start the program; return the process and the number of its child."""
    code = PROGRAM.format(action=action)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    return process, int(process.stderr.readline())


def end_by(number, handler):
    """Send a signal to the program once its child has set a handler; return the status and what is printed then."""
    handle = f"import signal; signal.signal({int(number)}, {handler})"
    process, _ = started(f"{handle}; print('ready', file=sys.stderr, flush=True); time.sleep(60)")
    with process.stderr:
        assert process.stderr.readline() == "ready\n"
        process.send_signal(number)
        return process.wait(30), process.stderr.read()


def test_signals_are_passed_on():
    status, _ = end_by(signal.SIGTERM, "lambda *a: os._exit(7)")
    assert status == 7


def test_ctrl_c_that_ends_the_child_is_said_as_elsewhere():
    """As where a library waits outside of Python."""
    assert end_by(signal.SIGINT, "signal.SIG_DFL") == (130, "prog: stopped\n")


def test_the_child_ends_with_its_parent():
    process, child = started("time.sleep(60)")
    process.kill()
    process.wait()
    end = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.stderr.close()


def is_running(number):
    """True unless the process is gone or waits for somebody to ask for its status."""
    try:
        os.kill(number, 0)
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
