"""The processes of a distributed run: how they find each other (jax.distributed), and what is said when one is lost."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jax

from dpm.base.errors import InputError
from dpm.base.process import handle_signals, select_heeded
from dpm.base.progress import Progress

HEARTBEAT = 30  # seconds without a sign of life after which a process counts as lost
START = 300  # seconds in which all processes have to be started
END = 24 * 3600  # seconds that a finished process waits for the others, of which the first draws the last plots
LOOPBACK = ("127.0.0.1", "localhost", "::1")

# What the error of a process says whose connection to another one broke (jaxlib 0.10.1).
BROKEN = re.compile(r"gloo|nccl|collective|coordination service", re.IGNORECASE)


@contextmanager
def joined(coordinator: str | None, count: int | None, index: int | None) -> Iterator[int]:
    """Join the processes of a run, and yield the number of this one; at the end wait for the others.

    Args:
        coordinator: HOST:PORT of the first process; None for those that a launcher names, or for one process.
        count: number of processes.
        index: number of this process.

    Where the processes do not find each other within START seconds, JAX ends this one, and dpm.runs.launch says so.

    Raises:
        InputError: the launcher does not answer, the port cannot be used, or another process was lost.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is handled by the training loop
    # JAX waits outside of Python, where a handler of signals would run only afterwards.
    with (
        Progress(desc="waiting for the other processes", delay=5.0),
        handle_signals(signal.SIG_DFL, *select_heeded(signal.SIGINT, signal.SIGTERM)),
    ):
        _connect(coordinator, count, index)
    try:
        yield jax.process_index()
    except InputError:
        raise
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not BROKEN.search(str(error)):
            raise
        # JAX ends this process as soon as it knows which one was lost; dpm.runs.launch then says so.
        time.sleep(2 * HEARTBEAT)
        raise InputError(f"another process of the run was lost ({str(error).splitlines()[0]})") from None
    jax.distributed.shutdown()


def _connect(coordinator: str | None, count: int | None, index: int | None) -> None:
    options: dict[str, Any]
    options = {"initialization_timeout": START, "heartbeat_timeout_seconds": HEARTBEAT, "shutdown_timeout_seconds": END}
    if coordinator is None:
        try:
            with suppress(ValueError):  # no launcher that JAX knows: one process, with all its devices
                jax.distributed.initialize(**options)
        except RuntimeError as error:  # of a launcher's own interface, such as that of Kubernetes
            reason = " ".join(str(error).split())
            raise InputError(
                f"--distributed: JAX cannot find the processes that the launcher started: {reason}"
            ) from None
        return
    host, _, port = coordinator.rpartition(":")
    if index == 0:
        _check_free(host, int(port))
    if host in LOOPBACK:
        options["coordinator_bind_address"] = coordinator
    jax.distributed.initialize(coordinator, count, index, cluster_detection_method="deactivate", **options)


def _check_free(host: str, port: int) -> None:
    """Raise InputError unless the first process can listen at a port."""
    address = (host if host in LOOPBACK else "", port)
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise InputError(
                f"--coordinator: port {port} cannot be used ({error.strerror}); take another one, the same for all "
                "processes"
            ) from None
