"""How processes find each other; runs of several are in tests/training/test_shared_run.py."""

import socket
import subprocess
import sys

import pytest

pytest.importorskip("jax")

from dpm.base.errors import InputError
from dpm.engines.jax import processes
from dpm.engines.jax.processes import _check_free
from tests.helpers.processes import free_port
from tests.helpers.runs import ROOT


def run(code, line=-1):
    """Run code in a process whose JAX has not computed yet; return a line of what it printed, the last one."""
    code = f"from dpm.engines.jax import processes\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    return (done.stdout.splitlines() or [done.stderr])[line]


def test_without_a_launcher_a_process_is_alone():
    assert run("with processes.joined(None, None, None) as index: print(index)") == "0"


def test_a_launcher_that_does_not_answer_is_reported(monkeypatch):
    """As Kubernetes, where the job's account may not list pods."""

    def initialize(**options):
        raise RuntimeError("Kubernetes API Error: 403 -\n  Forbidden")

    monkeypatch.setattr(processes.jax.distributed, "initialize", initialize)
    with pytest.raises(InputError, match=r"the launcher started: Kubernetes API Error: 403 - Forbidden$"):
        processes._connect(None, None, None)


@pytest.mark.parametrize("index", [0, 1])
def test_an_absent_process_is_reported(index):
    """JAX ends the process that waits; its parent says why."""
    code = f"""
from dpm.base.watch import run_watched
from dpm.runs.launch import explain_loss
processes.START = 1
def action():
    with processes.joined("127.0.0.1:{free_port()}", 2, {index}): return 0
print(run_watched("prog", action, lambda *found: print(explain_loss(*found)) or ""))
"""
    assert run(code, -2).startswith("--coordinator: the processes of the run did not all join; ")


@pytest.mark.parametrize("host", ["127.0.0.1", "somewhere"])
def test_a_port_in_use_is_reported(host):
    with socket.create_server(("127.0.0.1" if host != "somewhere" else "", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"--coordinator: port {port} cannot be used"):
            _check_free(host, port)
    _check_free(host, port)
