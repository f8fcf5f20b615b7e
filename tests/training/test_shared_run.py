"""Training on several processes and devices: the numbers of one process, and one end for all."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

pytest.importorskip("jax")

from dpm.commands.train import main as train_main
from dpm.runs import checkpoint
from tests.helpers import runs
from tests.helpers.processes import FLAGS, SINGLE, by_hand, free_port, slurm, start, wait_for

pytestmark = pytest.mark.thorough
EPOCHS = 7  # of three steps each
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def flags(out, data, *more):
    """Flags of a run in a new folder."""
    return runs.arguments(out, data, *FLAGS, "--epochs", EPOCHS, *more)


def single(base, tmp_path, *more):
    """The folder of a run of one process."""
    return runs.train(tmp_path / "single", runs.data(base), *SINGLE, "--epochs", EPOCHS, *more)


def only(folder):
    """The one run folder in a folder."""
    (found,) = folder.iterdir()
    return found


def check_equal(first, second, tolerance):
    """The parameters, relative to the largest of each, and the log to 1e-6, are equal."""
    a, b = runs.parameters(first), runs.parameters(second)
    for name in a:
        assert abs(a[name] - b[name]).max() <= tolerance * max(1, abs(a[name]).max()), name
    for one, other in zip(runs.rows(first), runs.rows(second), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def train_two(out, given, launcher="by hand"):
    """Train on two processes, started by hand or by SLURM."""
    by_slurm = launcher == "slurm"
    started = start(out, [[*given, "--distributed"]] * 2, slurm()) if by_slurm else start(out, by_hand(given))
    assert started.wait() == [0, 0], started.text(0) + started.text(1)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "launcher"), [("float64", "slurm"), ("float32", "by hand")])
def test_two_processes_train_as_one(base, tmp_path, data, quick_runs, dtype, launcher):
    """After 21 steps."""
    two, more = tmp_path / "two", ("--dtype", dtype)
    train_two(two, flags(two, data, *more), launcher)
    check_equal(single(base, tmp_path, *more), only(two), TOLERANCE[dtype])
    check_no_numbers_of_processes(only(two))


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_two_processes_and_one_resume_each_other(base, tmp_path, data, quick_runs, dtype, first):
    """Three steps of each number of processes, next to six steps of one."""
    more, later = ("--dtype", dtype), ["--epochs", 2, "--quiet"]
    if first == 2:
        train_two(tmp_path / "out", flags(tmp_path / "out", data, *more, "--epochs", 1))
        folder = only(tmp_path / "out")
        assert train_main([str(word) for word in ["--resume-file", folder / "checkpoint.h5", *later]]) == 0
    else:
        folder = runs.train(tmp_path / "out", data, *SINGLE, *more, "--epochs", 1)
        train_two(tmp_path / "two", ["--resume-file", folder / "checkpoint.h5", *later])
    check_equal(runs.train(tmp_path / "whole", data, *SINGLE, *more, "--epochs", 2), folder, TOLERANCE[dtype])
    assert len(runs.rows(folder)) == 2


def check_no_numbers_of_processes(folder):
    """The run can be resumed by any number: its settings do not name one."""
    config = json.loads((folder / "config.json").read_text())
    assert not {"distributed", "coordinator", "processes", "process"} & set(config["flags"])
    assert (config["flags"]["updates"], config["flags"]["noise"]) == ("graph", "device")


def test_two_devices_of_one_process_train_as_one(base, tmp_path, data, quick_runs):
    two = tmp_path / "two"
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    started = start(two, [[*flags(two, data, "--dtype", "float64"), "--distributed", "--quiet", "false"]], (devices,))
    assert started.wait() == [0], started.text(0)
    assert "divided among 2 devices of 1 process " in started.text(0)
    check_equal(single(base, tmp_path, "--dtype", "float64"), only(two), 1e-12)


CHOICES = """
import sys
import numpy as np
from dpm.engines.compiled import CompiledModel
from dpm.training.device_loop import DeviceLoop
from tests.helpers import device_loops
from tests.helpers.device_loops import images

CompiledModel.microbatch_size = lambda model, n: 3  # so that each device has several
devices = int(sys.argv[2])
if devices > 1:
    engine = device_loops.Engine
    device_loops.Engine = lambda name, dtype, noise: engine(name, dtype, distributed=True)
for number, options in enumerate((
    {"n_t": 2},
    {"n_t": 2, "dropout_rate": 0.3, "times": "stratified"},
    {"X": images(11), "objective": "balanced"},
    {"faithful": True, "epochs": 1},
)):
    loop = device_loops.train(DeviceLoop, steps=12, noise="device", **options)
    assert loop.peers.n_devices == devices
    np.savez(f"{sys.argv[1]}{number}.npz", **{k.replace("/", "."): v for k, v in device_loops.state(loop).items()})
