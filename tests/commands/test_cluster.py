"""`--cluster` of evaluate, sample, parzen and baselines: the same files, or lines, as without it."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dpm.base.pieces import HERE
from dpm.cluster.mapper import open_mapper
from dpm.commands import baselines, evaluate, parzen, reproduce, sample
from dpm.likelihood.density_models import KINDS, choose
from dpm.reports.tables import on_workers, running
from tests.helpers import clusters
from tests.helpers.runs import ROOT, check_help, outcome, refused


@pytest.fixture(scope="module")
def address():
    """Return the file of a scheduler with two workers."""
    with clusters.scheduler() as (address, file, _), clusters.workers(address, 2):
        yield file


def arrays(path):
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize(
    ("main", "words", "name"),
    [
        (evaluate.main, ["--t-per-example", 2], "evaluation"),
        (sample.main, ["--n", 30, "--every", 4], "samples"),
        (sample.main, ["--n", 5, "--mode", "posterior", "--log-r", "gaussian(mean=0.5, sigma=2)", "--particles", 20],
         "samples"),
        (parzen.main, ["--n-samples", 40], "parzen_samples"),
    ],
    ids=["evaluate", "sample", "particles", "parzen"],
)  # fmt: skip
def test_files_are_those_of_one_process(trained, address, tmp_path, capsys, main, words, name):
    folders = tmp_path / "here", tmp_path / "there"
    printed = []
    for folder, more in zip(folders, ([], ["--cluster", address]), strict=True):
        folder.mkdir()
        status, out, err = outcome(capsys, main, trained, "--output-dir", folder, *words, *more)
        assert (status, err) == (0, [])
        printed.append([line.replace(str(folder), "") for line in out])
    here, there = (arrays(folder / f"{name}.npz") for folder in folders)
    assert here.keys() == there.keys()
    for key in here:
        np.testing.assert_array_equal(there[key], here[key])
    assert f"cluster {address}: 2 workers" in printed[1]
    assert [line for line in printed[1] if not line.startswith("cluster ")] == printed[0]
    for file in folders[0].glob("*.json"):
        mine, other = (json.loads((folder / file.name).read_text().replace(str(folder), "")) for folder in folders)
        assert mine == other


@pytest.mark.parametrize("main", [evaluate.main, sample.main, parzen.main])
def test_an_address_that_is_none_is_one_line(trained, tmp_path, capsys, main):
    progs = ("dpm evaluate", "dpm sample", "dpm parzen")
    line = refused(capsys, main, trained, "--output-dir", tmp_path, "--cluster", "local:0", progs=progs)
    assert line.endswith("error: --cluster local:0: got '0' workers; expected local:N with N of 1 or more")
    assert list(tmp_path.iterdir()) == []


def test_samples_of_a_file_need_no_run(address, trained, tmp_path, capsys, data):
    np.savez(tmp_path / "samples.npz", X=np.random.default_rng(0).random((30, 1, 8, 8)))
    words = tmp_path / "samples.npz", "--data-path", data, "--output-dir", tmp_path, "--quiet"
    (here,), (there,) = (outcome(capsys, parzen.main, *words, *more)[1] for more in ([], ["--cluster", address]))
    assert there == here


def without_seconds(lines):
    """Return the lines of a table without its last column, and without the line of the cluster."""
    return [line.rpartition(" ")[0].rstrip() for line in lines if not line.startswith("cluster ")]


def test_the_table_of_baselines_is_that_of_one_process(address, data, capsys):
    pytest.importorskip("sklearn")
    words = "--data-path", data, "--kinds", "mixture", "--floors", 0.1, 0.01
    (here, _), (there, err) = (
        outcome(capsys, baselines.main, *words, *more)[1:] for more in ([], ["--cluster", address])
    )
    assert err == []
    assert f"cluster {address}: 2 workers" in there
    assert without_seconds(there) == without_seconds(here)


@pytest.mark.parametrize("name", ["mixture", "conditional-mixture", "bernoulli-mixture"])
def test_the_choice_of_hyperparameters_has_the_bits_of_one_process(address, name):
    """And the generator is where the next fit expects it, although more was fitted than was used."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    kind = KINDS[name].for_images((1, 4, 4)) if KINDS[name].images else KINDS[name]
    X = (rng.random((80, 16)) < rng.random(16)).astype(float) if kind.bits else rng.standard_normal((80, 16))
    found = []
    with open_mapper(str(address), quiet=True) as cluster:
        for mapper in (HERE, cluster):
            seen, rng = [], np.random.default_rng(1)
            choice = choose(kind, X, 60, rng, lambda *fit, seen=seen: seen.append(fit), mapper)
            found.append((choice, seen, rng.bit_generator.state))
    assert found[0] == found[1]
    assert len(found[0][1]) > 1


@pytest.mark.parametrize(
    ("main", "words", "prog"),
    [(baselines.main, ["--quiet"], "dpm baselines"), (reproduce.main, ["table1"], "dpm reproduce")],
)
def test_no_address_is_one_line_before_anything_is_made(main, words, prog, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, main, *words, "--cluster", "nowhere.json", progs=(prog,))
    assert "--cluster nowhere.json: is no address, and no such file exists; accepted: local, local:N," in line
    assert list(tmp_path.iterdir()) == []


def test_rows_go_to_workers_and_failed_ones_are_on_the_page(tmp_path, address, capsys, monkeypatch):
    """One row fails there, and the other is found as the worker has left it."""
    made = []

    def make_rows(rows, plan, cluster):
        made.extend(row.name for row in rows)
        return {"bark": "no bark here"}

    monkeypatch.setattr(on_workers, "make_rows", make_rows)
    monkeypatch.setattr(running, "make_row", lambda row, plan: {"missing": "made there"})
    words = "table1", "--rows", "bark", "heartbeat", "--small", "--runs", tmp_path, "--results", tmp_path
    status, _, err = outcome(capsys, reproduce.main, *words, "--cluster", address)
    assert (status, made) == (1, ["heartbeat", "bark"])
    text = (tmp_path / "table1.md").read_text()
    assert "| bark | failed: no bark here |" in text
    assert "| heartbeat | made there |" in text
    assert "failed: no bark here" in err


def test_the_threads_of_rows_are_checked(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, reproduce.main, "table1", "--threads", 0, progs=("dpm reproduce",))
    assert line.endswith("--threads: 0 is not accepted; take 1 or more")


@pytest.mark.parametrize("name", ["evaluate", "sample", "parzen", "baselines", "reproduce", "train"])
def test_help_does_not_import_dask(name):
    check_help(name, "--cluster ADDRESS")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "last"),
    [(signal.SIGINT, 130, "dpm sample: stopped"), (signal.SIGTERM, -15, None), (signal.SIGKILL, -9, None)],
)
def test_a_stopped_command_ends_at_once_and_its_workers_too(trained, tmp_path, number, status, last):
    """The workers of a command that was killed notice that their scheduler is gone."""
    words = ["-m", "dpm", "sample", trained, "--n", "1000000", "--output-dir", tmp_path, "--cluster", "local:2"]
    with subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("cluster local:2: 2 workers")
        time.sleep(5)
        (nanny,) = clusters.descendants("-m dask worker")
        workers = nanny.children()
        process.send_signal(number)
        begin = time.monotonic()
        _, err = process.communicate()
        assert time.monotonic() - begin < 3
    assert process.returncode == status
    lines = [line for line in err.splitlines() if " so far" not in line]
    assert lines == ([last] if last else [])
    clusters.wait_for(lambda: not any(p.is_running() and p.status() != "zombie" for p in (nanny, *workers)))
