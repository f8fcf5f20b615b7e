"""python -m dpm baselines: each model against its closed form, units, model selection, the command."""

import itertools
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dpm.commands import baselines
from dpm.commands.baselines import Data, in_data_units, main
from dpm.runs.settings import Settings
from tests.helpers import runs

pytest.importorskip("sklearn")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(capsys):
    """Return a function that runs the command and returns (status, lines of stdout, lines of stderr)."""

    return partial(runs.outcome, capsys, main)


def table(lines):
    """Return the printed table as {kind: {column: text}}."""
    start = next(i for i, line in enumerate(lines) if line.startswith("kind "))
    names = re.split(r"  +", lines[start])
    places = [lines[start].index(name) for name in names] + [None]
    cells = [[line[a:b].strip() for a, b in itertools.pairwise(places)] for line in lines[start + 1 :]]
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in cells}


# ------------------------------------------------------------------ the units


def test_nats_per_example_convert_to_bits_per_pixel_or_per_vector():
    """12 elements in 3 colors are 4 pixels, so 8 ln 2 nats are 8 bits: 2 per pixel, 8 per vector."""
    for elements, expected in ((3, 2), (12, 8)):
        data = Data(np.zeros((1, 12)), np.zeros((1, 12)), None, elements, 1.0, 0.0, None, "", "")
        assert data.in_bits(8 * np.log(2)) == pytest.approx(expected, rel=1e-12)


def test_density_converts_to_data_units():
    """The uniform density on [0, 1] is 1; scaled by s it is 1/s for each color."""
    scale = 3.5
    for elements in (1, 3):
        log_p = elements * np.log2(stats.uniform(-1, scale).pdf(0))
        assert in_data_units(log_p, elements, scale) == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------ the command


def test_gaussian_models_of_uniform_gray_levels(run, tmp_path):
    """Compare with the closed form.

    Dequantized gray levels are uniform on an interval of 256/255 and have variance (256/255)^2 / 12, so a Gaussian
    gives -1/2 log2(2 pi e variance) bits per pixel in data units. Scaled by the standard deviation of the levels
    without noise, this is L_null minus 1/2 log2 of the ratio of the variances.
    """
    runs.write_data(tmp_path, runs.pixels(3000, width=4), runs.pixels(2000, seed=1, width=4))
    status, lines, err = run("--data-path", tmp_path, "--kinds", "gaussian", "ppca", "--quiet")
    assert (status, err) == (0, [])
    rows = table(lines)
    in_units = -0.5 * np.log2(2 * np.pi * np.e / 12)
    scale = np.log2(1 / np.std(runs.pixels(3000, width=4) / 255))
    column = "log p, bits/pixel"
    assert float(rows["L_null"][column]) == pytest.approx(-2.047, abs=5e-4)
    for kind in ("gaussian", "ppca"):
        assert float(rows[kind]["in data units"]) == pytest.approx(in_units, abs=0.01)
        assert float(rows[kind][column]) == pytest.approx(in_units - scale, abs=0.01)
        assert float(rows[kind]["minus L_null"]) == pytest.approx(0, abs=0.01)
        assert 0 < float(rows[kind]["error"]) < 0.01


def test_variance_floor_is_chosen_among_the_given_ones(run, tmp_path):
    """Neither is a default value."""
    runs.write_data(tmp_path, runs.pixels(60), runs.pixels(20, seed=1))
    status, out, _ = run("--data-path", tmp_path, "--kinds", "gaussian", "--floors", 0.02, 0.5)
    assert status == 0
    (line,) = [line for line in out if line.startswith("gaussian")]
    assert "floor 0.02 " in line or "floor 0.5 " in line


def test_conditional_mixture_of_gray_levels(run, tmp_path):
    """Independent pixels are a Gaussian each, with L_null minus 1/2 log2 of the ratio of the variances."""
    runs.write_data(tmp_path, runs.pixels(600, width=4), runs.pixels(400, seed=1, width=4))
    status, lines, err = run(
        "--data-path", tmp_path, "--kinds", "conditional-mixture", "--floors", 0.001, "--quiet", "--noise", 0.3
    )
    assert (status, err) == (0, [])
    row = table(lines)["conditional-mixture"]
    # Uniform levels with this noise are near to a Gaussian: more components can gain at most its negentropy, 0.1 bits.
    assert -0.03 < float(row["minus L_null"]) < 0.1
    assert 0 < float(row["error"]) < 0.02
    assert row["chosen"].startswith("radius 1, floor 0.001, components")


def test_noise_of_the_first_step_is_that_of_the_forward_kernel(data):
    """q(x_1 | x_0) = N(sqrt(1 - beta_1) x_0, beta_1) (Table C.1): the variance of the difference, and of the sum."""
    settings = Settings.from_arguments(data_path=str(data), quiet=True).replace(dtype="float64")
    plain = baselines.load_examples(settings, settings.seed)
    noisy = baselines.add_noise(plain, 0.2, 0)
    for before, after in ((plain.train, noisy.train), (plain.test, noisy.test)):
        z = (after - np.sqrt(0.8) * before) / np.sqrt(0.2)
        assert stats.kstest(z.ravel(), stats.norm.cdf).pvalue > 1e-3
        assert abs(np.corrcoef(z.ravel(), before.ravel())[0, 1]) < 4 / z.size**0.5
    np.testing.assert_array_equal(baselines.add_noise(plain, 0.2, 0).test, noisy.test)


