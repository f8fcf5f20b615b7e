"""Old files load; models of any depth and of either float type are restored."""

import itertools
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.likelihood.bound import L_null
from dpm.model import DiffusionModel
from dpm.runs import checkpoint
from dpm.runs.loading import open_run
from tests.helpers.bounds import K_at_even_times
from tests.helpers.checkpoints import unseal
from tests.helpers.graphs import TINY

GOLDEN = Path(__file__).parents[1] / "golden_checkpoint"
VERSIONS = pytest.mark.parametrize("version", [1, 2])
TOP = "/parameters/diffusionmodel/mlp_conv_dense/MLP dense upper"


@VERSIONS
def test_old_file_loads_with_its_original_numbers(version):
    """Two files of one run of two epochs, each written by the program of its format version."""
    meta, found, facts = checkpoint.load_with_facts(GOLDEN / f"version{version}.h5")
    assert facts == {"format_version": version, "sealed": True}
    assert {name: len(meta[name]) for name in meta} == {"config": 6, "model": 20, "state": 9}
    assert meta["config"]["flags"]["optimizer"] == "rmsprop"
    assert meta["config"]["data"]["hash"] == "251ea12671d3b8cd-13bc43593b8f21b2"
    scaling = {name: meta["config"]["data"][name] for name in ("scale", "shift")}
    assert scaling == {"scale": 3.4010568262049103, "shift": -1.6927621447290429}
    assert (meta["model"]["trajectory_length"], meta["model"]["uniform_noise"]) == (10, 0.013337477749823178)
    assert (meta["state"]["step"], meta["state"]["weight_sum"]) == (6, 0.0)
    assert [row["test_K"] for row in meta["state"]["rows"]] == [-1.914642561398641, -1.9082758172733791]
    assert {array.dtype.str for array in found.values()} == {"<f4", "<i8"}
    assert len(found) == 10
    assert sum(array.size for array in found.values()) == 17139
    np.testing.assert_array_equal(
        found[f"{TOP}/linear_1.W"],
        np.array(
            [
                [0.7674441337585449, -0.3768170475959778, 0.06593939661979675, -0.5131707787513733],
                [-0.3843442499637604, -0.5546051263809204, 0.7184283137321472, -0.037674810737371445],
                [-0.49795961380004883, -0.38422930240631104, -0.587778627872467, -0.5257517695426941],
            ],
            "f4",
        ),
    )
    assert found["/optimizer/skipped_steps"] == 0
    assert found["/optimizer/mean_square"].sum(dtype=np.float64) == 0.1954455340351493


@VERSIONS
def test_old_run_resumes(version, tmp_path, data, quick_runs):
    """The third epoch equals, up to rounding, the one computed when the file was written."""
    path = tmp_path / "checkpoint.h5"
    shutil.copy(GOLDEN / f"version{version}.h5", path)
    before = checkpoint.load(path)[0]["state"]["rows"]
    assert train_main(["--resume-file", str(path), "--epochs", "3", "--data-path", str(data)]) == 0
    meta, _, facts = checkpoint.load_with_facts(path)
    assert facts["format_version"] == checkpoint.FORMAT_VERSION
    assert meta["state"]["step"] == 9
    assert meta["state"]["rows"][:2] == before
    run = open_run(path)
    K = K_at_even_times(run.compiled, run.theta, run.data("test", str(data)), run.settings.seed)
    assert K + L_null(run.model) == pytest.approx(-1.904178334338785, abs=1e-4)
    assert run.log[2]["test_K"] == pytest.approx(K + L_null(run.model), abs=5 * run.log[2]["test_standard_error"])
    with (tmp_path / "log.csv").open() as log:
        assert log.readline().strip().endswith("skipped_steps,test_draws_error,test_standard_error")


@VERSIONS
def test_old_model_draws_its_original_samples(version, tmp_path, quick_runs):
    given = [str(GOLDEN / f"version{version}.h5"), "--n", "3", "--output-dir", str(tmp_path), "--quiet"]
    assert sample_main(given) == 0
    X = np.load(tmp_path / "samples.npz")["X"]
    assert X.shape == (3, 1, 8, 8)
    np.testing.assert_allclose(X.mean(axis=(1, 2, 3)), [0.48237897, 0.37728858, 0.5180652], atol=1e-3)


def test_version_1_without_a_file_checksum_is_refused(tmp_path):
    """Nothing else in it detects a renamed array."""
    shutil.copy(GOLDEN / "version1.h5", tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file.move("optimizer/mean_square", "optimizer/square")
    unseal(tmp_path / "x.h5")
    with pytest.raises(InputError, match="the checksum of all of it, is gone"):
        checkpoint.load(tmp_path / "x.h5")


@pytest.fixture
def usual_depth():
    """Return a function that sets Python's default recursion limit, which PyTensor raises, until the test ends."""
    limit = sys.getrecursionlimit()
    yield lambda: sys.setrecursionlimit(1000)
    sys.setrecursionlimit(limit)


def test_deep_model_is_saved_within_the_default_recursion_limit(tmp_path, usual_depth):
    """60 convolutional layers; the 2015 code had to raise Python's recursion limit for its pickles."""
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(**TINY | {"n_layers_conv": 60, "n_hidden_conv": 2}, trajectory_length=8)
        layout = CompiledModel(model, engine).layout
    theta = np.random.default_rng(0).standard_normal(layout.size).astype("float32")
    saved = {f"/parameters{name}": value for name, value in layout.split(theta).items()}
    assert len(saved) > 120
    usual_depth()
    checkpoint.save(tmp_path / "x.h5", {"model": model.arguments}, saved)
    meta, found = checkpoint.load(tmp_path / "x.h5")
    assert meta["model"]["n_layers_conv"] == 60
    np.testing.assert_array_equal(layout.flatten(checkpoint.split(found)[0], "float32"), theta)


def test_parameters_load_into_a_model_of_the_other_float_type(tmp_path):
    """float32 to float64 and back is exact; float64 to float32 rounds once."""
    thetas = {}
    for dtype in ("float32", "float64"):
        engine = Engine("auto", dtype)
        with engine:
            layout = CompiledModel(DiffusionModel(**TINY, trajectory_length=8), engine).layout
        start = np.random.default_rng(0).standard_normal(layout.size).astype(dtype)
        thetas[dtype] = (layout, start)
    for first, second in itertools.permutations(thetas):
        layout, theta = thetas[first]
        saved = {f"/parameters{name}": value for name, value in layout.split(theta).items()}
        checkpoint.save(tmp_path / "x.h5", {}, saved)
        values = checkpoint.split(checkpoint.load(tmp_path / "x.h5")[1])[0]
        assert all(value.dtype == first for value in values.values())
        other = thetas[second][0].flatten(values, second)
        assert other.dtype == second
        np.testing.assert_array_equal(other, theta.astype(second))
        if first == "float32":
            np.testing.assert_array_equal(other.astype(first), theta)
