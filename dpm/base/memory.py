"""The memory of the C library: what a call of a compiled function frees stays for the next call."""

from contextlib import suppress
from functools import cache

# Options of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT = 2**30  # bytes of one allocation, and of freed memory at the end of the heap, that stay
KEPT_BY_ALL = 2**25  # bytes of one allocation that every version of glibc accepts


@cache
def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees; does nothing with another C library than glibc.

    A compiled function allocates its temporary arrays at each call. By default glibc returns large ones to the system,
    which clears their pages again at the next call: up to a third of the time of a step (docs/performance.md). All
    threads share one heap, since another one returns what is above 64 MiB. Call it before a second thread allocates
    memory; later it has less effect.
    """
    import ctypes  # here, as `--help` does without it

    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        if not mallopt(M_MMAP_THRESHOLD, KEPT):
            mallopt(M_MMAP_THRESHOLD, KEPT_BY_ALL)
