"""Computations in pieces that tests submit to workers, which import this module."""

import os
import time
from pathlib import Path

from dpm.base.errors import InputError


def squares(offset, pieces, report):
    """Yield piece^2 + offset; report each piece."""
    for piece in pieces:
        yield piece**2 + offset
        report(piece)


def sleep(pieces, report):
    """Sleep for each piece, in seconds, and yield the process that did."""
    for seconds in pieces:
        time.sleep(seconds)
        yield os.getpid()
        report(1)


def fail(pieces, report):
    """Raise the user's mistake at the third piece."""
    for piece in pieces:
        if piece == 2:
            raise InputError(f"piece: got {piece}; expected another")
        yield piece


def addresses(pieces, report):
    """Yield the worker's address for each piece."""
    from dpm.cluster.workers import get_address

    for _ in pieces:
        yield get_address()


def tell(topic, pieces, report):
    """Send each piece as a message."""
    from dpm.cluster import messages

    for piece in pieces:
        messages.tell(topic, {"piece": piece})
        yield piece


def wait_until_left(file, pieces, report):
    """Write FILE.begun; wait until nobody waits for this task, and write FILE."""
    from dpm.cluster import messages

    Path(f"{file}.begun").touch()
    while messages.is_wanted():
        time.sleep(0.05)
    Path(file).touch()
    yield from pieces


def double(n):
    return 2 * n


def divide(n):
    return 1 / n


def environment(pieces, report):
    """Yield the value of each environment variable, and the limits of BLAS."""
    from dpm.base.blas import controller

    for name in pieces:
        yield os.environ.get(name), {pool["num_threads"] for pool in controller().info() if pool["user_api"] == "blas"}
