"""Machine faults: killed runs, full or read-only disks, cold or unusable caches.

Existing files stay intact, training resumes, and the user sees at most one line per fault.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pytensor import config

from dpm.commands.train import main as train_main
from dpm.engines.compiled import CompiledModel
from dpm.runs import checkpoint
from dpm.training import building, monitoring
from tests.helpers import runs
from tests.training.test_exactness import fingerprint

ROOT = Path(__file__).parents[2]
EPOCHS = 4


def resume(out, *flags):
    """Resume the run in an output folder; return the exit status."""
    return train_main(["--resume-file", "auto", "--output-dir", str(out), *map(str, flags)])


@pytest.fixture
def uninterrupted(base, train):
    """Return the fingerprint of an uninterrupted run of EPOCHS."""
    return fingerprint(train("--epochs", EPOCHS))


# ---------------------------------------------------------------------- killed


class StandIn(CompiledModel):
    """NumPy functions in place of the compiled ones, so that a process trains without compiling."""

    def objective(self, batch_size):
        def cost_and_gradient(theta, X, t, N, U, weights):
            gradient = theta * (1 + N.mean()) + X.mean()
            return gradient @ theta, gradient

        return cost_and_gradient

    def costs(self, batch_size):
        return lambda theta, X, t, N, U: (X - N).mean(axis=(1, 2, 3)) * theta.mean()


WITH_STAND_IN = """
import sys
from dpm.training import building
from dpm.commands.train import main as train_main
from tests.training.test_faults import StandIn

building.CompiledModel = StandIn
sys.exit(train_main())
"""


def run_and_kill(program, seconds, arguments):
    """Run a program and kill it `seconds` after its second epoch; the checkpoint of the first exists by then."""
    command = [sys.executable, *program, *map(str, arguments), "--quiet", "false"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        epochs = (line for line in process.stdout if line.startswith("epoch "))
        assert len(list(itertools.islice(epochs, 2))) == 2
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def check_kills(program, number, train, data, tmp_path):
    """Kill a run repeatedly, each time within 0.2 s (about ten epochs, mostly spent writing files)."""
    epochs = 50 + 20 * number
    expected = fingerprint(train("--epochs", epochs))
    (out := tmp_path / "killed").mkdir()
    arguments = runs.arguments(out, data, "--epochs", epochs, "--ext-every-n", 10**6)
    steps = [0]
    for seconds in np.random.default_rng(number).uniform(0, 0.2, number):
        run_and_kill(program, seconds, arguments)
        (folder,) = out.iterdir()
        steps.append(checkpoint.load_run(folder / "checkpoint.h5")[0]["state"]["step"])
        arguments = ["--resume-file", "auto", "--output-dir", out]
    print(f"steps at the kills: {steps}")
    assert all(a < b for a, b in itertools.pairwise(steps))
    assert resume(out) == 0
    assert fingerprint(folder) == expected


@pytest.mark.thorough
def test_run_killed_three_times_ends_like_an_uninterrupted_run(data, train, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "CompiledModel", StandIn)
    check_kills(["-c", WITH_STAND_IN], 3, train, data, tmp_path)


@pytest.mark.slow
def test_run_of_the_model_killed_thirty_times_ends_like_an_uninterrupted_run(data, train, tmp_path):
    check_kills(["train.py"], 30, train, data, tmp_path)


def test_run_killed_before_marking_its_best_checkpoint_marks_it_on_resume(base, data, tmp_path, train, monkeypatch):
    """The last epoch of the shared run is its best, so no later epoch can correct the mark."""
    mark, count = monitoring.mark_best, iter(range(10))

    def kill(folder):
        if next(count) == 1:
            raise KeyboardInterrupt
        mark(folder)

    monkeypatch.setattr(monitoring, "mark_best", kill)
    folder = train(status=130)
    assert checkpoint.load(folder / "checkpoint_best.h5")[0]["state"]["step"] == 3
    monkeypatch.undo()
    runs.share_compiled(monkeypatch)
    runs.without_plots(monkeypatch)
    assert resume(folder.parent) == 0
    assert fingerprint(folder) == fingerprint(runs.trained(base))


# ---------------------------------------------------------------------- disks


@pytest.fixture
def mount(tmp_path):
    """Return a function that calls mount(8), or skips the test; everything is unmounted at the end."""
    mounted = []

    def run(*arguments):
        try:
            subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no command mount")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"mounting is not allowed here: {error.stderr.strip()}")
        mounted.append(arguments[-1])

    yield run
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


class AtStep:
    """Extension that calls an action after step number `step`."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def after_batch(self, loop):
        if loop.state.step == self.step:
            self.action()


