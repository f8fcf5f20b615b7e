"""Pieces on workers: in order, once each, with the bits of one process; and one line for each failure."""

import gc
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client

import dpm
from dpm.base.errors import InputError
from dpm.base.pieces import HERE
from dpm.cluster import pool, workers
from dpm.cluster.pool import Job, open_cluster, use_cluster
from dpm.runs.loading import open_run
from dpm.runs.samples import draw_samples
from dpm.trajectories import potentials
from dpm.trajectories.products import sample_product
from tests.helpers import clusters, pieces


@pytest.fixture(scope="module")
def scheduler():
    """Return address and file of a scheduler with two workers."""
    with clusters.scheduler() as (address, file, _), clusters.workers(address, 2):
        yield address, file


@pytest.fixture(scope="module")
def two(scheduler):
    """Return the cluster of `scheduler`."""
    with open_cluster(scheduler[0]) as cluster:
        clusters.wait_for(lambda: len(cluster.client.nthreads()) == 2)
        yield cluster


@pytest.fixture(scope="module")
def one():
    with open_cluster("local:1") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def idle():
    """Return the address of a scheduler without workers."""
    with clusters.scheduler() as (address, _, _):
        yield address


# ------------------------------------------------------------------ in order, once each


def test_results_come_in_order_and_the_work_is_reported_once(two):
    reported = []
    assert list(two.map(pieces.squares, [1], range(50), reported.append)) == [n**2 + 1 for n in range(50)]
    assert sum(reported) == sum(range(50))
    first_is_slowest = [0.4, 0.0, 0.0, 0.0]
    found = list(two.map(pieces.sleep, [], first_is_slowest))
    assert len(found) == 4
    assert len(set(found)) == 2  # both workers had a piece


def test_no_pieces_have_no_results(two):
    assert list(two.map(pieces.squares, [1], [])) == []


def test_a_task_takes_some_seconds_and_leaves_pieces_for_other_workers(two, monkeypatch):
    monkeypatch.setattr(two, "count_workers", lambda: 2)
    job = Job(two, pieces.squares, [0], list(range(1000)), print)
    assert len(job.take().pieces) == 1  # the time of a piece is not known
    job.note_time(0.5)
    job.note_time(1.0)
    assert len(job.take().pieces) == pool.TASK_SECONDS / 0.5
    job.note_time(1e-3)
    assert len(job.take().pieces) == -(-979 // 4)
    while job.begin < 1000:
        last = job.take()
    assert len(last.pieces) == 1


def test_an_error_of_the_user_keeps_its_text_and_ends_the_job(two):
    with pytest.raises(InputError, match=r"^piece: got 2; expected another$"):
        list(two.map(pieces.fail, [], range(4)))
    assert list(two.map(pieces.squares, [0], [3])) == [9]


def test_a_job_that_is_left_releases_its_tasks(two):
    results = two.map(pieces.sleep, [], [0.0] * 40)
    next(results)
    results.close()
    clusters.wait_for(lambda: not [key for key in two.client.futures if str(key).startswith("sleep")])


# ------------------------------------------------------------------ the same bits


def test_the_mapper_of_a_run_is_the_cluster_within_the_block(trained, scheduler):
    run = open_run(trained)
    with use_cluster(str(scheduler[1]), run) as cluster:
        assert run.compiled.mapper is cluster
    assert run.compiled.mapper is HERE


#: What a cluster computes of a run of images: functions of the run that return arrays by name.
ESTIMATES = {
    "evaluate": lambda run: dpm.evaluate(run, t_per_example=3, quiet=True).arrays,
    "every t": lambda run: dpm.evaluate(run, t_per_example="all", quiet=True).arrays,
    "trajectories": lambda run: dpm.evaluate(run, run.data()[:2], trajectories=30, batch_size=10, quiet=True).arrays,
    "reference": lambda run: dpm.evaluate(run, run.data(), "reference-2015", draws=9, batch_size=5, quiet=True).values,
    "sample": lambda run: {"X": dpm.sample(run, 130, quiet=True)},
    "inpaint": lambda run: {"X": dpm.inpaint(run, images_of(run), np.arange(8) >= 4, 30, quiet=True)},
    "denoise": lambda run: {"X": dpm.denoise(run, images_of(run), 0.5, quiet=True)},
    "chain": lambda run: {"X": draw_samples(run, 10, 0, log_r=log_r_of(run)).X},
    "particles": lambda run: sample_product(run.compiled, run.theta, log_r_of(run), 20, 5, "end")._asdict(),
}


def images_of(run):
    return run.scaling.inverse(run.data())


def log_r_of(run):
    return potentials.build("gaussian", {"mean": 0.5, "sigma": 2.0}, (1, 8, 8), run.scaling, False)


def check_bits(checkpoint, cluster, names, *options, **more):
    """Check that a cluster computes the bits of one process."""
    here, there = (open_run(checkpoint, *options, **more) for _ in range(2))
    there.compiled.mapper = cluster
    for name in names:
        expected, found = ESTIMATES[name](here), ESTIMATES[name](there)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value, err_msg=f"{name} {key}")


