"""How the processes of a training run find each other: --distributed, --coordinator, --processes, --process, --cluster.

These flags are not settings of the run, which any number of processes can resume.
"""

import re
from typing import Any, NamedTuple

from dpm.base.errors import InputError
from dpm.base.wording import plural
from dpm.runs.setting_checks import FROZEN
from dpm.runs.settings import Settings

# What JAX writes when it ends this process since another one was lost, or did not come (jaxlib 0.10.1).
LOST = re.compile(r"tasks are unhealthy[^\n]*\n((?:[\d,\s]|/job:\S+)+)")
LOST_FIRST = "to coordination service"
ABSENT = "CoordinationService/RegisterTask"

DISTRIBUTED = ("distributed", "coordinator", "processes", "process")
FLAGS = (*DISTRIBUTED, "cluster")


class Launch(NamedTuple):
    """The processes of a run; without an address, those that the launcher has started (SLURM, Open MPI, Kubernetes).

    Attributes:
        coordinator: HOST:PORT at which the first process listens, or None.
        processes: number of processes, or None.
        process: number of this process, from 0, or None.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def take_launch(given: dict[str, Any]) -> tuple[Launch | None, dict[str, Any]]:
    """Return the Launch of a command line, None for a process of its own, and the other flags.

    Raises:
        InputError: a value is not accepted, or one of three is missing.
    """
    settings = {key: value for key, value in given.items() if key not in DISTRIBUTED}
    chosen = {key: given[key] for key in DISTRIBUTED[1:] if given.get(key) is not None}
    if not chosen:
        return (Launch() if given.get("distributed") else None), settings
    if missing := [key for key in DISTRIBUTED[1:] if key not in chosen]:
        raise InputError(
            f"--{missing[0]}: is missing; expected --coordinator HOST:PORT --processes N --process I together, or "
            "--distributed under a launcher"
        )
    if given.get("distributed") is False:
        raise InputError("--distributed false contradicts --coordinator; leave one out")
    _check(**chosen)
    return Launch(**chosen), settings


def take_cluster(given: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the address of --cluster, None for none, and the other flags.

    Raises:
        InputError: the run is distributed too.
    """
    others = {key: value for key, value in given.items() if key != "cluster"}
    if (address := given.get("cluster")) is not None and (
        found := [key for key in DISTRIBUTED if others.get(key) not in (None, False)]
    ):
        raise InputError(
            f"--cluster {address} contradicts --{found[0]}, which divides minibatches among processes; leave one out"
        )
    return address, others


def _check(coordinator: str, processes: int, process: int) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            f"--coordinator: got {coordinator!r}; expected HOST:PORT of the first process, as 10.0.0.1:1234"
        )
    if processes < 1:
        raise InputError(f"--processes: got {processes}; expected 1 or more")
    if not 0 <= process < processes:
        raise InputError(f"--process: got {process}; expected 0 to {processes - 1}, another one for each process")


def check_choices(settings: Settings) -> None:
    """Raise InputError if the settings compute or draw something on the host, where it cannot be divided."""
    if settings.toy or settings.optimizer in FROZEN:
        choice = f"--experiment {settings.experiment}" if settings.toy else f"--optimizer {settings.optimizer}"
        raise InputError(
            f"--distributed: {choice} computes its steps on the host; leave --distributed out, or train images with "
            "adam or rmsprop"
        )
    for key in ("updates", "noise"):
        if getattr(settings, key) == "host":
            raise InputError(
                f"--distributed contradicts --{key} host: each device updates the parameters and draws the noise of "
                "its own examples; leave one out (a run keeps the noise that it was started with)"
            )


def explain_loss(signal: str, log: str) -> str:
    """Return which process of a run was lost, and how to go on.

    Args:
        signal: name of the signal that ended this process.
        log: what JAX wrote before.
    """
    if ABSENT in log:
        return (
            "--coordinator: the processes of the run did not all join; start each of them once, with one address of "
            "process 0 that all of them can reach"
        )
    found = LOST.search(log)
    if found:
        numbers = re.findall(r"\d+", found[1])
        verb = "was" if len(numbers) == 1 else "were"
        lost = f"{plural(len(numbers), 'process')} {', '.join(numbers)} of the run {verb} lost"
    elif LOST_FIRST in log:
        lost = "process 0 of the run was lost"
    else:
        lost = f"this process of the run was ended by {signal}"
    return f"{lost}; if it has a checkpoint, --resume-file auto continues from it, with any number of processes"
