"""Each named experiment trains and draws, at a size that takes seconds; the faces are what the docs say."""

import json

import numpy as np
import pytest

from dpm.cli import sample_main, train_main
from dpm.datasets import write_hdf5
from dpm.experiments import EXACT, EXPERIMENTS, FACES, RELEASED

SMALL = (
    "trajectory_length=8,n_hidden_conv=2,n_layers_conv=1,n_layers_dense_lower=1,n_hidden_dense_lower=4,"
    "n_hidden_dense_lower_output=1,n_layers_dense_upper=2,n_hidden_dense_upper=3,n_temporal_basis=2"
)


@pytest.mark.parametrize(("name", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_each_experiment_runs_to_pictures(tmp_path, name, shape):
    rng = np.random.default_rng(0)
    sets = {
        part: {"features": rng.integers(0, 256, (n, *shape), dtype=np.uint8)}
        for part, n in (("train", 30), ("test", 10))
    }
    write_hdf5(tmp_path / f"{EXPERIMENTS[name].dataset.lower()}.hdf5", sets)
    arguments = ["--experiment", name, "--data-path", str(tmp_path), "--output-dir", str(tmp_path), "--quiet"]
    assert train_main([*arguments, "--epochs", "1", "--model-args", SMALL]) == 0
    (folder,) = tmp_path.glob("DiffusionModel_*")
    config = json.loads((folder / "config.json").read_text())
    assert config["flags"]["batch_size"] == EXPERIMENTS[name].batch_size
    assert config["model"]["n_colors"] == shape[0]
    assert sample_main([str(folder / "checkpoint.h5"), "--n", "2", "--quiet", "--output-dir", str(tmp_path)]) == 0
    with np.load(tmp_path / "samples.npz") as file:
        assert file["X"].shape == (2, *shape)


def test_the_cifar10_experiment_is_the_command_of_the_2015_readme():
    experiment = EXPERIMENTS["cifar10"]
    assert experiment.batch_size == 200
    assert experiment.model_args == {
        "n_hidden_dense_lower": 1000,
        "n_hidden_dense_lower_output": 5,
        "n_hidden_conv": 100,
        "n_layers_conv": 6,
        "n_layers_dense_lower": 6,
        "n_layers_dense_upper": 4,
        "n_hidden_dense_upper": 100,
    }


def test_faces_by_name():
    assert FACES == {"exact": EXACT, "released": RELEASED}
    assert RELEASED.epoch_batches == 500
    assert EXACT.epoch_batches is None
