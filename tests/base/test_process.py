"""The process of a command: closed or full standard streams, encodings, and matplotlib's environment."""

import os
import signal
import subprocess
import sys

import pytest

from dpm.base.command_line import run_command
from dpm.base.process import command_process, handle_signals, select_heeded
from tests.helpers import runs


def run_python(action, prepare="", **options):
    """Run `action`, the body of a command, in a process; `prepare` is shell text after the command, such as 2>&-."""
    body = "\n".join(f"    {line}" for line in action.splitlines())
    script = f"import os, sys\nfrom dpm.base.command_line import run_command\ndef act():\n{body}\n"
    script += "raise SystemExit(run_command('dpm x', act))\n"
    line = f'"$PYTHON" -c "$SCRIPT" {prepare}'
    env = (
        os.environ | {"PYTHON": sys.executable, "SCRIPT": script, "PYTHONPATH": str(runs.ROOT)} | options.pop("env", {})
    )
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, env=env, **options)


MANY_LINES = "for i in range(100_000): print('line', i)\nopen('saved', 'w').write('all')"


def test_a_closed_pipe_ends_printing_and_not_the_command(tmp_path):
    """`command | head -2`: two lines arrive, the rest of the command runs, and stderr says once what happened."""
    done = run_python(MANY_LINES, "| head -2", cwd=tmp_path)
    assert done.stdout == b"line 0\nline 1\n"
    assert done.stderr == b"dpm x: stdout cannot be written (Broken pipe); the command continues without it\n"
    assert (tmp_path / "saved").read_text() == "all"
    assert done.returncode == 1


def test_a_closed_pipe_of_both_streams(tmp_path):
    """`command 2>&1 | head -2`: nothing can be reported, and the command still runs to its end."""
    action = "print('a')\nprint('b', file=sys.stderr)\n" + MANY_LINES.replace("'line', i", "'c', file=sys.stderr")
    done = run_python(action, "2>&1 | head -2", cwd=tmp_path)
    assert sorted(done.stdout.split()) in ([b"a", b"b"], [b"b", b"c"])
    assert (tmp_path / "saved").read_text() == "all"


def test_a_full_disk_behind_stdout(tmp_path):
    """The short text fails only when it is flushed at the end, and the status says that it was lost."""
    done = run_python("print('short')\nopen('saved', 'w').write('all')", "> /dev/full", cwd=tmp_path)
    assert done.stderr.decode() == (
        "dpm x: stdout cannot be written (No space left on device); the command continues without it\n"
    )
    assert (tmp_path / "saved").read_text() == "all"
    assert done.returncode == 1


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_the_null_device(tmp_path, closed):
    """A file that the command opens does not get the number of a standard stream (0, 1 or 2)."""
    action = (
        "number = os.open('saved', os.O_CREAT | os.O_WRONLY)\nos.write(2, b'noise')\n"
        "print('text', flush=True)\nprint('error', file=sys.stderr)\nsys.stderr.isatty()\n"
        "os.write(number, str(number > 2).encode())"
    )
    done = run_python(action, closed, cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "saved").read_text() == "True"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_the_encoding_lacks_are_escaped(encoding):
    """A snowman, and a byte of a file name that is not UTF-8 (PEP 383 maps it to a lone surrogate)."""
    done = run_python("print('\\u2603', '\\udce4', 'end')", env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0
    snowman = "\u2603" if encoding == "utf-8" else "\\u2603"
    assert done.stdout.decode(encoding) == f"{snowman} \\udce4 end\n"


@pytest.mark.parametrize("place", ["HOME", "MPLCONFIGDIR", "MATPLOTLIBRC"])
def test_matplotlib_needs_no_backend_and_no_settings_of_the_user(tmp_path, place):
    """A notebook's backend that is not installed here, and a matplotlibrc that asks for LaTeX."""
    folder = tmp_path / "home"
    file = folder / (".config/matplotlib" if place == "HOME" else "") / "matplotlibrc"
    file.parent.mkdir(parents=True)
    file.write_text("text.usetex: True\n")
    action = "import matplotlib\nprint(matplotlib.rcParams['backend'], matplotlib.rcParams['text.usetex'])"
    env = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "XDG_CONFIG_HOME": "", place: str(folder)}
    done = run_python(action, cwd=tmp_path, env=env)
    assert done.stdout.lower() == b"agg false\n"
    assert done.stderr == b""


@pytest.mark.parametrize("before", [None, "pdf"])
def test_streams_and_environment_are_as_before_afterwards(monkeypatch, before):
    """A notebook that calls a command keeps its own backend."""
    monkeypatch.delenv("MPLBACKEND", raising=False)
    if before:
        monkeypatch.setenv("MPLBACKEND", before)
    streams = sys.stdout, sys.stderr
    with command_process("dpm x") as stdout:
        assert sys.stdout is stdout
        assert os.environ["MPLBACKEND"] == "agg"
    assert (sys.stdout, sys.stderr) == streams
    assert os.environ.get("MPLBACKEND") == before


def test_the_status_of_an_error_is_kept_when_stdout_fails(monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())

    def action():
        print("text")
        raise OSError("disk")

    assert run_command("dpm x", action) == 2


def test_a_command_exits_without_a_search_for_garbage():
    """A search takes a second with the graphs of PyTensor and JAX. Functions registered first are called last."""
    code = (
        "import atexit, gc\natexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "from dpm.base.command_line import run_command\nrun_command('x', lambda: print(gc.get_freeze_count()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\nTrue\n"


def test_ctrl_c_in_a_callback_of_the_garbage_collector_stops_the_command():
    """Python ignores exceptions of such callbacks, of which JAX has one."""
    code = """
import gc, os, signal, sys, time
from dpm.base.command_line import run_command

def interrupt(*_):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGINT)

def action():
    gc.callbacks.append(interrupt)
    gc.collect()
    time.sleep(30)

sys.exit(run_command("x", action))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25)
    assert (done.returncode, done.stderr) == (130, "x: stopped\n")


def test_signals_are_handled_within_the_block_unless_they_are_ignored():
    seen = []
    before = signal.getsignal(signal.SIGUSR1), signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    with handle_signals(lambda number, frame: seen.append(number), *select_heeded(signal.SIGUSR1, signal.SIGUSR2)):
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
    assert seen == [signal.SIGUSR1]
    assert (signal.getsignal(signal.SIGUSR1), signal.signal(signal.SIGUSR2, before[1])) == (before[0], signal.SIG_IGN)
