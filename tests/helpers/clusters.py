"""Schedulers and workers of Dask in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.helpers.runs import ROOT

SECONDS = 60  # that a process may take to start


@contextmanager
def dask(*words, env=None):
    """Run `dask WORDS` and yield its process."""
    command = [sys.executable, "-P", "-m", "dask", *map(str, words)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def scheduler(*words, env=None):
    """Run a scheduler on a free port of this machine; yield (address, its JSON file, its process)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        options = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
        with dask("scheduler", *options, *words, env=env) as process:
            yield wait_for(lambda: read_address(file)), file, process


def read_address(file):
    """Return the address in the file of a scheduler, or None."""
    try:
        return json.loads(file.read_text())["address"]
    except (OSError, ValueError):
        return None


@contextmanager
def workers(address, n, *words, env=None):
    """Run n workers of one thread, without a nanny; yield their processes."""
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", *words)
    with ExitStack() as stack:
        yield [stack.enter_context(dask("worker", address, *options, env=env)) for _ in range(n)]


def wait_for(condition):
    """Return the first true value of a function."""
    end = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def descendants(pattern):
    """Return the processes below this one whose command line holds a text."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if pattern in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            pass
    return found


def kill_one():
    """Kill a worker that a nanny started; return True if there was one."""
    found = descendants("--multiprocessing-fork")
    if found:
        os.kill(found[-1].pid, signal.SIGKILL)
    return bool(found)
