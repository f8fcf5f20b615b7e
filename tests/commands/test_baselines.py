"""python -m dpm baselines: each model beside its closed form, the units, the choice, the command."""

import itertools
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dpm.base.errors import InputError
from dpm.commands import baselines
from dpm.commands.baselines import KINDS, Data, chosen_model, climb, in_data_units, main, usable
from tests.helpers import runs

pytest.importorskip("sklearn")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def run(capsys):
    """A function that runs the command; returns (status, stdout's lines, stderr's lines)."""

    return partial(runs.outcome, capsys, main)


def table(lines):
    """The rows of the printed table by kind: dict of kind to dict of column to text."""
    start = next(i for i, line in enumerate(lines) if line.startswith("kind "))
    names = re.split(r"  +", lines[start])
    places = [lines[start].index(name) for name in names] + [None]
    cells = [[line[a:b].strip() for a, b in itertools.pairwise(places)] for line in lines[start + 1 :]]
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in cells}


# ------------------------------------------------------------------ the models


def correlated(rng, n, dimension=6):
    """(examples of a Gaussian, its law)."""
    A = rng.standard_normal((dimension, dimension))
    law = stats.multivariate_normal(np.arange(dimension), A @ A.T + 0.1 * np.eye(dimension))
    return law.rvs(n, random_state=rng), law


def test_a_gaussian_on_gaussian_data_has_minus_their_entropy(rng):
    """Test log likelihood -H less D (D + 3) / 4n, what the estimation of mean and covariance costs (0.0007 here)."""
    X, law = correlated(rng, 20_000)
    test = law.rvs(200_000, random_state=rng)
    model, choice = chosen_model(KINDS["gaussian"], X, 16_000, rng, lambda *_: None)
    values = model.score_samples(test)
    assert choice == {"floor": 1e-6}
    assert values.mean() == pytest.approx(-law.entropy(), abs=0.0007 + 4 * stats.sem(values))


@pytest.mark.parametrize("floor", [1e-6, 0.1])
def test_a_gaussian_has_mean_and_covariance_of_its_data_and_the_floor(rng, floor):
    X, _ = correlated(rng, 100)
    law = stats.multivariate_normal(X.mean(axis=0), np.cov(X.T, bias=True) + floor * np.eye(6))
    model = KINDS["gaussian"].fit(X, rng, floor=floor)
    np.testing.assert_allclose(model.score_samples(X), law.logpdf(X), rtol=1e-9)


def test_ppca_is_the_gaussian_of_tipping_and_bishop(rng):
    """C = U_q (L_q - s^2 I) U_q^T + s^2 I, s^2 the mean of the other eigenvalues of the sample covariance."""
    X, _ = correlated(rng, 300)
    values, vectors = np.linalg.eigh(np.cov(X.T))
    s2 = values[:4].mean()
    top = vectors[:, 4:]
    law = stats.multivariate_normal(X.mean(axis=0), top @ np.diag(values[4:] - s2) @ top.T + s2 * np.eye(6))
    model = KINDS["ppca"].fit(X, rng, directions=2)
    np.testing.assert_allclose(model.score_samples(X), law.logpdf(X), rtol=1e-9)


@pytest.mark.parametrize("kind", ["mixture", "diagonal-mixture"])
def test_a_mixture_finds_that_of_its_data(rng, kind):
    """Two Gaussians far apart, 1/3 and 2/3: the density is the true one but for the estimation of its parameters."""
    laws = [stats.multivariate_normal([-5, 0], np.diag([1, 4])), stats.multivariate_normal([5, 3], np.diag([0.5, 0.1]))]
    X = np.concatenate([law.rvs(n, random_state=rng) for law, n in zip(laws, (3000, 6000), strict=True)])
    model = KINDS[kind].fit(X, rng, floor=1e-6, components=2)
    expected = np.log(laws[0].pdf(X) / 3 + laws[1].pdf(X) * 2 / 3)
    assert model.score_samples(X).mean() == pytest.approx(expected.mean(), abs=10 / 9000)


def test_components_are_chosen_by_examples_that_were_not_fitted(rng):
    """Five narrow clusters: more components gain nothing on new examples."""
    centers = 10 * rng.standard_normal((5, 3))
    X = centers[rng.integers(0, 5, 1200)] + 0.1 * rng.standard_normal((1200, 3))
    told = []
    _, choice = chosen_model(KINDS["mixture"], X, 1000, rng, lambda *a: told.append(a))
    assert choice["components"] == 5
    best = max(told, key=lambda a: a[1])
    assert best[0] == choice
    # Entropy of a choice of five and of three numbers of deviation 0.1.
    assert best[1] == pytest.approx(-np.log(5) - 1.5 * np.log(2 * np.pi * np.e * 0.01), abs=0.15)


# ------------------------------------------------------------------ the choice