@pytest.mark.thorough
def test_five_components_model_heartbeats_exactly(run):
    """Independent bits give 20 H(1/5) = 14.439 bits = L_null; a mixture gives the true value log2(5) = 2.322."""
    status, lines, _ = run("--experiment", "heartbeat", "--small")
    assert status == 0
    rows = table(lines)
    assert list(rows) == ["L_null", "truth", "bernoulli", "bernoulli-mixture"]
    column = "log p, bits/example"
    exact = -20 * stats.entropy([0.2, 0.8], base=2)
    assert float(rows["L_null"][column]) == pytest.approx(exact, abs=5e-4)
    assert float(rows["truth"][column]) == pytest.approx(-np.log2(5), abs=5e-4)
    assert float(rows["bernoulli"][column]) == pytest.approx(exact, abs=0.02)
    assert float(rows["bernoulli-mixture"][column]) == pytest.approx(-np.log2(5), abs=0.005)
    assert rows["bernoulli-mixture"]["chosen"] == "components 5"


def test_examples_have_the_scale_and_dequantization_noise_of_training(data):
    """Each number is a scaled level plus noise, which is uniform over one level and depends on the seed only."""
    settings = Settings.from_arguments(data_path=str(data), quiet=True).replace(dtype="float64")
    first, again = baselines.load_examples(settings, settings.seed), baselines.load_examples(settings, settings.seed)
    np.testing.assert_array_equal(first.train, again.train)
    pixels = runs.pixels(runs.TRAIN)
    unit = pixels / 255
    assert first.scale == pytest.approx(1 / unit.std())
    for scaled, levels in ((first.train, pixels), (first.test, runs.pixels(runs.TEST, seed=1))):
        noise = (scaled / first.scale + unit.mean()) * 255 - levels.reshape(len(levels), -1)
        assert stats.kstest(noise.ravel(), stats.uniform(-0.5, 1).cdf).pvalue > 1e-3


def test_a_run_names_its_data(run, trained, data):
    """The figures of the run are those of the same data without a run."""
    words = ("--kinds", "ppca", "--quiet")
    plain, of_run = (table(run(*given, *words)[1]) for given in (("--data-path", data), (trained.parent,)))
    assert [{**row, "seconds": ""} for row in plain.values()] == [{**row, "seconds": ""} for row in of_run.values()]
    status, _, (line,) = run(trained, "--dataset", "MNIST")
    assert status == 2
    assert f"--dataset: is not used with {trained}, a run, which names its data; leave one out" in line


def test_without_scikit_learn_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    status, out, (line,) = run("--experiment", "heartbeat")
    assert (status, out) == (2, [])
    assert line.endswith('scikit-learn is not installed; take the extra: pip install -e ".[baselines]"')


REFUSED = [
    (["--experiment", "nothing"], "--experiment: 'nothing' is unknown; accepted: mnist"),
    (["--experiment", "heartbeat", "--kinds", "ppca"], "--kinds ppca: the data are bits; accepted: bernoulli"),
    (["--experiment", "heartbeat", "--crop", 4], "--crop 4 contradicts --experiment heartbeat"),
    (["--kinds", "bernoulli"], "--kinds bernoulli: the data are not bits; accepted: gaussian"),
    (["--kinds", "pca"], "invalid choice: 'pca'"),
    (["--floors", 0.1, -1, "--kinds", "gaussian"], "--floors: -1 is not accepted; give numbers above 0"),
    (["--floors", 0.1], "--floors: ppca has none; give --kinds of gaussian mixture diagonal-mixture"),
    (["--noise", 0], "--noise: 0 is not accepted; give a variance above 0 and below 1"),
    (["--experiment", "heartbeat", "--noise", 0.1], "--noise: the data are bits, which have no Gaussian noise"),
    (
        ["--experiment", "swissroll", "--small", "--kinds", "conditional-mixture"],
        "--kinds conditional-mixture: the data are not images; accepted: gaussian",
    ),
    (["--small"], "--small: is a variant of an experiment"),
    (["--seed", -1], "--seed: -1 is not accepted"),
    (["--crop", 0], "--crop: 0 is not accepted"),
    (["--data-path", "/nowhere"], "no MNIST found"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_mistakes_are_one_line(run, given, message):
    status, out, err = run(*given)
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith("dpm baselines: error: ")
    assert message in err[0]


def test_images_too_large_for_a_covariance_are_refused(run, tmp_path):
    runs.write_data(tmp_path, runs.pixels(3, width=68), runs.pixels(2, seed=1, width=68))
    status, _, (line,) = run("--data-path", tmp_path)
    assert status == 2
    assert "4,624 numbers are too large for a covariance; take up to 4,096 by --crop" in line


def test_help_imports_nothing_heavy():
    runs.check_help("baselines", "--kinds")
