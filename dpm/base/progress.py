"""Progress of everything that takes seconds: a bar on a terminal, plain lines in a log, never silence.

A phase that lasts a second says what it does: its bar moves at least once a second, and a log gets a line in each five
seconds. A thread does this, so it holds too while a single call computes, such as a compilation.
"""

import os
import sys
import threading
import time
from typing import Any, TextIO

from tqdm import tqdm

DELAY = 1.0  # seconds after which a phase is shown
BAR_INTERVAL, LINE_INTERVAL = 1.0, 4.0  # seconds between two updates, and at least between two lines of a log
# A phase of known length, one of unknown length, and a single call.
LINES = (
    "{desc}: {n_fmt}/{total_fmt}, {elapsed} so far, {remaining} left{postfix}",
    "{desc}: {n_fmt}, {elapsed} so far{postfix}",
    "{desc}: {elapsed} so far{expected_left}{postfix}",
)


class Progress(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A tqdm on stderr that also moves without updates, and that writes lines where stderr is not a terminal.

    Phases may be nested: a log gets the lines of the innermost one. Use it as an iterator or a context, or close it.

    Args:
        iterable: as of tqdm.
        desc: what is done, as printed: "least squares".
        quiet: print nothing.
        delay: seconds after which it is shown; DELAY by default.
        expected: seconds that a single call is expected to take, such as its last duration; None if unknown.
        **more: further arguments of tqdm, such as total and unit. A phase without an iterable, a total and a unit is a
            single call.
    """

    _phases: list["Progress"] = []  # noqa: RUF012  the open ones, innermost last
    _last_line = time.monotonic()  # when a log got its last line, or the program began

    def __init__(
        self,
        iterable: Any = None,
        *,
        desc: str,
        quiet: bool = False,
        delay: float | None = None,
        expected: float | None = None,
        **more: Any,
    ) -> None:
        self._expected = expected
        self.terminal = sys.stderr.isatty()
        self._single = iterable is None and not {"total", "unit"} & set(more)
        if not self.terminal:
            total = more.get("total", len(iterable) if hasattr(iterable, "__len__") else None)
            more |= {"bar_format": LINES[2 if self._single else 1 if total is None else 0], "leave": False}
        elif self._single:
            more["bar_format"] = "{desc}: {elapsed}{expected_left}{postfix}"
        self._closed = threading.Event()
        self._shown = False
        delay = DELAY if delay is None else delay
        self._begin = time.monotonic() + delay
        defaults: dict[str, Any] = {"leave": False, "miniters": 1}
        if self.terminal:  # one without a size, as in some containers, would show nothing
            defaults |= {"dynamic_ncols": True} if _columns() > 0 else {"ncols": 80, "nrows": 24}
        super().__init__(iterable, desc=desc, file=sys.stderr, disable=quiet, delay=delay or 1e-9, **(defaults | more))
        if not quiet:
            Progress._phases.append(self)
            if not delay:
                self.refresh()
            threading.Thread(target=self._tick, daemon=True, name="progress").start()

    @property
    def format_dict(self) -> dict[str, Any]:
        """The values of a line, with the time that an expectation leaves; nothing after it has passed."""
        values: dict[str, Any] = super().format_dict
        left = (self._expected or 0.0) - values["elapsed"]
        return values | {"expected_left": f", about {tqdm.format_interval(left)} left" if left >= 1 else ""}

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar, or write a line of a log if it is time for one."""
        now = time.monotonic()
        innermost = Progress._phases[-1:] == [self]
        if self.terminal:
            if now < self._begin:
                return False
            self._shown = True
            # A single call has no counts, so its line stays empty while one of its parts is shown.
            return bool(super().display("" if self._single and not innermost else msg, pos))
        if innermost and now >= max(self._begin, Progress._last_line + LINE_INTERVAL):
            self._write_line()
        return False

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar from a terminal for a moment."""
        if self.terminal and self._shown:
            super().clear(nolock)

    def close(self) -> None:
        """End the phase; one that was shown in a log gets a last line."""
        if getattr(self, "disable", True):
            return
        self._closed.set()
        Progress._phases.remove(self)
        if self._shown and not self.terminal:
            self._write_line()
        if self._shown:
            self.last_print_t = self.start_t + self.delay  # for tqdm, which otherwise leaves the bar on the screen
        self._begin = 0.0
        super().close()

    def _write_line(self) -> None:
        self._shown = True
        note_line()
        self.fp.write(f"{self}\n")
        self.fp.flush()

    def _tick(self) -> None:
        wait = max(0.0, self._begin - time.monotonic())
        while not self._closed.wait(wait):
            self.refresh()
            wait = BAR_INTERVAL


def note_line() -> None:
    """Note that a log has got a line: the next one of a phase comes after an interval."""
    Progress._last_line = time.monotonic()


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Print a line to stdout, or to a stream, above the bars of a terminal."""
    note_line()
    stream = stream or sys.stdout
    tqdm.write(text, stream)
    stream.flush()


def _columns() -> int:
    """Return the width of the terminal behind stderr, 0 if it states none."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 0