"""


@pytest.mark.slow
def test_choices_of_training_are_the_same_on_two_devices(tmp_path):
    """Two times of each image, dropout, crops, single times and the microbatches of each device."""
    programs = []
    for devices in (1, 2):
        environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        command = [sys.executable, "-c", CHOICES, str(tmp_path / f"{devices}-"), str(devices)]
        programs.append(subprocess.Popen(command, cwd=runs.ROOT, env=environment))
    assert [program.wait(240) for program in programs] == [0, 0]
    for number in range(4):
        with np.load(tmp_path / f"1-{number}.npz") as one, np.load(tmp_path / f"2-{number}.npz") as two:
            for name in one:
                assert abs(one[name] - two[name]).max() <= 1e-12 * max(1, abs(one[name]).max()), (number, name)


@pytest.mark.slow
def test_a_process_reads_its_own_rows_from_the_disk(base, tmp_path, data, quick_runs):
    """Random crops of images that stay in the file: of two processes, as of one."""
    large = tmp_path / "large"
    large.mkdir()
    runs.write_data(large, runs.pixels(runs.TRAIN, width=11), runs.pixels(runs.TEST, seed=1, width=11))
    more = ("--dtype", "float64", "--in-memory", "no", "--crop", runs.WIDTH, "--epochs", 2)
    two = tmp_path / "two"
    train_two(two, flags(two, large, *more), "slurm")
    check_equal(runs.train(tmp_path / "one", large, *SINGLE, *more), only(two), 1e-12)
    check_no_numbers_of_processes(only(two))


@pytest.mark.slow
def test_a_diverged_run_ends_all_processes(tmp_path, data):
    """With a rate of 1e200 no step after the first is finite; each process says so, and none waits for another."""
    out = tmp_path / "out"
    more = ("--dtype", "float64", "--lr", 1e200, "--warmup", 0, "--max-skipped", 5)
    started = start(out, by_hand(flags(out, data, *more)))
    assert started.wait() == [2, 2]
    for number in range(2):
        assert "error: training diverged: 5 steps in a row were skipped" in started.text(number).splitlines()[-1]


def start_long(tmp_path, data):
    """Start two processes that train longer than the test; wait for the second epoch."""
    out = tmp_path / "long"
    started = start(out, by_hand(flags(out, data, "--dtype", "float64", "--epochs", 10_000, "--ext-every-n", 10_000)))
    wait_for(lambda: any(len(runs.rows(f)) > 1 for f in out.iterdir() if (f / "log.csv").exists()), started)
    return started, only(out)


@pytest.mark.parametrize("target", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_after_sigterm_to_any_process_all_end_with_one_checkpoint(tmp_path, data, target):
    started, folder = start_long(tmp_path, data)
    started.processes[target].send_signal(signal.SIGTERM)
    assert started.wait() == [0, 0]
    assert "stopped; resume it" in started.text(0)
    assert not started.text(1)
    assert sorted(path.name for path in folder.glob("checkpoint*")) == ["checkpoint.h5", "checkpoint_best.h5"]
    step = checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"]
    assert f"step {step}" in started.text(0)


def test_ctrl_c_ends_a_process_that_waits_for_the_others(tmp_path, data):
    started = start(tmp_path / "out", by_hand(flags(tmp_path / "out", data))[:1])
    wait_for(lambda: is_listening(started.processes[0]), started)
    started.processes[0].send_signal(signal.SIGINT)
    assert started.wait(30) == [130]
    assert started.text(0).splitlines()[-1] == "train.py: stopped"


def is_listening(process):
    """True once a child of a process listens at a port."""
    children = psutil.Process(process.pid).children()
    return any(c.status == psutil.CONN_LISTEN for child in children for c in child.net_connections())


def kill_and_resume(base, tmp_path, data, target, delay=0.0):
    """After SIGKILL of one the other says which; the resumed run has the numbers of one never killed."""
    started, folder = start_long(tmp_path, data)
    time.sleep(delay)
    started.processes[target].kill()
    began = time.monotonic()
    statuses = started.wait(60)
    assert time.monotonic() - began < 60
    assert sorted(statuses) == [-signal.SIGKILL, 2]
    (line,) = started.text(1 - target).splitlines()
    assert line == (
        f"train.py: error: process {target} of the run was lost; if it has a checkpoint, --resume-file "
        "auto continues from it, with any number of processes"
    )
    epoch = checkpoint.load(folder / "checkpoint.h5")[0]["state"]["step"] // runs.STEPS
    resume = ["--resume-file", "auto", "--output-dir", folder.parent, "--epochs", epoch + 1, "--quiet"]
    assert train_main([str(word) for word in resume]) == 0
    whole = runs.train(tmp_path / "whole", data, *SINGLE, "--dtype", "float64", "--epochs", epoch + 1)
    check_equal(whole, folder, 1e-12)


def test_a_killed_first_process_is_named_and_the_run_resumes(base, tmp_path, data, quick_runs):
    kill_and_resume(base, tmp_path, data, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_any_killed_process_is_named_and_the_run_resumes(base, tmp_path, data, quick_runs, number):
    """At a random moment of the steps that follow the second epoch."""
    rng = np.random.default_rng(number)
    kill_and_resume(base, tmp_path, data, int(rng.integers(2)), float(rng.uniform(0, 2)))


PROGRAM = """
import sys
import jax, numpy as np
if len(sys.argv) > 2:
    jax.distributed.initialize(sys.argv[2], 2, int(sys.argv[3]))
