"""Workers of the benchmark: processes that read a line from stdin, do what it names, and answer with a line of JSON.

One works at a time while the others wait, so that the measured program has the machine to itself, and other load on the
machine affects all of them alike. This file imports nothing heavy, as both peers use it.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """Worker process and the pipe to it.

    Args:
        name: column of its figures.
        command: starts it, from the repository's folder.
        environment: variables to set in addition to the caller's.
        root: checkout in which it runs.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None, root: Path = ROOT
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)} | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words: object) -> Any:
        """Return the answer to a line of words.

        Raises:
            RuntimeError: the worker has ended instead.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"worker {self.name} ended at: {' '.join(map(str, words))}")
        return json.loads(line)

    def close(self) -> None:
        """Close the worker's input, which ends it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Answer lines on stdin until it ends.

    What the functions print goes to stderr, since stdout is for the answers.

    Args:
        commands: function of the other words of a line, by its first word.
    """
    for line in sys.stdin:
        name, *words = line.split()
        with contextlib.redirect_stdout(sys.stderr):
            answer = commands[name](*words)
        print(json.dumps(answer), flush=True)


def time_calls(function: Callable[[], object], calls: int) -> float:
    """Return the seconds of one call, the mean over several, after one that does not count."""
    function()
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - begin) / calls


def peak_memory() -> float:
    """Return the largest memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
