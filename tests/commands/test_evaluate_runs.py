"""python -m dpm evaluate on trained models: figures in every unit, files, and a comparison of the estimators."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from dpm.base import noise
from dpm.commands.evaluate import main
from dpm.datasets import Scaling
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.likelihood import bound, importance
from dpm.likelihood.importance import Likelihood
from dpm.likelihood.result import format_released
from dpm.model import DiffusionModel
from dpm.runs import checkpoint, evaluation
from dpm.runs.loading import Run
from tests.helpers import runs

DIMENSIONS = runs.WIDTH**2
SMALL = {"n_hidden_conv": 1, "n_layers_conv": 1, "n_hidden_dense_lower": 0, "n_hidden_dense_upper": 1}
# Two independent numbers of mean 0 and variance 1 for data and noise. The mean of a polynomial of degree 2 in each,
# such as KL_t of the null kernel, equals the mean over normal numbers.
SIGNS = np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([[1.0, -1.0], [1.0, -1.0]])


@pytest.fixture(autouse=True)
def _shared(monkeypatch):
    runs.share_compiled(monkeypatch)


@pytest.fixture
def run(trained, data, tmp_path, capsys):
    """Return a function that evaluates the shared run and returns (the JSON, the printed text)."""

    def evaluate(*given, stem="evaluation", where=("--data-path", data), model=trained, status=0):
        capsys.readouterr()
        assert main([str(a) for a in (model, "--output-dir", tmp_path, *where, *given)]) == status
        printed = capsys.readouterr()
        if status:
            return printed.err
        return json.loads((tmp_path / f"{stem}.json").read_text()), printed.out

    return evaluate


def null_model(T, width=2):
    """Return the released network with all parameters 0: its reverse step is the forward step, exact for N(0, 1)."""
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(width, 1, T, **SMALL)
    compiled = CompiledModel(model, engine)
    return compiled, np.zeros(compiled.layout.size, np.float32)


@pytest.mark.parametrize(("T", "released"), [(10, -0.177), (100, -0.0328), (1000, -0.00449)])
def test_zero_network_is_exact_for_the_unit_gaussian_and_2015_counts_one_extra_term(T, released, monkeypatch):
    """K = L_null exactly; T / (T - 1) times the sum of KL_t gives the released figures, in bits per pixel."""
    X, N = SIGNS
    monkeypatch.setitem(noise.DRAWS, "normal", lambda rng, shape: np.broadcast_to(N, shape))
    compiled, theta = null_model(T)
    terms = bound.terms(compiled, theta, X[None, None].astype(np.float32), 0)
    gap = (terms.K - terms.L_null)[0] / 4 / np.log(2)
    assert abs(gap) < 1e-5
    kl = terms.kl.mean(dtype=np.float64) / 4 / np.log(2)
    assert gap - kl == pytest.approx(released, rel=5e-3)


@pytest.mark.thorough
def test_2015_estimate_has_its_published_bias_and_the_corrected_count_gives_0(monkeypatch):
    """-0.177 bits per pixel for the unit Gaussian at T = 10, from single random times; K - L_null of Eq. 14 is 0."""
    X, N = SIGNS
    monkeypatch.setitem(noise.DRAWS, "normal", lambda rng, shape: np.broadcast_to(N, shape))
    compiled, theta = null_model(10)
    run = Run(compiled, theta, Scaling(1.0, 0.0), quantized=True)
    X = X[None, None].astype(np.float32)
    result = evaluation.evaluate(run, X, "reference-2015", draws=3000, batch_size=1, seed=0)
    unit = 1 / 4 / np.log(2)
    error = result.errors["standard error"] * unit
    assert error < 0.03
    assert abs(result.values["K_minus_L_null"] * unit + 0.177) < 3 * error
    counted = result.values["K_minus_L_null"] * unit + result.facts["counted_once_too_often"]["bits/pixel"]
    assert abs(counted) < 3 * error
    assert "is counted 10 times" in result.notes[0]


def test_eq_9_of_the_zero_network_is_the_unit_gaussian_with_zero_variance():
    """log p(0) = 4 log N(0; 0, 1) = -3.6758 nats: each weight is pi(x_0)."""
    compiled, theta = null_model(10)
    found = importance.log_likelihood(compiled, theta, np.zeros((1, 2, 2), np.float32), 0, 30)
    assert 4 * norm.logpdf(0) == pytest.approx(-3.6758, abs=1e-4)
    assert found.value == pytest.approx(4 * norm.logpdf(0), abs=1e-4)
    assert found.error < 1e-5
    assert found.effective == pytest.approx(30, rel=1e-5)


# ------------------------------------------------------------------ the command


def test_default_figures_are_those_of_the_log(run, trained):
    summary, printed = run()
    row = checkpoint.load(trained)[0]["state"]["rows"][-1]
    assert summary["n_examples"] == runs.TEST
    assert summary["bound"]["evaluation"]["times_per_example"] == 2
    assert summary["bound"]["K"] == pytest.approx(row["test_K"], abs=5e-5)
    assert summary["scaled_units"]["K_minus_L_null"]["bits/pixel"] == pytest.approx(
        row["test_K_minus_L_null"], abs=5e-5
    )
    sample, draws = (error["bits/pixel"] for error in summary["errors"].values())
    assert (sample, draws) == pytest.approx((row["test_standard_error"], row["test_draws_error"]), abs=5e-5)
    first = printed.splitlines()[0]
    assert first.startswith(f"K = {row['test_K']:.4f}, K - L_null = {row['test_K_minus_L_null']:.4f} bits/pixel; ")
    assert first.endswith("; 20 test examples, scaled units, 2 of 9 t each, seed 0")


def test_other_examples_or_draws_are_named_in_the_line_of_K(run):
    for given, expected in (
        (
            ("--n-examples", 7, "--t-per-example", 3, "--seed", 4),
            "; 7 test examples, scaled units, 3 of 9 t each, seed 4",
        ),
        (("--split", "train", "--t-per-example", "all"), "; 60 train examples, scaled units, every t each, seed 0"),
    ):
        assert run(*given)[1].splitlines()[0].endswith(expected)


def test_data_units_and_gray_levels_by_hand(run, trained):
    """log p(x) = log p(y) + D ln scale for y = scale x + shift; a level costs -log2 p + log2 255 bits."""
    summary, printed = run()
    scale = checkpoint.load(trained)[0]["config"]["data"]["scale"]
    scaled, in_data = (summary[key]["K_eq12"] for key in ("scaled_units", "data_units"))
    assert in_data["nats/example"] - scaled["nats/example"] == pytest.approx(DIMENSIONS * np.log(scale))
    bits = -in_data["bits/dimension"] + np.log2(255)
    assert summary["bits_per_dimension_of_8_bit_levels"] == pytest.approx(bits)
    assert f"8-bit levels, by K: {bits:.4f} bits/dimension" in printed


def test_files_hold_the_printed_figures(run, tmp_path):
    summary, printed = run("--n-examples", 7, "--t-per-example", "all")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"evaluation.{e}" for e in ("csv", "json", "npz", "png")]
    with np.load(tmp_path / "evaluation.npz") as file:
        arrays = dict(file)
    with open(tmp_path / "evaluation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["first_t"]) for row in rows] == [int(row["last_t"]) for row in rows] == list(range(2, runs.T + 1))
    assert [float(row["kl_nats_per_example"]) for row in rows] == pytest.approx(arrays["kl"].mean(axis=0))
    assert arrays["K"].mean() == pytest.approx(summary["scaled_units"]["K"]["nats/example"])
    assert f"{arrays['K'].mean():.4f}" in printed
    assert "the first 7 of 20 test examples" in printed
    with Image.open(tmp_path / "evaluation.png") as image:
        assert image.width > 600


@pytest.mark.thorough
def test_figures_depend_on_the_seed_and_not_on_the_batches(run):
    first, again, other = (run("--seed", seed)[0] for seed in (1, 1, 2))
    batches = run("--seed", 1, "--batch-size", 3)[0]
    assert first == again
    assert batches["scaled_units"]["K"] == pytest.approx(first["scaled_units"]["K"], rel=1e-5)
    assert abs(other["scaled_units"]["K"]["nats/example"] - first["scaled_units"]["K"]["nats/example"]) > 1e-3


@pytest.mark.thorough
def test_strata_agree_with_every_t_within_their_error(run):
    every, few = run("--t-per-example", "all")[0], run("--t-per-example", 3, "--seed", 5)[0]
    error = np.hypot(every["bound"]["draws_error"], few["bound"]["draws_error"])
    apart = every["scaled_units"]["K"]["bits/pixel"] - few["scaled_units"]["K"]["bits/pixel"]
    assert abs(apart) < 3 * error


@pytest.mark.thorough
def test_one_example_has_no_error_and_prints_no_nan(run, tmp_path):
    summary, printed = run("--n-examples", 1, "--t-per-example", 1)
    assert "nan" not in printed.lower().replace("nano", "")
    assert "; one example has no standard error; 1 test example, " in printed
    assert all(set(errors.values()) == {None} for errors in summary["errors"].values())
    assert "nan" not in (tmp_path / "evaluation.csv").read_text()
    summary, printed = run("--n-examples", 1, "--trajectories", 1, stem="log_likelihood")
    assert "nan" not in printed.lower()
    assert "none" in printed


@pytest.mark.thorough
def test_user_images_and_the_training_data(run, tmp_path, data):
    X = runs.pixels(5, seed=3) / 255
    np.savez(tmp_path / "levels.npz", X=X)
    np.savez(tmp_path / "between.npz", X=np.clip(X + 0.3 / 255, 0, 1))
    levels, printed = run("--input", tmp_path / "levels.npz", where=())
    assert "5 examples of" in printed
    assert levels["bits_per_dimension_of_8_bit_levels"] is not None
    between, printed = run("--input", tmp_path / "between.npz", where=())
    assert between["bits_per_dimension_of_8_bit_levels"] is None
    assert "8-bit levels, by K: none, as the data are not 8-bit levels" in printed
    same, _ = run("--input", f"{data / 'mnist.hdf5'}:test", where=())
    assert same["scaled_units"]["K"] == pytest.approx(run()[0]["scaled_units"]["K"], rel=1e-5)
    assert run("--split", "train")[0]["n_examples"] == runs.TRAIN


def test_log_p_of_single_examples_is_listed_with_their_K(run, tmp_path):
    """Jensen: the mean log weight, K, is below the log of the mean weight (Eq. 11, 12)."""
    summary, printed = run("--trajectories", 20, "--n-examples", 3, stem="log_likelihood")
    with np.load(tmp_path / "log_likelihood.npz") as file:
        assert (file["log_p"] > file["K"]).all()
        assert (file["effective"] >= 1).all()
        mean = file["log_p"].mean()
    assert summary["scaled_units"]["log_p"]["nats/example"] == pytest.approx(mean)
    assert "20 forward trajectories per example" in printed
    assert not (tmp_path / "evaluation.json").exists()


def test_as_in_2015_differs_from_the_corrected_count_by_one_mean_term(run):
    summary, printed = run("--estimator", "reference-2015", "--draws", 50, stem="evaluation_2015")
    values = summary["scaled_units"]
    kl = summary["counted_once_too_often"]["bits/pixel"]
    assert values["sum_kl"]["bits/pixel"] == pytest.approx(runs.T * kl)
    assert summary["minibatch"] == min(runs.BATCH, runs.TEST)
    assert f"subtracts {kl:.5f} bits/pixel" in printed
    K, gain = (values[key]["bits/pixel"] for key in ("K", "K_minus_L_null"))
    line = format_released(K, gain, "bits/pixel", summary["errors"]["standard error"]["bits/pixel"], 50, 20)
    assert printed.splitlines()[0] == line


def test_too_many_examples_and_unknown_data_are_refused(run, golden, tmp_path):
    assert "--n-examples: 21 is more than there are, 20 test examples" in run("--n-examples", 21, status=2)
    assert "no MNIST found" in run(where=("--data-path", tmp_path), status=2)
    assert "give --input" in run(where=(), model=golden / "checkpoint/model.pkl", status=2)


def test_2015_checkpoint_with_its_scale(run, golden, tmp_path):
    """Its uniform noise is unknown, so there are no bits for gray levels."""
    np.savez(tmp_path / "x.npz", X=np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), dtype=np.uint8))
    given = ("--input", tmp_path / "x.npz", "--scale", 3.25, "--shift", -0.4, "--t-per-example", 2)
    summary, printed = run(*given, where=(), model=golden / "checkpoint/model.pkl")
    assert summary["scale"] == 3.25
    assert "8-bit levels, by K: none, as the model's uniform noise is 0 wide" in printed


def test_full_disk_is_one_line_and_leaves_no_partial_file(run, tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert len(run("--t-per-example", 2, status=2).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_estimate_has_the_reported_statistics(monkeypatch):
    """Mean of log p over examples, its spread and bootstrap errors for known numbers."""
    found = [Likelihood(-3.0, 0.3, 50.0, -4.0), Likelihood(-5.0, 0.4, 2.0, -9.0)]
    monkeypatch.setattr(importance, "log_likelihoods", lambda *arguments: found)
    compiled, theta = null_model(10)
    X = np.zeros((2, 1, 2, 2), np.float32)
    result = evaluation.evaluate(Run(compiled, theta, Scaling(1.0, 0.0), True), X, trajectories=100)
    assert result.values["log_p"] == -4
    assert result.values["K_eq12"] == -6.5
    assert result.errors["standard error over examples"] == pytest.approx(1.0)
    assert result.errors["of it by bootstrap"] == pytest.approx(0.25)
    assert "The fewest effective trajectories are 2.0 of 100: the estimates depend on a few" in result.notes[0]
    assert bound.L_null(compiled.model) == pytest.approx(result.values["L_null"] / 4 / np.log(2))