def test_all_figures_have_the_bits_of_one_process(trained, two):
    check_bits(trained, two, [name for name in ESTIMATES if name != "chain"], threads=1)


def test_microbatches_are_those_of_the_threads_here(trained, one):
    """Of two threads, on a worker of one."""
    check_bits(trained, one, ["evaluate", "sample"], threads=2)


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="loops on the device need JAX")
def test_loops_of_the_device_have_the_bits_of_one_process(trained, two):
    check_bits(trained, two, ["evaluate", "sample"], noise="device")


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["one", "two"])
@pytest.mark.parametrize(
    ("engine", "threads", "noise"),
    [("jax", 1, "host"), ("jax", 2, "host"), ("jax", 1, "device"), ("jax", 2, "device"), ("numba", 2, "host")],
)
def test_any_engine_and_noise_have_the_bits_of_one_process(trained, request, cluster, engine, threads, noise):
    check_bits(trained, request.getfixturevalue(cluster), ESTIMATES, engine, threads, noise=noise)


def test_a_model_of_the_users_runs_on_a_cluster(two):
    """Its class and its r(x) are in no module that a worker can import."""

    class Mine(dpm.DiffusionModel):
        pass

    data = dpm.load((np.random.default_rng(0).random((40, 1, 8, 8)), np.random.default_rng(1).random((10, 1, 8, 8))))
    run = dpm.train(
        Mine(8, 1, trajectory_length=5, n_hidden_conv=2, n_layers_conv=1, n_layers_dense_lower=0), data, epochs=1
    )
    here = dpm.sample(run, 10, quiet=True)
    run.compiled.mapper = two
    np.testing.assert_array_equal(dpm.sample(run, 10, quiet=True), here)


# ------------------------------------------------------------------ workers that die


def killed_in_the_middle(times, seconds=0.5):
    """Return the results of pieces during which workers are killed, and how many were."""
    killed = []

    def kill():
        while len(killed) < times:
            time.sleep(seconds)
            if clusters.kill_one():
                killed.append(1)

    with open_cluster("local:2") as cluster:
        killer = threading.Thread(target=kill)
        killer.start()
        reported, found = [], []
        while len(killed) < times:
            found.append(list(cluster.map(pieces.sleep, [], [0.1] * 20, reported.append)))
        killer.join()
        assert sum(reported) == 20 * len(found)
        return found, len(killed)


def test_the_pieces_of_a_killed_worker_are_computed_again_once(capfd):
    found, killed = killed_in_the_middle(1)
    assert killed == 1
    assert {len(results) for results in found} == {20}
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_ten_kills_do_not_change_the_result(trained):
    run = open_run(trained)
    here = dpm.evaluate(run, t_per_example="all", quiet=True).arrays["kl"]
    killed = []

    def kill():
        while len(killed) < 10:
            time.sleep(1)
            if clusters.kill_one():
                killed.append(1)

    with use_cluster("local:2", run):
        killer = threading.Thread(target=kill)
        killer.start()
        while killer.is_alive():
            np.testing.assert_array_equal(dpm.evaluate(run, t_per_example="all", quiet=True).arrays["kl"], here)
        killer.join()
    assert len(killed) == 10


def test_a_task_with_which_every_worker_dies_is_given_up():
    submitted = []

    class Future:
        status = "error"

        def add_done_callback(self, call):
            call(self)

        def result(self, timeout):
            from distributed.scheduler import KilledWorker

            raise KilledWorker("sleep", SimpleNamespace(address="tcp://a:1"), 3)

        def release(self):
            pass

    class Cluster:
        name, count_workers, pack = "local:1", staticmethod(lambda: 1), staticmethod(workers.pack)

        def submit(self, *task):
            submitted.append(task)
            return Future()

    with pytest.raises(InputError, match=r"^--cluster local:1: 4 workers died .*, the last one tcp://a:1; .* memory"):
        list(Job(Cluster(), pieces.sleep, [], [1.0], print).run())
    assert len(submitted) == pool.MOST_LOSSES + 1


def test_all_workers_lost_is_one_line(idle, monkeypatch, capfd):
    monkeypatch.setattr(pool, "LOST", 1.5)
    with clusters.workers(idle, 1) as processes, open_cluster(idle) as cluster:
        results = cluster.map(pieces.sleep, [], [0.01, 60, 60])
        next(results)
        processes[0].kill()
        with pytest.raises(InputError, match=rf"^--cluster {idle}: all workers were lost, for 1.5 s; start some"):
            next(results)
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------ clusters that cannot be used


def refused(address, words, capfd):
    """Check that a cluster is refused by one line and nothing is on the console."""
    with pytest.raises(InputError, match=words) as found, open_cluster(address):
        pass
    assert "\n" not in str(found.value)
    assert capfd.readouterr() == ("", "")


