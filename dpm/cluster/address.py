"""Addresses of --cluster: local[:N], the address of a scheduler, or the file that a scheduler wrote."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from dpm.base.errors import InputError

SCHEMES = ("tcp", "tls")
ACCEPTED = "local, local:N, tcp://HOST:PORT, tls://HOST:PORT, or the scheduler.json of dask scheduler"


class Address(NamedTuple):
    """A cluster to start or to join.

    Attributes:
        text: as given.
        workers: number of workers to start on this machine, or None for a cluster that runs already.
        scheduler: address of the scheduler that runs already, or "".
    """

    text: str
    workers: int | None = None
    scheduler: str = ""


def parse_address(text: str) -> Address:
    """Return the Address of a text; without a number `local` has one worker for each core.

    Raises:
        InputError: the text is none of ACCEPTED, or its file cannot be used.
    """
    name, colon, number = text.partition(":")
    if name == "local" and "/" not in number:
        if not colon:
            return Address(text, len(os.sched_getaffinity(0)))
        if not number.isdecimal() or int(number) < 1:
            raise InputError(f"--cluster {text}: got {number!r} workers; expected local:N with N of 1 or more")
        return Address(text, int(number))
    if "://" in text:
        return Address(text, scheduler=_check_scheduler(text, text))
    return Address(text, scheduler=_read_file(text))


def _read_file(text: str) -> str:
    """Return the address in a file of `dask scheduler --scheduler-file`."""
    advice = f"accepted: {ACCEPTED}"
    if not text:
        raise InputError(f"--cluster: is empty; {advice}")
    try:
        content = json.loads(Path(text).read_bytes())
    except FileNotFoundError:
        raise InputError(f"--cluster {text}: is no address, and no such file exists; {advice}") from None
    except OSError as error:
        raise InputError(f"--cluster {text}: cannot be read ({error.strerror}); {advice}") from None
    except (ValueError, RecursionError):
        raise InputError(
            f"--cluster {text}: is no JSON, as dask scheduler --scheduler-file writes it; {advice}"
        ) from None
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str):
        raise InputError(f"--cluster {text}: holds no address of a scheduler; {advice}")
    return _check_scheduler(text, address)


def _check_scheduler(text: str, address: str) -> str:
    """Return the address; raise InputError unless it has a known scheme, a host and a port."""
    scheme, _, place = address.partition("://")
    host, colon, port = place.rpartition(":")
    if scheme not in SCHEMES or not host or not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"--cluster {text}: got the address {address!r}; expected tcp://HOST:PORT or tls://HOST:PORT")
    return address
