"""The toy rows of Table 1, trained in full with `dpm train`; each run takes minutes."""

import json

import numpy as np
import pytest

from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.experiments.toys import HEARTBEAT
from dpm.runs.loading import open_run
from tests.helpers.bounds import K_all_terms

pytestmark = pytest.mark.slow

PAPER = {"heartbeat": -2.414, "swissroll": 2.35}  # K of Table 1, bits
L_NULL = {"heartbeat": -14.438, "swissroll": -4.094}


def train(folder, experiment, seed, *flags):
    """Train an experiment; return its run folder and its result.json."""
    arguments = ["--experiment", experiment, "--seed", str(seed), "--output-dir", str(folder), "--quiet", *flags]
    assert train_main(arguments) == 0
    (run,) = folder.iterdir()
    return run, json.loads((run / "result.json").read_text())


def heartbeat_bound(folder, draws):
    """Return K - L_null on the run's test sequences as the sum over all t, with so many draws of each term."""
    run = open_run(folder)
    return K_all_terms(run.compiled, run.theta, run.data("test"), run.settings.seed, draws, draws)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_swiss_roll_exceeds_the_bound_of_table_1(tmp_path, seed):
    """Table 1: K = 2.35 and K - L_null = 6.45 bits; here on 20,000 test points."""
    _, result = train(tmp_path, "swissroll", seed)
    assert result["K"] - 2 * result["standard_error"] > PAPER["swissroll"]
    assert result["K_minus_L_null"] == pytest.approx(result["K"] - L_NULL["swissroll"], abs=1e-3)
    assert result["K_minus_L_null"] > 6.45
    assert result["K"] < result["ceiling"] + 4 * result["standard_error"]


def test_full_covariance_exceeds_the_ceiling_of_a_diagonal_one(tmp_path):
    """No diagonal covariance exceeds 2.644 bits."""
    _, result = train(tmp_path, "swissroll", 0, "--model-args", "covariance='full'")
    assert result["K"] - 2 * result["standard_error"] > 2.644


def test_noisier_swiss_roll_comes_near_its_ceiling(tmp_path):
    _, result = train(tmp_path, "swissroll", 0, "--model-args", "noise=0.05")
    assert result["K"] > result["ceiling"] - 0.10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_heartbeat_exceeds_the_bound_of_table_1_and_samples_heartbeats(tmp_path, seed):
    """Table 1: K = -2.414 bits. Of 10,000 samples 97 % are one of the five sequences, a fifth of them in each phase."""
    run, result = train(tmp_path, "heartbeat", seed)
    assert result["K"] - 2 * result["standard_error"] > PAPER["heartbeat"]
    # The standard error in result.json, 0.0026, is too large to test the bound of the default configuration.
    bound = heartbeat_bound(run, draws=20_000)
    assert bound.value + L_NULL["heartbeat"] > -2.380
    assert bound.value + L_NULL["heartbeat"] < result["ceiling"] + 4 * bound.standard_error
    assert sample_main([str(run / "checkpoint.h5"), "--n", "10000", "--output-dir", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "samples.npz") as file:
        samples = file["X"]
    assert samples.shape == (10_000, HEARTBEAT["length"])
    phases = (np.arange(HEARTBEAT["length"]) % HEARTBEAT["period"] == np.arange(HEARTBEAT["period"])[:, None]).astype(
        float
    )
    right = (samples[:, None] == phases).all(axis=2)
    assert right.any(axis=1).mean() >= 0.97
    assert right.mean(axis=0) == pytest.approx(np.full(5, 0.2), abs=0.02)


def test_heartbeat_in_the_form_of_the_paper_comes_near_the_bound_of_table_1(tmp_path):
    """Table 1: K = -2.414 bits, with the network of D.1.2; seed 0 reaches -2.424, with a standard error of 0.005."""
    _, result = train(tmp_path, "heartbeat", 0, "--model-args", "form='paper'")
    assert result["K"] - 2 * result["standard_error"] > PAPER["heartbeat"] - 0.05
    assert result["K"] < result["ceiling"] + 4 * result["standard_error"]
