"""The C library keeps freed memory: page faults of repeated allocations, counted by the kernel."""

import os
import platform
import subprocess
import sys

import pytest

from tests.helpers import runs

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="options of glibc")

PROGRAM = """
import ctypes, resource, threading

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KiB
faults = []

def allocate():
    for _ in range(5):
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        memory = ctypes.c_void_p(libc.malloc(100 * 2**20))
        libc.memset(memory, 1, 100 * 2**20)
        libc.free(memory)

def allocate_in_thread():
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()

{}
print(faults[4] - faults[1])
"""
PAGES = 3 * 100 * 2**20 // 4096


def count_faults(lines):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROGRAM.format(lines)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=runs.ROOT, env=env).stdout)


@pytest.mark.parametrize(
    "lines",
    [
        "from dpm.base.memory import keep_freed_memory; keep_freed_memory(); allocate()",
        "from dpm.base.command_line import run_command; run_command('dpm x', allocate_in_thread)",
        "import dpm; dpm.Engine('numba'); allocate_in_thread()",
    ],
    ids=["function", "command", "engine"],
)
def test_memory_that_was_freed_is_not_cleared_again(lines):
    assert count_faults(lines) < 0.01 * PAGES


@pytest.mark.parametrize("call", ["allocate()", "allocate_in_thread()"])
def test_glibc_returns_large_allocations_by_default(call):
    """The reason for `keep_freed_memory`, and that the test above can fail."""
    assert count_faults(call) > 0.5 * PAGES
