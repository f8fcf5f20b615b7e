"""A cluster on this machine: reached from it only, one core for each worker, and no process left."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from dpm.base.errors import InputError
from dpm.cluster import local
from dpm.cluster.pool import open_cluster
from tests.helpers import clusters, pieces
from tests.helpers.runs import ROOT


@pytest.fixture(scope="module")
def cluster():
    with open_cluster("local:1") as opened:
        yield opened


def test_everything_listens_on_the_loopback_address(cluster):
    listening = {
        connection.laddr.ip
        for process in (psutil.Process(), *psutil.Process().children(recursive=True))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {local.HOST}
    assert cluster.dashboard.startswith("http://127.0.0.1:")


def test_a_worker_has_one_thread_and_libraries_that_use_one(cluster):
    assert list(cluster.client.nthreads().values()) == [1]
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"]
    found = list(cluster.map(pieces.environment, [], names))
    assert found == [("1", {1})] * 3


def test_a_worker_imports_what_this_process_does(cluster):
    """Also from a folder that is only on sys.path."""
    assert list(cluster.map(pieces.squares, [1], [2])) == [5]


def test_a_port_in_use_is_avoided_and_no_process_is_left(capfd):
    with socket.socket() as taken:
        if taken.connect_ex((local.HOST, local.DASHBOARD_PORT)):
            taken.bind((local.HOST, local.DASHBOARD_PORT))
            taken.listen()
        with open_cluster("local:1") as opened:
            assert not opened.dashboard.endswith(f":{local.DASHBOARD_PORT}/status")
            words = opened.client.scheduler.address
            assert clusters.descendants(words)
    assert clusters.descendants(words) == []
    assert capfd.readouterr() == ("", "")


def test_workers_that_do_not_start_are_one_line(monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    os.chmod(program, 0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with (
        pytest.raises(InputError, match=r"^--cluster local: the workers do not start \(no such thing\)$"),
        open_cluster("local:1"),
    ):
        pass


def test_sigterm_leaves_no_worker_and_no_folder(tmp_path):
    code = """
import sys, time
from dpm.cluster.pool import open_cluster
with open_cluster("local:1"):
    print("ready", flush=True)
    time.sleep(60)
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"ready\n"
        (folder,) = tmp_path.glob("dpm-cluster-*")
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert not folder.exists()
    assert psutil.wait_procs(children, 10)[1] == []