def fill(path):
    """Write zeros until the disk is full."""
    with suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def check_after_the_fault(folder, stderr, reason):
    """Check for one warning per failed write (3 epochs and the last attempt) and an intact first checkpoint."""
    log, result, newest = (f"warning: {name}" for name in ("log.csv", "result.json", "checkpoint.h5"))
    *warnings, last = stderr.splitlines()
    assert [line.partition(" was not saved: ")[0] for line in warnings] == [log, result, newest] * (EPOCHS - 1) + [
        newest
    ]
    assert all(reason in line for line in warnings)
    assert last == "not saved: checkpoint.h5, log.csv, result.json; the warnings above say why"
    assert checkpoint.load_run(folder / "checkpoint.h5")[0]["state"]["step"] == runs.STEPS


def test_full_disk_loses_the_new_checkpoint_not_the_old(mount, tmp_path, data, uninterrupted, monkeypatch, capsys):
    """A disk of 1 MB is full from the second epoch on; after making room, the run resumes to the same files."""
    (disk := tmp_path / "disk").mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "none", disk)
    runs.without_plots(monkeypatch, AtStep(runs.STEPS + 1, lambda: fill(disk / "filler")))
    capsys.readouterr()
    assert train_main(runs.arguments(disk, data, "--epochs", EPOCHS)) == 1
    (folder,) = disk.glob("DiffusionModel_*")
    check_after_the_fault(folder, capsys.readouterr().err, "No space left on device")
    assert {path.name for path in folder.iterdir()} == {*uninterrupted, "config.json"}
    (disk / "filler").unlink()
    runs.without_plots(monkeypatch)
    assert resume(disk) == 0
    assert fingerprint(folder) == uninterrupted


def test_read_only_folder_loses_the_new_checkpoint_not_the_old(
    mount, tmp_path, data, uninterrupted, monkeypatch, capsys
):
    (out := tmp_path / "out").mkdir()

    def make_read_only():
        mount("--bind", out, out)
        mount("-o", "remount,bind,ro", out)

    runs.without_plots(monkeypatch, AtStep(runs.STEPS + 1, make_read_only))
    capsys.readouterr()
    assert train_main(runs.arguments(out, data, "--epochs", EPOCHS)) == 1
    (folder,) = out.iterdir()
    check_after_the_fault(folder, capsys.readouterr().err, "Read-only file system")
    subprocess.run(["umount", out], check=True)
    runs.without_plots(monkeypatch)
    assert resume(out) == 0
    assert fingerprint(folder) == uninterrupted


FAILING = """
import resource, sys
from pathlib import Path
import numpy as np
from dpm.runs import checkpoint

path = Path(sys.argv[1])
old = {f"/parameters/{i}": np.arange(500.0) + i for i in range(20)}
new = {name: -value for name, value in old.items()}
checkpoint.save(path, {"n": 1}, new)
size = path.stat().st_size
checkpoint.save(path, {"n": 0}, old)
for k in [0, 1, size - 1, *np.random.default_rng(0).integers(size, size=47)]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(k), resource.RLIM_INFINITY))
    try:
        checkpoint.save(path, {"n": 1}, new)
    except OSError as error:
        assert str(error), k
    else:
        raise AssertionError(k)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    meta, arrays = checkpoint.load(path)
    assert meta == {"n": 0}
    assert all((arrays[name] == value).all() for name, value in old.items())
    assert list(path.parent.iterdir()) == [path]
checkpoint.save(path, {"n": 1}, new)
print(checkpoint.load(path)[0]["n"], size)
"""


