"""A cluster on this machine: a scheduler in this process, and workers of one thread in processes of their own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from dpm.base.errors import InputError
from dpm.cluster.workers import ONE_CORE

HOST = "127.0.0.1"
DASHBOARD_PORT = 8787  # Dask's own; another one if it is in use
START = 120  # seconds that workers may take to start on a busy machine
ORPHAN = 15  # seconds after which a worker without its scheduler ends
# Dask looks at itself 50 to 100 times a second, which takes 3 % of a core in each of its processes.
SELDOM = {
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "30s",
    "distributed.worker.profile.enabled": "False",
}
ENVIRONMENT = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} | ONE_CORE
ENVIRONMENT |= {f"DASK_{name.upper().replace('.', '__')}": value for name, value in SELDOM.items()}


class LocalCluster:
    """Scheduler and workers that nobody but this machine reaches.

    The workers are started by `dask worker`, and not by multiprocessing, which would run the user's script again. Their
    nanny starts a worker again that was killed.

    Args:
        n_workers: number of workers.

    Attributes:
        address: address of the scheduler.

    Raises:
        InputError: the scheduler cannot be started.
    """

    def __init__(self, n_workers: int) -> None:
        import dask
        from distributed import LocalCluster as DaskCluster
        from distributed import Security

        self.n_workers = n_workers
        security = Security()
        try:
            with warnings.catch_warnings(), dask.config.set(SELDOM):
                warnings.simplefilter("ignore")  # of a port in use, for which another one is taken
                self.scheduler = DaskCluster(
                    n_workers=0,
                    host=HOST,
                    protocol="tls://" if security.require_encryption else "tcp://",
                    security=security,
                    dashboard_address=f"{HOST}:{DASHBOARD_PORT}",
                    silence_logs=False,
                )
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"--cluster local: the scheduler cannot start ({error})") from None
        self.address = str(self.scheduler.scheduler_address)
        self.folder = Path(tempfile.mkdtemp(prefix="dpm-cluster-"))
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        """Start the workers, in a session of their own, so that Ctrl-C reaches this process first."""
        options: dict[str, Any] = {
            "host": HOST,
            "nworkers": self.n_workers,
            "nthreads": 1,
            "memory-limit": 0,
            "death-timeout": ORPHAN,
            "local-directory": self.folder,
            "dashboard-address": f"{HOST}:0",  # of figures for a monitor, which are served without a dashboard too
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "dask", "worker", self.address, "--no-dashboard", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | ENVIRONMENT | {"PYTHONPATH": path},
                start_new_session=True,
            )

    def wait(self, client: Any) -> None:
        """Wait until all workers are there; raise InputError if they do not start."""
        end = time.monotonic() + START
        while len(client.nthreads()) < self.n_workers:
            if self.process.poll() is not None or time.monotonic() > end:
                lines = (self.folder / "log").read_text(errors="replace").split("\n")
                last = next((line for line in reversed(lines) if line.strip()), "no output")
                raise InputError(f"--cluster local: the workers do not start ({last})")
            time.sleep(0.05)

    def close(self) -> None:
        """End all processes at once: workers hold nothing that is needed again."""
        if hasattr(self, "process"):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.scheduler.close()
        shutil.rmtree(self.folder, ignore_errors=True)