import dpm
images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
model = dpm.DiffusionModel(spatial_width=8, n_colors=1, trajectory_length=10, n_hidden_conv=2, n_layers_conv=1,
    n_hidden_dense_lower=0, n_layers_dense_upper=1, n_hidden_dense_upper=2)
engine = dpm.Engine("jax", "float64", noise="device", distributed=len(sys.argv) > 2)
run = dpm.train(model, dpm.load(images), engine=engine, updates="graph", noise="device", epochs=2, batch_size=20,
    output_dir=sys.argv[1], plots="few", ext_every_n=1, quiet=True)
K = dpm.bound(run, t_per_example=3, quiet=True).K
print(K, float(dpm.sample(run, 3, quiet=True).sum()), np.abs(run.theta).sum())
"""


@pytest.mark.slow
def test_a_program_of_two_processes_computes_what_one_does(tmp_path):
    """dpm.train, dpm.bound and dpm.sample; the first process writes the run, with samples."""
    out = [tmp_path / name for name in ("one", "two")]
    address = f"127.0.0.1:{free_port()}"
    printed = []
    for folder, more in ((out[0], [[]]), (out[1], [[address, "0"], [address, "1"]])):
        folder.mkdir()
        commands = [[sys.executable, "-c", PROGRAM, str(folder), *words] for words in more]
        started = [subprocess.Popen(command, cwd=runs.ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
        printed += [process.communicate(timeout=240)[0].splitlines()[-1] for process in started]
    one, *two = ([float(word) for word in line.split()] for line in printed)
    for found in two:
        assert found == pytest.approx(one, rel=1e-9)
    assert sorted(runs.files(only(out[0]))) == sorted(runs.files(only(out[1])))
    assert any(name.startswith("samples_t0000") for name in runs.files(only(out[1])))


def test_processes_with_different_seeds_are_refused(tmp_path, data):
    out = tmp_path / "out"
    commands = by_hand(flags(out, data, "--seed", 1))
    started = start(out, [commands[0], [*commands[1], "--seed", 2]])
    assert started.wait() == [2, 2]
    for number in range(2):
        (line,) = started.text(number).splitlines()
        assert line.startswith("train.py: error: --seed: process 1 has 2, process 0 has 1; ")
    assert not list(out.iterdir())


def test_a_port_in_use_is_refused(tmp_path, data):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [*flags(tmp_path / "out", data), "--coordinator", address, "--processes", 2, "--process", 0]
        started = start(tmp_path / "out", [command])
        assert started.wait() == [2]
    (line,) = started.text(0).splitlines()
    assert line.startswith(f"train.py: error: --coordinator: port {address.split(':')[1]} cannot be used (")


REFUSED = {
    "experiment": (["--experiment", "swissroll"], "--experiment swissroll computes its steps on the host"),
    "sfo": (["--optimizer", "sfo"], "--optimizer sfo computes its steps on the host"),
    "updates": (["--updates", "host"], "--distributed contradicts --updates host"),
    "noise": (["--noise", "host"], "--distributed contradicts --noise host"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_choices_of_the_host_are_refused(name):
    """The engine is asked for before any data."""
    from dpm.base.errors import InputError
    from dpm.runs.settings import Settings
    from dpm.training.shared_run import build_shared_engine

    given, message = REFUSED[name]
    settings = Settings.from_arguments(**{given[0].removeprefix("--"): given[1]})
    with pytest.raises(InputError, match=message):
        build_shared_engine(settings)


def test_choices_of_the_host_are_refused_before_other_processes_join(capsys):
    given = ["--updates", "host", "--coordinator", "127.0.0.1:9", "--processes", "2", "--process", "1"]
    assert train_main(given, "train.py") == 2
    assert "--distributed contradicts --updates host" in capsys.readouterr().err


def test_minibatches_that_devices_cannot_divide_are_refused(tmp_path, data):
    out = tmp_path / "out"
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    started = start(out, [[*flags(out, data, "--batch-size", 25), "--distributed"]], (devices,))
    assert started.wait() == [2]
    (line,) = started.text(0).splitlines()
    assert line.startswith(
        "train.py: error: --batch-size: minibatches of 25 examples cannot be divided among 2 devices"
    )
