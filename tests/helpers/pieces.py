"""Computations in pieces that tests submit to workers, which import this module."""

import os
import time

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


def environment(pieces, report):
    """Yield the value of each environment variable, and the limits of BLAS."""
    from dpm.base.blas import controller

    for name in pieces:
        yield os.environ.get(name), {pool["num_threads"] for pool in controller().info() if pool["user_api"] == "blas"}