def test_write_that_fails_at_any_byte_keeps_the_old_checkpoint_and_no_temporary_file(tmp_path):
    """RLIMIT_FSIZE fails the write at 50 sizes up to the last byte; the next save succeeds without errors."""
    command = [sys.executable, "-c", FAILING, str(tmp_path / "checkpoint.h5")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 ")


# ---------------------------------------------------------------------- caches


def start(folder, data, environment, *flags):
    """Start train.py with its caches in `folder`, unless `environment` overrides them."""
    out = folder / "out"
    out.mkdir(parents=True)
    place = {name: str(folder / "home") for name in ("HOME", "XDG_CACHE_HOME")}
    environment = os.environ | place | {"PYTENSOR_FLAGS": f"base_compiledir={folder / 'compiled'}"} | environment
    command = [sys.executable, "train.py", *runs.arguments(out, data, *flags)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def check_process(base, folder, process):
    """Check for status 0, at most one line on stderr and the numbers of the shared run; return the fingerprint."""
    _, stderr = process.communicate(timeout=600)
    assert (process.returncode, len(stderr.splitlines()) < 2) == (0, True), stderr
    (run,) = (folder / "out").iterdir()
    found = fingerprint(run)
    assert found.items() >= fingerprint(runs.trained(base)).items()
    return found


@pytest.mark.slow
def test_four_concurrent_runs_on_a_cold_cache(base, data, tmp_path):
    shared = {"HOME": tmp_path / "home", "XDG_CACHE_HOME": tmp_path / "home/.cache"}
    shared["PYTENSOR_FLAGS"] = f"base_compiledir={tmp_path / 'compiled'}"
    (tmp_path / "home").mkdir()
    environment = {name: str(value) for name, value in shared.items()}
    processes = {tmp_path / name: start(tmp_path / name, data, environment) for name in "abcd"}
    first, *others = [check_process(base, folder, process) for folder, process in processes.items()]
    assert others == [first] * 3


@pytest.mark.slow
def test_path_without_compilers(base, data, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    check_process(base, tmp_path / "a", start(tmp_path / "a", data, {"PATH": str(tmp_path / "bin")}))


@pytest.mark.slow
def test_home_that_is_not_writable(base, data, tmp_path):
    """HOME cannot even be created. Only JAX works without a cache folder; Matplotlib gets MPLCONFIGDIR."""
    pytest.importorskip("jax")
    nowhere = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "/dev/null/cache", "PYTENSOR_FLAGS": ""}
    nowhere["MPLCONFIGDIR"] = str(tmp_path)
    check_process(base, tmp_path / "a", start(tmp_path / "a", data, nowhere))


@pytest.mark.parametrize("engine", ["numba", "c"])
def test_engine_without_a_writable_cache_names_the_variable_to_set(engine):
    if engine == "c" and not config.cxx:
        pytest.skip("no compiler")
    command = [sys.executable, "-c", f"from dpm.engines.engine import Engine; Engine({engine!r})"]
    environment = os.environ | {"HOME": "/dev/null/home", "PYTENSOR_FLAGS": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"dpm.base.errors.InputError: --backend: {engine!r} ")
    assert all(words in last for words in ("/dev/null/home/.pytensor", "HOME", "base_compiledir="))


@pytest.mark.slow
def test_stale_lock_in_the_compile_folder(base, data, tmp_path):
    """The lock of a process killed while compiling, for the C engine (needs a compiler)."""
    if not shutil.which("g++"):
        pytest.skip("no compiler")
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path / 'compiled'}"}
    command = [sys.executable, "-c", "from pytensor import config; print(config.compiledir)"]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True, check=True)
    (Path(done.stdout.strip()) / ".lock").write_text("1\n")
    process = start(tmp_path / "a", data, flags, "--backend", "c")
    _, stderr = process.communicate(timeout=600)
    assert (process.returncode, stderr) == (0, "")
