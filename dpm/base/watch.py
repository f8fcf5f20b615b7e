"""A command in a child process, so that a library that ends the process still leaves one line that says why."""

import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from dpm.base.command_line import error_line
from dpm.base.process import forward_signals

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_LINE = re.compile(r"^[IWEF]\d{4} [\d:.]+ +\d+ \S+\] ?", re.MULTILINE)  # how Abseil begins a line


def run_watched(prog: str, action: Callable[[], int], explain: Callable[[str, str], str]) -> int:
    """Run an action in a child process, and return its exit status; print a line if a signal ended it.

    What libraries write to the standard streams, past Python, is not shown. Signals are passed on. If this process is
    killed, so is the child.

    Args:
        prog: name of the program in messages.
        action: returns an exit status; it prints its own errors.
        explain: from the signal that ended the child and what libraries wrote before, the error to print.

    Returns:
        The status of the action; if a signal ended the child 2, or 130 for that of Ctrl-C.
    """
    alive, hold = os.pipe()
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        sys.stderr.flush()
        if (child := os.fork()) == 0:
            os.close(hold)
            _run_child(action, alive, log)
        os.close(alive)
        status = _wait(child)
        os.close(hold)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = LOG_LINE.sub("", log.read().decode(errors="replace"))
    name = signal.Signals(os.WTERMSIG(status)).name
    if name == "SIGINT":
        print(f"{prog}: stopped", file=sys.stderr, flush=True)
        return 130
    print(error_line(prog, explain(name, text)), file=sys.stderr, flush=True)
    return 2


def _wait(child: int) -> int:
    """Wait for the child, to which signals are passed on; return its wait status."""
    with forward_signals(child, *FORWARDED):
        return os.waitpid(child, 0)[1]


def _run_child(action: Callable[[], int], alive: int, log: IO[bytes]) -> None:
    """Run the action with the streams of Python where they were, and those of libraries in the log; then end."""
    os.setpgid(0, 0)  # Ctrl-C on a terminal reaches the parent only, which passes it on once
    for stream in (sys.stdout, sys.stderr):
        number = stream.fileno()
        kept = os.dup(number)
        os.dup2(log.fileno(), number)
        setattr(sys, stream.name.strip("<>"), os.fdopen(kept, "w", buffering=1, encoding=stream.encoding))

    def end_with_parent() -> None:
        os.read(alive, 1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True, name="parent").start()
    status = 1
    try:
        status = action()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Not sys.exit: exit handlers of a library wait for the other processes.
        os._exit(status)
