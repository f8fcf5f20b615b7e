"""Training runs of several processes on this machine, each started as a user starts it."""

import os
import socket
import subprocess
import sys
import time
from typing import NamedTuple

from tests.helpers.runs import ROOT

# So that the processes neither share the cores of the tests nor wait for plots.
FLAGS = ("--threads", "1", "--plots", "none", "--batch-size", "24")
SINGLE = (*FLAGS, "--updates", "graph", "--noise", "device")  # the same computation in one process


class Started(NamedTuple):
    """Processes, and the files that hold what each printed on stdout and stderr."""

    processes: list
    logs: list

    def wait(self, seconds=240):
        """Wait for all; return their exit statuses."""
        end = time.monotonic() + seconds
        try:
            return [process.wait(max(1, end - time.monotonic())) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()

    def text(self, number):
        """Return what a process printed so far."""
        return self.logs[number].read_text()


def free_port():
    """Return the number of a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, commands, environments=({},)):
    """Start train.py once for each command; each with its environment besides this one, or all with the first."""
    folder.mkdir(exist_ok=True)
    environments = environments * len(commands) if len(environments) == 1 else environments
    processes, logs = [], []
    for number, (command, more) in enumerate(zip(commands, environments, strict=True)):
        logs.append(folder.with_name(f"{folder.name}.log{number}"))
        with logs[-1].open("w") as log:
            environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | more
            command = [sys.executable, str(ROOT / "train.py"), *map(str, command)]
            processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment))
    return Started(processes, logs)


def by_hand(flags, count=2):
    """Return the commands of processes that find each other by --coordinator."""
    address = f"127.0.0.1:{free_port()}"
    return [[*flags, "--coordinator", address, "--processes", count, "--process", i] for i in range(count)]


def slurm(count=2):
    """Return the variables that srun sets for each process of a job on this machine."""
    common = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "SLURM_LOCALID": "0",
        "JAX_COORDINATOR_PORT": str(free_port()),
    }
    return [common | {"SLURM_PROCID": str(i)} for i in range(count)]


def wait_for(condition, started, seconds=180):
    """Wait until a condition holds, as long as all processes run."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert all(process.poll() is None for process in started.processes), started.text(0)
        time.sleep(0.05)