def test_an_address_where_nobody_answers_is_refused(monkeypatch, capfd):
    monkeypatch.setattr(pool, "CONNECT", 0.5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        refused(address, rf"^--cluster {address}: no scheduler answers \(Timed out.*\); start one with: dask", capfd)


def test_a_server_that_is_no_scheduler_is_refused(monkeypatch, capfd):
    monkeypatch.setattr(pool, "ANSWER", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        refused(address, r": no scheduler answers \(", capfd)


def test_a_refused_client_is_closed(monkeypatch, capfd):
    """An open client is closed when it is garbage collected, which can deadlock on a lock that its thread holds."""
    monkeypatch.setattr(pool, "CONNECT", 0.2)
    for address in ("tcp://127.0.0.1:1", "tls://127.0.0.1:1"):
        refused(address, "no scheduler answers", capfd)
    clients = [found for found in gc.get_objects() if isinstance(found, Client)]
    assert [found.status for found in clients if found.status not in ("closed", "running", "newly-created")] == []
    assert [found for found in threading.enumerate() if found.name == "connect"] == []


def test_the_address_of_a_worker_is_refused(two, capfd):
    address = next(iter(two.client.nthreads()))
    refused(address, r"no scheduler answers \(what listens there is no scheduler\)", capfd)


def test_tls_without_certificates_is_refused(capfd):
    refused("tls://127.0.0.1:1", r"no scheduler answers.*certificates of distributed.comm.tls in Dask's conf", capfd)


def test_a_cluster_without_workers_is_refused(idle, monkeypatch, capfd):
    monkeypatch.setattr(pool, "FIRST_WORKER", 0.5)
    refused(idle, rf"has no workers, after 0.5 s; start some with: dask worker {idle} --nthreads 1$", capfd)


def test_a_worker_of_other_versions_is_refused_by_its_address(scheduler, monkeypatch, capfd):
    monkeypatch.setattr(workers, "PACKAGES", (*workers.PACKAGES, "h5py"))  # in this process
    refused(scheduler[0], r"^--cluster: worker tcp://127.0.0.1:\d+ has h5py none; expected 3.*, as here", capfd)


def test_a_worker_that_joins_later_with_other_versions_is_refused(two, monkeypatch):
    monkeypatch.setattr(two, "_expected", workers.versions() | {"jax": "0.1"})
    with pytest.raises(InputError, match=r"^--cluster: worker tcp://127.0.0.1:\d+ has jax .*; expected 0.1, as here"):
        list(two.map(pieces.squares, [0], [1]))


def test_a_worker_without_dpm_is_refused_by_its_address(idle, tmp_path, capfd):
    (tmp_path / "dpm").mkdir()
    (tmp_path / "dpm" / "__init__.py").write_text("raise ModuleNotFoundError('No module named dpm')")
    with clusters.workers(idle, 1, env={"PYTHONPATH": str(tmp_path)}):
        refused(idle, r"^--cluster: worker tcp://.* cannot use dpm \(.*No module named dpm.*\); expected dpm", capfd)


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"^--cluster local: needs Dask \(.*\); pip install '\.\[cluster\]'$"), \
            open_cluster("local"):  # fmt: skip
        pass


def test_a_scheduler_that_ends_is_one_line(capfd):
    with clusters.scheduler() as (address, _, process), clusters.workers(address, 1), open_cluster(address) as cluster:
        results = cluster.map(pieces.sleep, [], [0.01, 60, 60])
        next(results)
        process.kill()
        with pytest.raises(InputError, match=rf"^--cluster {address}: the scheduler was lost; start it"):
            next(results)
    assert capfd.readouterr() == ("", "")


def test_the_certificates_of_dasks_configuration_are_used(tmp_path):
    """Without them the same scheduler is out of reach."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    try:
        made = subprocess.run([*command.split(), "-keyout", key, "-out", certificate], capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate")
    assert made.returncode == 0, made.stderr
    import dask

    names = {"ca-file": certificate} | {
        f"{role}.{part}": file
        for role in ("scheduler", "worker", "client")
        for part, file in (("key", key), ("cert", certificate))
    }
    settings = {f"distributed.comm.tls.{name}": str(file) for name, file in names.items()}
    env = {f"DASK_{name.upper().replace('-', '_').replace('.', '__')}": file for name, file in settings.items()}
    with (
        clusters.scheduler("--protocol", "tls", env=env) as (address, _, _),
        clusters.workers(address, 1, env=env),
        dask.config.set(settings),
        open_cluster(address) as cluster,
    ):
        assert address.startswith("tls://")
        assert list(cluster.map(pieces.squares, [0], [3])) == [9]
        assert os.getpid() not in cluster.map(pieces.sleep, [], [0.0])


def test_shared_objects_of_long_ago_are_released(two, monkeypatch):
    monkeypatch.setattr(workers, "MOST_OBJECTS", 2)
    for number in range(5):
        assert list(two.map(pieces.squares, [number], [3])) == [9 + number]
    assert len(two._packed) == len(two._shared) == 2
