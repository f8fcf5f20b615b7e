"""Processes that compute one loop together, its rows divided among all their devices."""

import json
from collections.abc import Mapping

import numpy as np

from dpm.base.errors import InputError


class Peers:
    """One process with one device, and the interface of several (dpm/engines/jax/mesh.py).

    All processes run the same program and make the same calls in the same order. What a process decides by its clock or
    a signal is agreed on by `gather` first.

    Attributes:
        index: number of this process, from 0.
        count: number of processes.
        n_devices: number of devices of all processes.
    """

    index, count, n_devices = 0, 1, 1

    def round_up(self, rows: int) -> int:
        """Return the smallest number of rows, not below this one, that the devices can divide equally."""
        return -(-rows // self.n_devices) * self.n_devices

    def own_rows(self, rows: int) -> slice:
        """Return which of so many rows, a multiple of n_devices, are on the devices of this process."""
        return slice(0, rows)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers (n,) of all processes, float64 (count, n); every process calls it with as many."""
        return np.asarray(values, np.float64)[None]

    def gather_texts(self, text: str) -> list[str]:
        """Return the texts of all processes."""
        mine = np.frombuffer(text.encode(), np.uint8)
        sizes = self.gather(np.array([len(mine)]))[:, 0].astype(int)
        rows = self.gather(np.pad(mine, (0, sizes.max() - len(mine))))
        return [bytes(row[:n].astype(np.uint8)).decode() for row, n in zip(rows, sizes, strict=True)]


def check_alike(peers: Peers, facts: Mapping[str, object]) -> None:
    """Raise InputError, the same in all processes, unless these facts are equal in all of them."""
    first, *others = map(json.loads, peers.gather_texts(json.dumps(facts)))
    for index, other in enumerate(others, start=1):
        for name, value in first.items():
            if other.get(name) != value:
                raise InputError(
                    f"{name}: process {index} has {other.get(name)}, process 0 has {value}; start all processes of a "
                    "run with the same flags, versions and data"
                )
