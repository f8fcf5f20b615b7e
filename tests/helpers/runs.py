"""Small training runs that tests share: tiny data, a tiny model, functions compiled once for all of them."""

import csv
import functools
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from dpm.commands.train import main as train_main
from dpm.datasets import write_hdf5
from dpm.engines.compiled import CompiledModel
from dpm.engines.graph_cache import model_facts
from dpm.extensions import standard_extensions
from dpm.runs import checkpoint, loading
from dpm.training import building
from dpm.training import run as training
from dpm.training.monitoring import EveryN

ROOT = Path(__file__).parents[2]
WIDTH, TRAIN, TEST, BATCH = 8, 60, 20, 25
STEPS = 3  # an epoch of 60 images has batches of 25, 25 and 10
T = 10
MODEL = (
    f"trajectory_length={T},n_hidden_conv=2,n_layers_conv=1,n_hidden_dense_lower=4,n_layers_dense_lower=1,"
    "n_hidden_dense_upper=3,n_temporal_basis=2"
)
# A run whose learning rate does not end with it can be resumed for longer.
CONSTANT_RATE = ("--lr-schedule", "constant", "--warmup", 0)
LABELS = {"features": ("batch", "channel", "height", "width")}


def pixels(n, seed=0, width=WIDTH, colors=1):
    """Return random 8-bit images, shape (n, colors, width, width)."""
    return np.random.default_rng(seed).integers(0, 256, (n, colors, width, width), dtype=np.uint8)


def write_data(folder, train, test, name="mnist.hdf5"):
    """Write a data set of the given images; return its file."""
    write_hdf5(folder / name, {"train": {"features": train}, "test": {"features": test}}, LABELS)
    return folder / name


@functools.cache
def data(base):
    """Return the folder of the data of all runs; base: temporary folder of the session, here and below."""
    folder = base / "runs-data"
    folder.mkdir()
    write_data(folder, pixels(TRAIN), pixels(TEST, seed=1))
    return folder


@functools.cache
def trained(base):
    """Return the folder of a shared run of two epochs without plots; do not write to it."""
    with pytest.MonkeyPatch.context() as patch:
        share_compiled(patch)
        without_plots(patch)
        return train(base / "runs-trained", data(base))


@functools.cache
def complete(base):
    """Return (folder, stdout, stderr) of a shared run of two epochs with all plots; do not write to it."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        share_compiled(patch)
        folder = train(base / "runs-complete", data(base), "--ext-every-n", 1, "--plots", "all", "--quiet", "false")
    return folder, out.getvalue(), err.getvalue()


def arguments(out, data_path, *more):
    """Return the arguments of train.py; of a repeated flag the last value counts."""
    flags = ["--data-path", data_path, "--output-dir", out, "--model-args", MODEL, "--batch-size", BATCH]
    constant = () if {"--faithful", "sfo", "lbfgs"} & set(more) else CONSTANT_RATE
    return [str(a) for a in (*flags, *constant, "--epochs", 2, "--quiet", *more)]


def train(out, data_path, *more, status=0):
    """Train in the new or empty folder `out`, check the exit status and return the run folder."""
    out.mkdir(exist_ok=True)
    assert train_main(arguments(out, data_path, *more)) == status
    (folder,) = out.iterdir()
    return folder


def outcome(capsys, main, *given):
    """Run a command; return (status, lines of stdout, lines of stderr)."""
    capsys.readouterr()
    try:
        status = main([str(a) for a in given])
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err.splitlines()


def refused(capsys, main, *given, progs=("dpm train", "dpm sample")):
    """Run a command that must fail; check status and prefix and return its one error line."""
    status, out, (line,) = outcome(capsys, main, *given)
    assert (status, out) == (2, [])
    assert line.startswith(tuple(f"{prog}: error: " for prog in progs))
    return line


def check_help(name, option):
    """Check that `dpm NAME --help` describes the option and imports nothing heavy."""
    code = (
        f"import sys, runpy\nsys.argv = ['dpm', '{name}', '--help']\n"
        f"try: runpy.run_module('dpm', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'pytensor', 'jax', 'matplotlib', 'sklearn', 'dask', 'distributed'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert option in done.stdout


def refused_into(out, capsys, data_path, main, *given):
    """Run a command that fails only because of `given`; check that `out` stays empty; return the error line."""
    out.mkdir(exist_ok=True)
    ours = arguments(out, data_path, *given) if main is train_main else ["--output-dir", out, *given]
    line = refused(capsys, main, *ours)
    assert list(out.iterdir()) == []
    return line


def share_compiled(monkeypatch):
    """Make equal models of train.py and sample.py share their compiled functions."""
    for module in (training, building, loading):
        monkeypatch.setattr(module, "CompiledModel", compiled)


def compiled(model, engine):
    """Return one CompiledModel for all models known to be equal."""
    if (facts := model_facts(model)) is None:
        return CompiledModel(model, engine)
    key = json.dumps([facts, engine.name, engine.dtype, engine.noise, engine.precision])
    return _compiled.setdefault(key, CompiledModel(model, engine))


_compiled: dict = {}


def without_plots(monkeypatch, *more, keep=()):
    """Keep only the plots of the classes in `keep` in train.py; more: additional extensions."""

    def extensions(*arguments):
        standard = standard_extensions(*arguments)
        return [e for e in standard if not isinstance(e, EveryN) or isinstance(e.extension, keep)] + list(more)

    monkeypatch.setattr(training, "standard_extensions", extensions)


def rows(folder):
    """Return the rows of the log without the seconds."""
    with (folder / "log.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def files(folder):
    """Return {name: path} of all files below a run folder."""
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


def parameters(folder):
    """Return the parameters of a run's checkpoint by path."""
    return checkpoint.split(checkpoint.load(folder / "checkpoint.h5")[1])[0]


def same(first, second):
    """Return True if two runs have the same log and the same parameters bit for bit."""
    a, b = parameters(first), parameters(second)
    return rows(first) == rows(second) and all(np.array_equal(a[name], b[name]) for name in a.keys() | b.keys())
