"""The process of a command: its standard streams and environment, whatever it was started with."""

import atexit
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TextIO

from dpm.base import memory

MATPLOTLIB = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


class Output:
    """Text stream that never raises: the first failure to write is reported, and later text is dropped.

    A reader that has closed its end of a pipe, or a full disk behind stdout, thus ends printing and nothing else.

    Args:
        stream: the stream to write to.
        report: function of the reason, called once.

    Attributes:
        failed: True once text was lost.
    """

    def __init__(self, stream: TextIO, report: Callable[[str], None]) -> None:
        self.stream, self.report, self.failed = stream, report, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text, unless an earlier write has failed."""
        self._attempt(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless an earlier write has failed."""
        self._attempt(self.stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.failed:
            return
        try:
            action()
        except OSError as error:
            self.failed = True
            # What is still in the stream's buffer would fail again when the interpreter closes it.
            with suppress(OSError, ValueError, AttributeError):  # not every stream is a file
                _connect_to_null(self.stream.fileno())
            self.report(error.strerror or type(error).__name__)


@contextmanager
def command_process(prog: str) -> Iterator[Output]:
    """Prepare the process of a command, and yield the stream that replaces stdout.

    - A closed standard stream becomes the null device: otherwise the next file that is opened would take its number.
    - Characters that the terminal's encoding lacks are printed as escapes.
    - Memory that it frees stays for the next call. This is set before the threads of progress bars start.
    - At its exit no cyclic garbage is searched for, which takes a second after all graphs of PyTensor and JAX.
    - Ctrl-C also stops it within a callback, such as JAX's of the garbage collector, whose exceptions Python ignores.
    - Plots are drawn into files and look alike everywhere: matplotlib uses no backend of a notebook or display, and not
      the user's configuration, such as LaTeX for all texts. Its remarks on its cache folder are not printed.

    Args:
        prog: name of the program in messages.
    """
    _open_closed_streams()
    memory.keep_freed_memory()
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):  # a test or a notebook may have replaced the stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    streams = sys.stdout, sys.stderr
    variables = {name: os.environ.get(name) for name in MATPLOTLIB}
    os.environ.update(MATPLOTLIB)

    def report(reason: str) -> None:
        print(f"{prog}: stdout cannot be written ({reason}); the command continues without it", file=sys.stderr)

    stderr = Output(sys.stderr, lambda reason: None)
    stdout = Output(sys.stdout, report)
    sys.stdout, sys.stderr = stdout, stderr
    try:
        with _repeated_interrupts():
            yield stdout
    finally:
        stdout.flush()
        stderr.flush()
        sys.stdout, sys.stderr = streams
        for name, value in variables.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def handle_signals(handler: Any, *numbers: int) -> Iterator[None]:
    """Handle signals within a block, as signal.signal does; in threads other than the main one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    old = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def select_heeded(*numbers: int) -> list[int]:
    """Return the signals that are not ignored.

    A process is started with ignored signals to survive them: by nohup, or in the background of a script.
    """
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


def forward_signals(process: int, *numbers: int) -> AbstractContextManager[None]:
    """Pass the signals that are not ignored on to another process within a block."""

    def forward(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    return handle_signals(forward, *select_heeded(*numbers))


@contextmanager
def _repeated_interrupts() -> Iterator[None]:
    """Interrupt once more, a little later, where Python has ignored a KeyboardInterrupt."""
    report = sys.unraisablehook

    def repeat(ignored: Any) -> None:
        if ignored.exc_type is KeyboardInterrupt:
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            report(ignored)

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = report


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that the process was started without."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _connect_to_null(number)
    # The streams are open as long as the process runs.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _connect_to_null(number: int) -> None:
    """Make a file descriptor write to, and read from, the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
