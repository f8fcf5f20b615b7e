"""beta_2..beta_T learned by gradient ascent on K with frozen noise (section 2.4.1), through the main loop."""

import numpy as np
import pytest

from dpm.base import noise
from dpm.datasets.made.generators import swiss_roll
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.toys import TOYS
from dpm.experiments.variants import CORRECTED
from dpm.graph import schedules
from dpm.optimizers import Adam
from dpm.training.least_squares import refit
from dpm.training.loop import MainLoop
from tests.helpers.bounds import K_all_terms
from tests.helpers.graphs import compiled_vectors

T = 10
NOISE = 0.05
X = swiss_roll(np.random.default_rng(0), 6400, NOISE).astype("float32")
TEST = swiss_roll(np.random.default_rng(1), 20_000, NOISE)


def trained(schedule, lr, epochs, seed=0):
    """Return (compiled, theta, beta) after training from the initial values of the seed, 100 steps per epoch."""
    compiled = compiled_vectors(T, schedule)
    theta = compiled.start(noise.generator(seed, noise.START, 1))
    rule = Adam(theta.size, "float64")
    loop = MainLoop(compiled, theta, rule, X, CORRECTED, batch_size=64, lr=lr, epochs=epochs, seed=seed)
    assert loop.run()
    assert rule.skipped_steps == 0
    return compiled, loop.theta, compiled.beta(loop.theta)


def toy_start(name, arguments, seed):
    """Return (compiled, theta) of the model of a toy problem with its initial values, in float32."""
    with Engine("auto", "float32") as engine:
        model = TOYS[name].model(arguments)
    compiled = CompiledModel(model, engine)
    return compiled, compiled.start(noise.generator(seed, noise.START, 1))


def free():
    return schedules.FreeSchedule(schedules.released(T))


def basis():
    return schedules.BasisSchedule(T, 4, 0.0)


@pytest.mark.thorough
@pytest.mark.parametrize("schedule", [free, pytest.param(basis, marks=pytest.mark.slow)])
def test_rates_stay_between_0_and_1_at_a_learning_rate_far_too_high(schedule):
    """3,000 steps at 0.1, thirty times the rate at which the toy problems are trained."""
    _, theta, beta = trained(schedule, lr=0.1, epochs=30)
    assert np.isfinite(theta).all()
    assert np.all((beta > 0) & (beta < 1))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_learned_schedule_is_better_than_the_released_one_it_started_from(seed):
    """K on held-out data differs by more than four standard errors; beta_1 is not learned."""
    bounds, betas = [], []
    for learn in (False, True):
        arguments = {
            "trajectory_length": T,
            "noise": NOISE,
            "hidden": 32,
            "schedule": "released",
            "learn_beta": learn,
        }
        compiled, start = toy_start("swissroll", arguments, seed)
        theta = refit(compiled, start, X, seed, quiet=True)
        loop = MainLoop(compiled, theta, Adam(theta.size), X, CORRECTED, batch_size=640, lr=3e-3, epochs=60, seed=seed)
        assert loop.run()
        bounds.append(K_all_terms(compiled, loop.theta, TEST, 0, 20_000, 20_000))
        betas.append(compiled.beta(loop.theta))
    fixed, learned = bounds
    assert learned.value > fixed.value + 4 * np.hypot(fixed.standard_error, learned.standard_error)
    assert betas[1][0] == betas[0][0]
    assert np.abs(betas[1][1:] / betas[0][1:] - 1).max() > 0.1
