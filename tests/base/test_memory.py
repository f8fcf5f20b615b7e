"""The C library keeps freed memory: page faults of repeated allocations, counted by the kernel."""

import os
import platform
import subprocess
import sys

import pytest

from tests.helpers import runs

PROGRAM = """
import ctypes, resource, sys, threading
from dpm.base.memory import keep_freed_memory

keep_freed_memory() if "keep" in sys.argv else None
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

if "thread" in sys.argv:
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
else:
    allocate()
print(faults[4] - faults[1])
"""
PAGES = 3 * 100 * 2**20 // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="options of glibc")
@pytest.mark.parametrize("where", ["main", "thread"])
def test_memory_that_was_freed_is_not_cleared_again(where):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    def count(*arguments):
        command = [sys.executable, "-c", PROGRAM, where, *arguments]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=runs.ROOT, env=env).stdout)

    assert count("keep") < 0.01 * PAGES
    assert count() > 0.5 * PAGES  # the default of glibc
