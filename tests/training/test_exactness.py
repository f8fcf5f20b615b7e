"""Runs are reproducible bit for bit: after a stop at any batch, in another process, with and without plots."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dpm import viz
from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.extensions import standard_extensions
from dpm.runs import checkpoint
from dpm.runs.setting_checks import FROZEN, OPTIMIZERS
from dpm.training import building
from dpm.training import run as training
from tests.helpers import runs
from tests.training.test_frozen_loop import StopWithin
from tests.training.test_resume import Stop, log

ROOT = Path(__file__).parents[2]
EPOCHS, STEPS = 4, 4  # batches, or subfunctions, of 15 images
STOPS = 10
WITH_SAMPLES = """
import sys
import pytest
from dpm.commands.train import main as train_main
from dpm.extensions import PlotEntropies, PlotSamples
from tests.helpers import runs

runs.without_plots(pytest.MonkeyPatch(), keep=(PlotEntropies, PlotSamples))
sys.exit(train_main())
"""


def fingerprint(folder):
    """Return {file name: SHA-256 of its content} of a run, ignoring times and config.json, which names folders."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "config.json"]
    return {path.name: hashlib.sha256(content(path)).hexdigest() for path in paths}


def content(path):
    """Return the bytes of a file that must be reproducible: logs and checkpoints without their times."""
    if path.name == "log.csv":
        return json.dumps(log(path.parent)).encode()
    if path.suffix != ".h5":
        return path.read_bytes()
    meta, arrays = checkpoint.load_run(path)
    state = meta["state"]
    state |= {"seconds": 0, "rows": [row | {"seconds": 0} for row in state["rows"]]}
    parts = [json.dumps([state, meta["model"]]).encode()]
    for name, array in arrays.items():
        parts += [f"{name} {array.dtype} {array.shape}".encode(), array.tobytes()]
    return b"\n".join(parts)


def check_stops(tmp_path, data, monkeypatch, optimizer, engine, *choices):
    """Stop a run at each of STOPS batches, resume it, and compare all files with those of an uninterrupted run."""
    runs.share_compiled(monkeypatch)
    cut = ["--n-subfunctions", STEPS] if optimizer in FROZEN else ["--batch-size", runs.TRAIN // STEPS]
    arguments = ["--data-path", data, "--model-args", runs.MODEL, "--quiet", "--epochs", EPOCHS, *cut]
    arguments += ["--optimizer", optimizer, "--backend", engine, *choices]

    def train(name, *extensions):
        runs.without_plots(monkeypatch, *extensions)
        (tmp_path / name).mkdir()
        assert train_main([str(a) for a in (*arguments, "--output-dir", tmp_path / name)]) == 0
        (folder,) = (tmp_path / name).iterdir()
        return folder

    expected = fingerprint(train("uninterrupted"))
    assert set(expected) == {"checkpoint.h5", "checkpoint_best.h5", "log.csv", "result.json"}
    rng = np.random.default_rng(OPTIMIZERS.index(optimizer))
    steps = rng.choice(np.arange(1, EPOCHS * STEPS), STOPS, replace=False)
    for step in steps:
        folder = train(f"stopped{step}", (StopWithin if optimizer in FROZEN else Stop)(step))
        path = folder / "checkpoint.h5"
        # L-BFGS repeats an incomplete pass; a stop within the first pass returns to the initial state.
        reached = step // STEPS * STEPS if optimizer == "lbfgs" else step
        assert checkpoint.load_run(path)[0]["state"]["step"] == reached
        runs.without_plots(monkeypatch)
        assert train_main(["--resume-file", str(path)]) == 0
        assert fingerprint(folder) == expected, f"stopped at step {step}"


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_run_resumed_from_any_batch_writes_the_files_of_an_uninterrupted_run(tmp_path, data, monkeypatch, optimizer):
    check_stops(tmp_path, data, monkeypatch, optimizer, "auto")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("optimizer", "choices"),
    [
        ("adam", "--times importance --objective balanced-then-K --lr-schedule cosine --warmup 3 --ema 0.9"),
        ("rmsprop", "--times importance --lr-schedule linear --ema 0.5 --dropout-rate 0.1"),
        ("sfo", "--times importance --objective balanced --refresh-noise 2"),
        ("lbfgs", "--objective balanced"),
    ],
)
def test_choices_of_training_resume_exactly(tmp_path, data, monkeypatch, optimizer, choices):
    """Sizes of the terms, averaged parameters and the position in the schedule are in the checkpoint."""
    check_stops(tmp_path, data, monkeypatch, optimizer, "auto", *choices.split())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_run_resumed_on_each_engine_writes_the_files_of_an_uninterrupted_run(
    tmp_path, data, monkeypatch, optimizer, engine_name
):
    check_stops(tmp_path, data, monkeypatch, optimizer, engine_name)


