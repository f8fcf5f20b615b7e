"""A subprocess that reads hostile files, with limits on time and memory per file."""

import json
import os
import resource
import select
import subprocess
import sys
import traceback
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from dpm.base.errors import InputError

ROOT = Path(__file__).parents[2]
SECONDS, MEGABYTES = 2, 500
#: Wall time in seconds after which a silent process counts as hung; generous, because the machine may be busy.
PATIENCE = 120


class ReaderProcess:
    """Subprocess of a module that calls `serve`, restarted when it dies, and a table of its answers.

    Args:
        command: the module and its argument.
        environment: environment of the process.
        cwd: working folder of the process.
    """

    def __init__(self, command, environment, cwd):
        self.command, self.environment, self.cwd = command, environment, cwd
        self.process, self.table = None, defaultdict(list)

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", *self.command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment, cwd=self.cwd,
        )  # fmt: skip
        assert self.process.stdout.readline() == "\n", "the process that reads could not start"

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def ask(self, **request):
        """Return the answer to one request, a dict; {"problem": ...} if there is none."""
        if self.process is None:
            self.start()
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        ready = select.select([self.process.stdout], [], [], PATIENCE)[0]
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.end()
            return {"problem": "the process died" if ready else "the process does not answer"}
        return json.loads(line)


def excesses(answer):
    """Return the limits that an answer exceeds: a list of texts or False."""
    return [
        answer["seconds"] > SECONDS and f"took {answer['seconds']:.2f} s",
        answer["megabytes"] > MEGABYTES and f"took {answer['megabytes']:.0f} MB",
    ]


# ------------------------------------------------------------------ in the process


def serve(answer):
    """Read requests from stdin and write answers to stdout, one line of JSON each; answer: function of the request."""
    print(flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def measure(child, read):
    """Return (answer, result of read()).

    The answer has the outcome "read", "refused" or "traceback", a message, seconds and megabytes.

    child: process id of the subprocess that validates HDF5 files, whose work counts too; 0 if there is none.
    """
    pids = [pid for pid in (os.getpid(), child) if pid]
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = {pid: memory(pid, "VmRSS") for pid in pids}
    most = memory(os.getpid(), "VmSize") + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    start = processor_seconds(child)
    found, answer = None, {"outcome": "read", "message": ""}
    try:
        found = read()
    except InputError as error:
        answer = {"outcome": "refused", "message": str(error)}
    except BaseException:
        answer = {"outcome": "traceback", "message": traceback.format_exc()}
    seconds = processor_seconds(child) - start
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    taken = sum(max(0, memory(pid, "VmHWM") - rss) for pid, rss in before.items())
    return answer | {"seconds": seconds, "megabytes": taken / (1 << 20)}, found


def memory(pid, what):
    """Return a memory figure of a process from /proc, in bytes; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) << 10
    return 0


def processor_seconds(child):
    """Return the CPU time of this process, its finished children and the running one, in seconds."""
    times = os.times()
    with suppress(OSError):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return sum(times[:4]) + sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return sum(times[:4])
