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
from dpm.extensions import standard_extensions
from dpm.runs import checkpoint, loading
from dpm.training import building
from dpm.training import run as training
from dpm.training.monitoring import EveryN

ROOT = Path(__file__).parents[2]
WIDTH, TRAIN, TEST, BATCH = 8, 60, 20, 25
STEPS = 3  # an epoch of 60 pictures has batches of 25, 25 and 10
T = 10
MODEL = (
    f"trajectory_length={T},n_hidden_conv=2,n_layers_conv=1,n_hidden_dense_lower=4,n_layers_dense_lower=1,"
    "n_hidden_dense_upper=3,n_temporal_basis=2"
)
LABELS = {"features": ("batch", "channel", "height", "width")}


def pixels(n, seed=0, width=WIDTH, colors=1):
    """Random 8-bit pictures (n, colors, width, width)."""
    return np.random.default_rng(seed).integers(0, 256, (n, colors, width, width), dtype=np.uint8)


def write_data(folder, train, test, name="mnist.hdf5"):
    """A data set of the given pictures; returns its file."""
    write_hdf5(folder / name, {"train": {"features": train}, "test": {"features": test}}, LABELS)
    return folder / name


@functools.cache
def data(base):
    """The folder of the data of all runs; base: the session's temporary folder, as for all below."""
    folder = base / "runs-data"
    folder.mkdir()
    write_data(folder, pixels(TRAIN), pixels(TEST, seed=1))
    return folder


@functools.cache
def trained(base):
    """The folder of a run of two epochs without pictures; to be read only."""
    with pytest.MonkeyPatch.context() as patch:
        share_compiled(patch)
        without_pictures(patch)
        return train(base / "runs-trained", data(base))


@functools.cache
def complete(base):
    """(folder, stdout, stderr) of a run of two epochs with all pictures after each of them; to be read only."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        share_compiled(patch)
        folder = train(base / "runs-complete", data(base), "--ext-every-n", 1, "--quiet", "false")
    return folder, out.getvalue(), err.getvalue()


def arguments(out, data_path, *more):
    """A command line of train.py; of a flag that comes twice the last one counts."""
    flags = ["--data-path", data_path, "--output-dir", out, "--model-args", MODEL, "--batch-size", BATCH]
    return [str(a) for a in (*flags, "--epochs", 2, "--quiet", *more)]


def train(out, data_path, *more, status=0):
    """Train in the new or empty folder `out`, to end with `status`; returns the run's folder."""
    out.mkdir(exist_ok=True)
    assert train_main(arguments(out, data_path, *more)) == status
    (folder,) = out.iterdir()
    return folder


def outcome(capsys, main, *given):
    """Run a command; returns (status, stdout's lines, stderr's lines)."""
    capsys.readouterr()
    try:
        status = main([str(a) for a in given])
    except SystemExit as stop:
        status = stop.code
    shown = capsys.readouterr()
    return status, shown.out.splitlines(), shown.err.splitlines()


def refused(capsys, main, *given, progs=("dpm train", "dpm sample")):
    """Run a command that must fail; check what all refusals have in common and return the one line."""
    status, out, (line,) = outcome(capsys, main, *given)
    assert (status, out) == (2, [])
    assert line.startswith(tuple(f"{prog}: error: " for prog in progs))
    return line


def check_help(name, option):
    """`dpm NAME --help` tells of the option and imports nothing heavy."""
    code = (
        f"import sys, runpy\nsys.argv = ['dpm', '{name}', '--help']\n"
        f"try: runpy.run_module('dpm', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'pytensor', 'jax', 'matplotlib', 'sklearn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert option in done.stdout


def refused_into(out, capsys, data_path, main, *given):
    """As refused, of a command that would do but for `given`; the new folder `out` for its output must stay empty."""
    out.mkdir(exist_ok=True)
    ours = arguments(out, data_path) if main is train_main else ["--output-dir", out]
    line = refused(capsys, main, *ours, *given)
    assert list(out.iterdir()) == []
    return line


def share_compiled(monkeypatch):
    """From now on equal models of train.py and sample.py share their compiled functions."""
    for module in (training, building, loading):
        monkeypatch.setattr(module, "CompiledModel", compiled)


def compiled(model, engine):
    """As CompiledModel, one for all equal models."""
    key = json.dumps([model.arguments, engine.name, engine.dtype])
    return _compiled.setdefault(key, CompiledModel(model, engine))


_compiled: dict = {}


def without_pictures(monkeypatch, *more, keep=()):
    """From now on train.py makes no pictures but those of the classes in `keep`; more: further extensions."""

    def extensions(*arguments):
        standard = standard_extensions(*arguments)
        return [e for e in standard if not isinstance(e, EveryN) or isinstance(e.extension, keep)] + list(more)

    monkeypatch.setattr(training, "standard_extensions", extensions)


def rows(folder):
    """The log, without the seconds."""
    with (folder / "log.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def files(folder):
    """The files of a run folder by name, wherever they are below it."""
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


def parameters(folder):
    return checkpoint.split(checkpoint.load(folder / "checkpoint.h5")[1])[0]


def same(first, second):
    """Whether two runs have the same log and the same parameters, bit for bit."""
    a, b = parameters(first), parameters(second)
    return rows(first) == rows(second) and all(np.array_equal(a[name], b[name]) for name in a.keys() | b.keys())
