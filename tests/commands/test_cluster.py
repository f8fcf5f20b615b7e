"""`--cluster` of evaluate, sample and parzen: the same files as without it."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dpm.commands import evaluate, parzen, sample
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


@pytest.mark.parametrize("name", ["evaluate", "sample", "parzen"])
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
