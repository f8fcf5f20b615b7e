"""Each named experiment trains and samples, at a size that takes seconds; its values match paper and release."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dpm.commands.datasets import main as datasets_main
from dpm.commands.sample import main as sample_main
from dpm.commands.train import main as train_main
from dpm.datasets import H5PYDataset, write_hdf5
from dpm.datasets.made import recipes
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.named import EXPERIMENTS
from dpm.extensions import PlotSamples
from dpm.model import DiffusionModel
from tests.helpers import runs

SMALL = (
    "trajectory_length=8,n_hidden_conv=2,n_layers_conv=1,n_layers_dense_lower=1,n_hidden_dense_lower=4,"
    "n_hidden_dense_lower_output=1,n_layers_dense_upper=2,n_hidden_dense_upper=3,n_temporal_basis=2"
)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cifar10", (3, 32, 32)),
        pytest.param("fashion", (1, 28, 28), marks=pytest.mark.slow),  # differs from mnist by the name of its file
        pytest.param("mnist", (1, 28, 28), marks=pytest.mark.slow),  # the tables of the paper train these two
        pytest.param("deadleaves", (1, 32, 32), marks=pytest.mark.slow),
    ],
)
def test_experiment_trains_and_samples(tmp_path, quick_runs, name, shape):
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
    assert config["model"]["n_colors"] == shape[0]
    assert sample_main([str(folder / "checkpoint.h5"), "--n", "2", "--quiet", "--output-dir", str(tmp_path)]) == 0
    with np.load(tmp_path / "samples.npz") as file:
        assert file["X"].shape == (2, *shape)


TINY = "n_hidden_conv=2,n_layers_conv=1,n_hidden_dense_upper=3,n_temporal_basis=2,trajectory_length=6"


@pytest.fixture
def bark(tmp_path, monkeypatch):
    """Return the folder of a small run on the substitute for bark, with a network of few units."""
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path))
    monkeypatch.setitem(recipes.RECIPES, "BARK_LIKE", replace(recipes.RECIPES["BARK_LIKE"], size=64))
    runs.without_plots(monkeypatch, keep=(PlotSamples,))
    words = f"--experiment bark --small --epochs 1 --model-args {TINY} --output-dir".split()
    assert train_main([*words, str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("DiffusionModel_BARK_LIKE-*")
    return folder


@pytest.mark.thorough
def test_bark_trains_on_crops_of_its_substitute_and_samples_any_size(bark, tmp_path, capsys):
    config = json.loads((bark / "config.json").read_text())
    assert config["data"]["name"] == "BARK_LIKE"
    assert config["flags"]["crop"] == config["model"]["spatial_width"] == 32
    checkpoint, out = str(bark / "checkpoint.h5"), ["--quiet", "--output-dir", str(tmp_path)]
    for size in ([], ["--size", "64"]):
        assert sample_main([checkpoint, "--n", "2", *size, *out]) == 0
        with np.load(tmp_path / "samples.npz") as file:
            assert file["X"].shape == (2, 1, *[64 if size else 32] * 2)
    make_arguments = ["make", "bark-like", "--n", "1", "--test", "1", "--size", "64", "--quiet"]
    assert datasets_main([*make_arguments, "--output", str(tmp_path / "bark.hdf5")]) == 0
    words = ["--mode", "inpaint", "--mask", "center:20", "--size", "64", "--input"]
    assert sample_main([checkpoint, *words, f"{tmp_path / 'bark.hdf5'}:test:0-1", *out]) == 0
    (image,) = H5PYDataset(tmp_path / "bark.hdf5", ("test",), sources=("features",)).get_data(request=[0])
    with np.load(tmp_path / "samples.npz") as file:
        same = file["X"] == image / 255
    assert same[0, 0, :22].all()
    assert same[0, 0, :, 42:].all()
    assert not same[0, 0, 22:42, 22:42].any()


def test_unsupported_sample_size_is_an_error_that_names_the_fix(base, tmp_path, capsys):
    folder = runs.trained(base)
    assert sample_main([str(folder / "checkpoint.h5"), "--size", "16", "--output-dir", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert "--size 16: the model draws 8 x 8 only" in line
    assert "conv_biases='shared'" in line


@pytest.mark.thorough
def test_shared_biases_give_the_same_output_at_any_size_away_from_the_border(bark):
    """A convolutional network without dense layers and with shared biases does not depend on the image size inside."""
    config = json.loads((bark / "config.json").read_text())["model"] | {"n_scales": 1, "n_layers_conv": 2}
    engine, outputs = Engine("auto", "float64"), []
    X = np.random.default_rng(0).standard_normal((1, 1, 48, 48))
    for window in (slice(None), slice(8, 40)):
        part = X[:, :, window, window]
        with engine:
            model = DiffusionModel(**(config | {"spatial_width": part.shape[-1]}))
        compiled = CompiledModel(model, engine)
        mu, _ = compiled.reverse(1)(compiled.start(np.random.default_rng(1)), part, np.full(1, 3.0))
        outputs.append(mu)
    np.testing.assert_allclose(outputs[0][:, :, 12:36, 12:36], outputs[1][:, :, 4:28, 4:28], rtol=1e-10)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_small_version_changes_only_the_named_fields(name):
    whole, small = EXPERIMENTS[name], EXPERIMENTS[name].select_size(True)
    assert whole.select_size(False) is whole
    assert (small.dataset, small.network_args) == (whole.dataset, whole.network_args)
    assert small.first is not None
    assert small.epochs is not None
    assert whole.model_args.items() - small.model_args.items() <= {
        (key, whole.model_args[key]) for key in whole.small.get("model_args", {}) if key in whole.model_args
    }


def test_trajectory_lengths_match_the_paper():
    """ "T = 1000 ... except for the bark dataset which used T = 500" (D.2.1)."""
    T = {name: experiment.model_args.get("trajectory_length", 1000) for name, experiment in EXPERIMENTS.items()}
    assert T == {"mnist": 1000, "fashion": 1000, "cifar10": 1000, "deadleaves": 1000, "bark": 500, "texture": 500}


def test_small_without_an_experiment_is_an_error(capsys):
    assert train_main(["--small"]) == 2
    assert "--small: is a variant of an experiment" in capsys.readouterr().err


def test_cifar10_matches_the_command_of_the_2015_readme():
    experiment = EXPERIMENTS["cifar10"]
    assert experiment.released == {"batch_size": 200}
    assert experiment.model_args == {
        "n_hidden_dense_lower": 1000,
        "n_hidden_dense_lower_output": 5,
        "n_hidden_conv": 100,
        "n_layers_conv": 6,
        "n_layers_dense_lower": 6,
        "n_layers_dense_upper": 4,
        "n_hidden_dense_upper": 100,
    }
