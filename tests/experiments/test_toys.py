"""The toy problems: their data, arguments and named forms."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.experiments.toys import HEARTBEAT, TOYS, decay_to_zero, swiss_roll_schedule, toy_data
from dpm.graph import schedules
from dpm.graph.networks import vectors as networks

FLAGS = {"seed": 0, "small": False, "dtype": "float32", "model_args": {}}


def model(name, **given):
    with Engine("numba", "float32"):
        return TOYS[name].model({"trajectory_length": 5} | given)


@pytest.mark.parametrize("name", TOYS)
def test_training_and_test_data_are_different_draws_of_the_seed(name):
    first, again, other = (toy_data(TOYS[name], name, FLAGS | {"seed": seed}) for seed in (0, 0, 1))
    assert len(first["train"]) == 400_000
    assert len(first["test"]) == 20_000
    np.testing.assert_array_equal(first["train"], again["train"])
    assert not np.array_equal(first["train"], other["train"])
    assert not np.array_equal(first["train"][:20_000], first["test"])
    if name == "heartbeat":
        assert set(np.unique(first["train"])) == {0, 1}
        np.testing.assert_array_equal(first["train"].sum(axis=1), HEARTBEAT["length"] // HEARTBEAT["period"])
    else:
        np.testing.assert_allclose(first["train"].var(axis=0), 1, atol=0.01)


def test_the_papers_form_of_the_heartbeat_is_that_of_its_appendix():
    """D.1.2: three layers of 50 sigmoid units, a readout a step through a sigmoid, 2000 steps, base rate 0.2."""
    toy = TOYS["heartbeat"]
    arguments = toy.checked({"form": "paper"})
    assert arguments["trajectory_length"] == 2000
    built = model("heartbeat", form="paper", trajectory_length=7)
    assert isinstance(built.network, networks.PlainRates)
    shapes = {path.rpartition("/")[2]: p.shape for path, p in built.parameters().items()}
    assert shapes["rates.W"] == (7, 50, 20)
    matrices = [p.shape for path, p in built.parameters().items() if "hidden layers" in path and path.endswith(".W")]
    assert matrices == [(20, 50), (50, 50), (50, 50)]
    assert built.kernel.base_rate == 0.2
    np.testing.assert_allclose(built.network.hidden.activation.apply(0.0).eval(), 0.5)


def test_the_papers_form_of_the_swiss_roll_is_that_of_its_appendix():
    """D.1.1: a normalized RBF network of 16 units, diagonal covariance through a sigmoid, 40 steps; rates learned."""
    arguments = TOYS["swissroll"].checked({"form": "paper"})
    assert arguments["trajectory_length"] == 40
    assert arguments["covariance"] == "diagonal"
    built = model("swissroll", form="paper", trajectory_length=7)
    assert isinstance(built.network, networks.MeanVariance)
    assert isinstance(built.network.hidden, networks.NormalizedRBF)
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


def test_what_is_given_wins_over_the_form():
    arguments = TOYS["heartbeat"].checked({"form": "paper", "activation": "tanh"})
    assert arguments["activation"] == "tanh"
    assert arguments["network"] == "plain_rates"
    assert list(TOYS["heartbeat"].checked({})) == ["form", *TOYS["heartbeat"].arguments]


@pytest.mark.parametrize("schedule", ["best", "even_log_snr", "released"])
def test_the_first_rate_is_a_share_of_the_noise(schedule):
    """beta_1 must be well below the squared noise of the data, or the bound cannot see it."""
    arguments = TOYS["swissroll"].checked({"schedule": schedule, "noise": 0.1, "trajectory_length": 6})
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
        ("swissroll", {"hidden_kind": "rbf", "spread": 1.0}, "spread=1.0 has no meaning with hidden_kind='rbf'"),
        ("swissroll", {"form": "paper", "layers": 2}, "layers=2 has no meaning with hidden_kind='rbf'"),
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
    ],
)
def test_arguments_that_are_not_accepted_are_named(name, given, message):
    with pytest.raises(InputError, match=message):
        TOYS[name].checked(given)


def test_a_chain_too_long_for_the_best_schedule_is_refused():
    with pytest.raises(InputError, match="trajectory_length=200 is too long for schedule='best'; take up to 161"):
        model("swissroll", trajectory_length=200)


def test_the_learning_rate_stays_for_half_of_training_and_falls_to_0():
    assert [decay_to_zero(0.1, step, 100) for step in (0, 50, 75, 100)] == pytest.approx([0.1, 0.1, 0.05, 0])
