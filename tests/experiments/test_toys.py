"""The toy problems: data, arguments and named forms."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.experiments.toys import HEARTBEAT, TOYS, make_data, swiss_roll_schedule
from dpm.graph import schedules
from dpm.graph.networks import vectors
from dpm.runs.settings import Settings
from tests.helpers.graphs import value


def model(name, **given):
    with Engine("numba", "float32"):
        return TOYS[name].model({"trajectory_length": 5} | given)


@pytest.mark.parametrize("name", TOYS)
def test_seed_determines_separate_training_and_test_data(name):
    first, again, other = (make_data(TOYS[name], name, {}, False, seed, "float32") for seed in (0, 0, 1))
    assert len(first.train) == 400_000
    assert len(first.test) == 20_000
    np.testing.assert_array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    assert not np.array_equal(first.train[:20_000], first.test)
    if name == "heartbeat":
        assert set(np.unique(first.train)) == {0, 1}
        np.testing.assert_array_equal(first.train.sum(axis=1), HEARTBEAT["length"] // HEARTBEAT["period"])
    else:
        np.testing.assert_allclose(first.train.var(axis=0), 1, atol=0.01)


@pytest.mark.parametrize("name", TOYS)
def test_small_data_have_their_own_sizes_and_the_given_dtype(name):
    data = make_data(TOYS[name], name, {}, True, 0, "float64")
    assert (len(data.train), len(data.test)) == TOYS[name].small
    assert data.train.dtype == data.test.dtype == data.dtype == "float64"
    assert data.range == [data.train.min(), data.train.max()]


def test_paper_form_of_the_heartbeat_matches_appendix_D_1_2():
    """Three layers of 50 sigmoid units, a sigmoid readout per step, 2000 steps, base rate 0.2."""
    toy = TOYS["heartbeat"]
    arguments = toy.complete({"form": "paper"})
    assert arguments["trajectory_length"] == 2000
    built = model("heartbeat", form="paper", trajectory_length=7)
    assert isinstance(built.network, vectors.PlainRates)
    shapes = {path.rpartition("/")[2]: p.shape for path, p in built.parameters().items()}
    assert shapes["rates.W"] == (7, 50, 20)
    matrices = [p.shape for path, p in built.parameters().items() if "hidden layers" in path and path.endswith(".W")]
    assert matrices == [(20, 50), (50, 50), (50, 50)]
    assert built.kernel.base_rate == 0.2
    # A sigmoid up to a shift, which the biases of the next layer take up (test_vectors.py).
    shifted = 1 / (1 + np.exp(-2.0)) - 0.5
    np.testing.assert_allclose(value(built.network.hidden.activation.apply(2.0)), shifted, rtol=1e-6)  # float32


def test_paper_form_of_the_heartbeat_has_the_parameters_of_appendix_D_1_2():
    """20 inputs, three layers of 50, and a readout of 20 rates for each of the 2000 steps, all with biases."""
    layers = (20 * 50 + 50) + 2 * (50 * 50 + 50)
    built = model("heartbeat", form="paper", trajectory_length=2000)
    assert (
        sum(int(np.prod(p.shape)) for p in built.parameters().values()) == layers + 2000 * (50 * 20 + 20) == 2_046_150
    )


def test_paper_form_of_the_swiss_roll_matches_appendix_D_1_1():
    """A normalized RBF network of 16 units, diagonal covariance through a sigmoid, 40 steps, learned rates."""
    arguments = TOYS["swissroll"].complete({"form": "paper"})
    assert arguments["trajectory_length"] == 40
    assert arguments["covariance"] == "diagonal"
    built = model("swissroll", form="paper", trajectory_length=7)
    assert isinstance(built.network, vectors.MeanVariance)
    assert isinstance(built.network.hidden, vectors.NormalizedRBF)
    shapes = {path.rpartition("/")[2]: p.shape for path, p in built.parameters().items()}
    assert shapes == {
        "schedule.logits": (6,),
        "rbf.centers": (16, 2),
        "rbf.log_width": (16,),
        "mu.W": (7, 16, 2),
        "mu.b": (7, 2),
        "sigma.W": (7, 16, 2),
        "sigma.b": (7, 2),
    }


def test_form_of_the_swiss_roll_sets_how_it_trains():
    given = {"experiment": "swissroll", "model_args": {"form": "paper"}}
    settings = Settings.from_arguments(**given, lr=0.01)
    assert (settings.lr, settings.lr_schedule, settings.dtype) == (0.01, "cosine", "float64")
    plain = Settings.from_arguments(experiment="swissroll")
    assert (plain.lr, plain.lr_schedule, plain.dtype) == (1e-5, "late-linear", "float32")
    beta = swiss_roll_schedule(TOYS["swissroll"].complete({"form": "paper"}))
    log_snr = -np.log(np.expm1(-np.cumsum(np.log1p(-beta))))
    np.testing.assert_allclose(np.diff(log_snr, 2), 0, atol=1e-6)  # the start does not know the density


def test_given_arguments_override_the_form():
    arguments = TOYS["heartbeat"].complete({"form": "paper", "activation": "tanh"})
    assert arguments["activation"] == "tanh"
    assert arguments["network"] == "plain_rates"
    assert list(TOYS["heartbeat"].complete({})) == ["form", *TOYS["heartbeat"].arguments]


@pytest.mark.thorough
@pytest.mark.parametrize("schedule", ["best", "even_log_snr", "released"])
def test_first_rate_is_a_share_of_the_noise_variance(schedule):
    """beta_1 must be well below the noise variance of the data, or K cannot resolve the curve."""
    arguments = TOYS["swissroll"].complete({"schedule": schedule, "noise": 0.1, "trajectory_length": 6})
    beta = swiss_roll_schedule(arguments)
    assert beta.shape == (6,)
    assert beta[0] == pytest.approx(0.0025 * 0.01, rel=1e-6)
    if schedule == "released":
        np.testing.assert_array_equal(beta[1:], schedules.released(6)[1:])


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("swissroll", {"noize": 0.1}, "did you mean noise"),
        ("swissroll", {"form": "other"}, "form='other': accepted: further, paper"),
        ("swissroll", {"covariance": "spherical"}, "covariance='spherical': accepted: diagonal, full"),
        ("swissroll", {"hidden_kind": "rbf", "spread": 1.0}, "spread=1.0 has no effect with hidden_kind='rbf'"),
        ("swissroll", {"form": "paper", "layers": 2}, "layers=2 has no effect with hidden_kind='rbf'"),
        ("swissroll", {"trajectory_length": 1}, "trajectory_length: 1 is too small; accepted: 2 or more"),
        ("swissroll", {"form": ["paper"]}, r"form=\['paper'\]: accepted: further, paper"),
        ("swissroll", {"learn_beta": 1}, "learn_beta=1: accepted: True or False"),
        ("swissroll", {"noise": "much"}, "noise='much': accepted: a number above 0 and below 1"),
        ("swissroll", {"noise": 10**400}, "accepted: a number above 0 and below 1"),
        ("swissroll", {"noise": 1.0}, "noise=1.0: accepted: a number above 0 and below 1"),
        ("swissroll", {"spread": float("nan")}, "spread=nan: accepted: a number above 0"),
        ("swissroll", {"spread": -1.0}, "spread=-1.0: accepted: a number above 0"),
        ("swissroll", {"beta_1_share": 10.0}, "beta_1_share=10.0: accepted: a number above 0 and below 1"),
        ("heartbeat", {"hidden": 2.5}, "hidden: 2.5 is not a whole number"),
        ("heartbeat", {"network": "mlp"}, "network='mlp': accepted: bits, rates, plain_rates"),
        ("heartbeat", {"readouts": "solved"}, "readouts='solved' has no effect with readout_a_step=False"),
    ],
)
def test_invalid_argument_is_an_error(name, given, message):
    with pytest.raises(InputError, match=message):
        TOYS[name].complete(given)


def test_readouts_of_the_bits_of_x_0_cannot_be_solved():
    with pytest.raises(InputError, match="readouts='solved' is for networks that add a readout to logits"):
        model("heartbeat", readouts="solved", readout_a_step=True)


def test_trajectory_too_long_for_the_best_schedule_is_an_error():
    with pytest.raises(InputError, match="trajectory_length=200 is too long for schedule='best'; take up to 161"):
        model("swissroll", trajectory_length=200)