@pytest.mark.slow
def test_resumed_run_makes_the_same_plots_in_its_last_epoch(base, tmp_path, data, monkeypatch):
    """The run is stopped in the second of two epochs and makes all plots after it resumes."""
    runs.share_compiled(monkeypatch)
    runs.without_plots(monkeypatch, Stop(4))
    folder = runs.train(tmp_path / "out", data, "--ext-every-n", 1, "--plots", "all")
    monkeypatch.setattr(training, "standard_extensions", standard_extensions)
    # PlotInternalState knows its names only if it compiles the graph itself.
    monkeypatch.setattr(building, "CompiledModel", CompiledModel)
    assert train_main(["--resume-file", str(folder / "checkpoint.h5")]) == 0
    expected = fingerprint(runs.complete(base)[0])
    found = fingerprint(folder)
    assert found == {name: value for name, value in expected.items() if "batch000003" not in name}
    assert sum(name.endswith(".png") for name in found) > 30
    assert sum(name.endswith(".npz") for name in found) > 15


@pytest.mark.thorough
def test_two_processes_with_different_hash_seeds_write_the_same_files(data, tmp_path):
    """PYTHONHASHSEED=0 and =1, including the samples and entropies of the last epoch."""
    processes = []
    for seed in "01":
        (tmp_path / seed).mkdir()
        command = [sys.executable, "-c", WITH_SAMPLES, *runs.arguments(tmp_path / seed, data, "--epochs", 1)]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}))
    assert [process.wait(120) for process in processes] == [0, 0]
    first, second = (fingerprint(folder) for out in "01" for folder in (tmp_path / out).iterdir())
    assert first == second
    assert {"checkpoint.h5", "log.csv", "samples_t0000_batch000003.npz", "entropies_batch000003.png"} <= set(first)


def random_states():
    """Return the states of the global generators of NumPy and Python."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return name, keys.tobytes(), rest, random.getstate()


@pytest.fixture(scope="module")
def plotted(base):
    """Return (folder, random states before, after training) of a run with plots before it and after each epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            viz, "plot_parameter", lambda *a: None
        )  # its values are computed, but plotting would take most of the time
        Engine()  # importing a library for the first time may draw random numbers
        before = random_states()
        folder = runs.train(
            base / "exactness-plotted", runs.data(base), "--plot-before-training", "true", "--ext-every-n", 1
        )
        return folder, before, random_states()


@pytest.mark.thorough
def test_training_and_sampling_do_not_touch_the_global_generators(plotted, tmp_path, monkeypatch):
    folder, before, after = plotted
    assert before == after
    runs.share_compiled(monkeypatch)
    assert sample_main([str(folder / "checkpoint.h5"), "--output-dir", str(tmp_path), "--n", "20", "--quiet"]) == 0
    assert random_states() == after
    random.random()
    assert random_states() != after


def test_plots_do_not_change_the_numbers(base, plotted):
    """Plots before training and after each epoch leave log, parameters and optimizer state as without plots."""
    with_plots, without = fingerprint(plotted[0]), fingerprint(runs.trained(base))
    assert {name: with_plots[name] for name in without} == without
    assert {"samples_t0000_batch000000.png", "samples_t0000_batch000003.png"} <= set(with_plots)