def test_climbing_finds_the_top_of_a_hill():
    axes = {"a": tuple(range(10)), "b": tuple(range(8))}
    seen = []

    def hill(choice):
        seen.append(choice)
        return -((choice["a"] - 6) ** 2) - (choice["b"] - choice["a"] / 2) ** 2

    assert climb(hill, axes) == (0, {"a": 6, "b": 3})
    assert len(seen) < 40


def test_climbing_stays_at_the_simplest_of_equals():
    assert climb(lambda choice: 1.0, {"a": (1, 2), "b": (3, 4)}) == (1.0, {"a": 1, "b": 3})


def test_climbing_reaches_the_end_of_every_axis():
    axes = {"a": (1, 2, 3), "b": (1, 2)}
    assert climb(lambda c: c["a"] + c["b"], axes) == (5, {"a": 3, "b": 2})


def test_axes_end_where_examples_dimension_or_memory_do():
    assert usable(KINDS["mixture"], 30, 4)["components"] == (2, 5, 10)
    assert usable(KINDS["mixture"], 10**6, 4000)["components"] == (2, 5)
    assert usable(KINDS["ppca"], 50, 12)["directions"] == (1, 2, 5, 10)
    with pytest.raises(InputError, match="3 examples of 9 numbers are too few for components 2"):
        usable(KINDS["diagonal-mixture"], 3, 9)


# ------------------------------------------------------------------ the units


def test_nats_of_an_example_are_bits_of_a_pixel_or_of_a_vector():
    """12 elements, 3 colors: 4 pixels; 8 ln 2 nats are 8 bits, 2 a pixel; all of them for a vector."""
    for elements, expected in ((3, 2), (12, 8)):
        data = Data(np.zeros((1, 12)), np.zeros((1, 12)), elements, 1.0, 0.0, None, "", "")
        assert data.in_bits(8 * np.log(2)) == pytest.approx(expected, rel=1e-12)


def test_the_density_in_data_units_is_that_of_the_data():
    """The uniform density on [0, 1] is 1; scaled by s it is 1/s, for each of three colors."""
    scale = 3.5
    for elements in (1, 3):
        log_p = elements * np.log2(stats.uniform(-1, scale).pdf(0))
        assert in_data_units(log_p, elements, scale) == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------ the command


def test_gaussians_of_uniform_gray_levels(run, tmp_path):
    """Gray levels, dequantized, are uniform on an interval of 256/255: variance (256/255)^2 / 12, of which a Gaussian
    has -1/2 log2(2 pi e variance) bits a pixel in the data's units. Scaled by the deviation of the levels without
    noise, it is L_null less 1/2 log2 of the ratio of the variances."""
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


def test_floors_that_are_given_are_those_that_are_chosen_from(run, tmp_path):
    """Neither is one of those that are tried otherwise."""
    runs.write_data(tmp_path, runs.pixels(60), runs.pixels(20, seed=1))
    status, out, _ = run("--data-path", tmp_path, "--kinds", "gaussian", "--floors", 0.02, 0.5)
    assert status == 0
    (line,) = [line for line in out if line.startswith("gaussian")]
    assert "floor 0.02 " in line or "floor 0.5 " in line


def test_heartbeats_are_known_by_five_components(run):
    """Independent bits: 20 H(1/5) = 14.439 bits, which is L_null; a mixture: log2(5) = 2.322, the truth."""
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


def test_examples_are_those_of_training_with_noise_of_one_level(data):
    """Without its noise each number is a scaled level; the noise is uniform over one level, the same for one seed."""
    options = baselines.parser().parse_args(["--data-path", str(data), "--quiet"])
    first, again = baselines.load_data(options), baselines.load_data(options)
    np.testing.assert_array_equal(first.train, again.train)
    pixels = runs.pixels(runs.TRAIN)
    unit = pixels / 255
    assert first.scale == pytest.approx(1 / unit.std())
    for scaled, levels in ((first.train, pixels), (first.test, runs.pixels(runs.TEST, seed=1))):
        noise = (scaled / first.scale + unit.mean()) * 255 - levels.reshape(len(levels), -1)
        assert stats.kstest(noise.ravel(), stats.uniform(-0.5, 1).cdf).pvalue > 1e-3


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
    (["--small"], "--small: is a variant of an experiment"),
    (["--seed", -1], "--seed: -1 is not accepted"),
    (["--crop", 0], "--crop: 0 is not accepted"),
    (["--data-path", "/nowhere"], "no MNIST found"),
]


@pytest.mark.parametrize(("given", "told"), REFUSED)
def test_mistakes_are_one_line(run, given, told):
    status, out, err = run(*given)
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith("dpm baselines: error: ")
    assert told in err[0]


def test_pictures_too_large_for_a_covariance_are_refused(run, tmp_path):
    runs.write_data(tmp_path, runs.pixels(3, width=68), runs.pixels(2, seed=1, width=68))
    status, _, (line,) = run("--data-path", tmp_path)
    assert status == 2
    assert "4,624 numbers are too large for a covariance; take up to 4,096 by --crop" in line


def test_help_imports_nothing_heavy():
    runs.check_help("baselines", "--kinds")
