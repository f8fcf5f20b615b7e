"""Workers of the benchmark: processes that wait for a line on stdin, do what it names, and answer with a line of JSON.

While one works all others are blocked, so that what is measured in turns has the machine to itself, and what else the
machine does falls on all alike. Nothing heavy is imported here: both peers use this file.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """A worker and the pipe to it.

    name: the column of its figures; command: what starts it, from the repository's folder; environment: what is set
    for it besides the caller's own.
    """

    def __init__(self, name, command, environment=None):
        self.name = name
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words):
        """The answer to a line of words. Raises RuntimeError where the worker has ended instead."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"worker {self.name} ended at: {' '.join(map(str, words))}")
        return json.loads(line)

    def close(self):
        """End of input, which ends the worker."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def serve(commands):
    """Answer lines on stdin until they end. commands: dict of a line's first word to a function of the others.

    What the functions print goes to stderr: stdout is for the answers.
    """
    for line in sys.stdin:
        name, *words = line.split()
        with contextlib.redirect_stdout(sys.stderr):
            answer = commands[name](*words)
        print(json.dumps(answer), flush=True)


def timed(function, calls):
    """Seconds of one of so many calls, after one that does not count."""
    function()
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - begin) / calls


def peak_memory():
    """MiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
