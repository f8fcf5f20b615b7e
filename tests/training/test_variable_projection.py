"""Readouts solved for in each step of training, on problems with a known optimum."""

from functools import partial

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.inputs import Input
from dpm.experiments.toys import TOYS
from dpm.experiments.variants import CORRECTED
from dpm.graph import schedules
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.networks import vectors
from dpm.graph.vector_model import VectorDiffusion
from dpm.optimizers import Adam
from dpm.runs.settings import Settings
from dpm.training import variable_projection
from dpm.training.building import prepare_loop
from dpm.training.least_squares import readout_views
from dpm.training.recipe import Recipe
from dpm.training.variable_projection import ProjectionLoop, project, shared_paths, solve_readouts
from tests.helpers.bounds import K_all_terms
from tests.training.test_least_squares import COVARIANCE, T, best_K

N = 300


def compile_model(network=vectors.MeanVariance, inputs=True):
    """Return the compiled model of T steps with two radial functions, or six without x_t, and a learned schedule."""
    engine = Engine("auto", "float64")
    with engine:
        hidden = vectors.WithInputs(2, vectors.NormalizedRBF(2, 2)) if inputs else vectors.NormalizedRBF(2, 6)
        schedule = schedules.FreeSchedule(schedules.linear(T, 0.05, 0.5))
        model = VectorDiffusion(2, GaussianKernel(), schedule, network(2, hidden, T))
    return CompiledModel(model, engine)


def make_loop(compiled, X, **more):
    rule = Adam(compiled.layout.size, "float64")
    arguments = {"batch_size": N, "lr": 0.02, "epochs": 1, "seed": 0, "recipe": Recipe(lr_schedule="constant")}
    theta = compiled.start(np.random.default_rng(0))
    return ProjectionLoop(compiled, theta, rule, X, CORRECTED, **(arguments | more))


def function_of(compiled, build, n=N):
    sizes = [Input("X", (n, 2)), Input("N", (n * (T - 1), 2)), Input("gain", (1,))]
    return compiled.function(partial(build, compiled.model), sizes)


@pytest.mark.parametrize("network", [vectors.MeanVariance, vectors.PosteriorVariance])
def test_gradient_is_that_of_the_cost_with_readouts_solved_again(network):
    """The envelope theorem, against central differences through the solution; the variances' readouts are held."""
    compiled, rng = compile_model(network, inputs=False), np.random.default_rng(0)
    function = function_of(compiled, project)
    X, noise, held = rng.standard_normal((N, 2)), rng.standard_normal((N * (T - 1), 2)), np.zeros(1)
    theta = compiled.start(rng)
    _, _, sigma, *gradients = function(theta, X, noise, np.ones(1))
    W, b = readout_views(compiled, theta)["sigma"]
    W[1:], b[1:] = sigma[:, :-1], sigma[:, -1]
    *_, unchanged = function(theta, X, noise, held)[:3]
    np.testing.assert_array_equal(unchanged, sigma)
    gradients = function(theta, X, noise, held)[3:]
    for path, gradient in zip(shared_paths(compiled.model), gradients, strict=True):
        direction = rng.standard_normal(gradient.shape)
        costs = []
        for step in (1e-5, -1e-5):
            moved = theta.copy()
            compiled.layout.split(moved)[path][...] += step * direction
            costs.append(float(function(moved, X, noise, held)[0]))
        assert (costs[0] - costs[1]) / 2e-5 == pytest.approx((gradient * direction).sum(), rel=1e-4, abs=1e-7), path


def test_readouts_of_the_mean_are_those_of_numpy():
    """Weighted least squares of each t and each element; with readouts of 0 Sigma is beta_t (Eq. 65)."""
    compiled, rng = compile_model(inputs=False), np.random.default_rng(0)
    X, noise = rng.standard_normal((N, 2)), rng.standard_normal((N * (T - 1), 2))
    theta = compiled.start(rng)
    mu, _ = function_of(compiled, solve_readouts)(theta, X, noise, np.ones(1))
    features = compiled.function(
        lambda x, t: compiled.model.network.hidden.apply(x, compiled.model.get_rates(t)), compiled.reverse_inputs(N)
    )
    beta = compiled.beta(theta)
    alpha_bar = np.cumprod(1 - beta)
    for t in (2, T):
        a, before, b = alpha_bar[t - 1], alpha_bar[t - 2], beta[t - 1]
        x_t = np.sqrt(a) * X + np.sqrt(1 - a) * noise[(t - 2) * N : (t - 1) * N]
        q_mu = (np.sqrt(before) * b * X + np.sqrt(1 - b) * (1 - before) * x_t) / (1 - a)
        A = features(theta, x_t, np.full(N, float(t)))[0]
        expected = np.linalg.lstsq(A, (q_mu - np.sqrt(1 - b) * x_t) / np.sqrt(b), rcond=None)[0]
        # The functions sum to 1, so the bias is one direction too many: compare the outputs.
        np.testing.assert_allclose(A @ mu[t - 2, :-1] + mu[t - 2, -1], A @ expected, atol=1e-5)


@pytest.mark.parametrize("network", [vectors.MeanVariance, vectors.PosteriorVariance])
def test_solved_readouts_reach_the_optimal_bound_of_normal_data(monkeypatch, network):
    """For normal data the optimal mean is linear in x_t and the optimal variance is constant."""
    monkeypatch.setattr(variable_projection, "EXAMPLES", 4000)
    compiled, rng = compile_model(network), np.random.default_rng(0)
    loop = make_loop(compiled, rng.multivariate_normal([0, 0], COVARIANCE, 20_000))
    theta = loop.averaged_theta
    test = rng.multivariate_normal([0, 0], COVARIANCE, 50_000)
    bound = K_all_terms(compiled, theta, test, 1, 10_000, 50_000)
    best = best_K(np.asarray(compiled.beta(theta)), False)
    assert bound.value == pytest.approx(best, abs=4 * bound.standard_error + 2e-3)
    np.testing.assert_array_equal(theta, loop.averaged_theta)


def test_training_moves_what_the_steps_share_and_raises_K():
    compiled, rng = compile_model(inputs=False), np.random.default_rng(0)
    loop = make_loop(compiled, TOYS["swissroll"].make({"noise": 0.1}, rng, 20 * N))
    costs = []

    class Record:
        def after_batch(self, loop):
            costs.append(loop.state.epoch_cost)

    loop.extensions = [Record()]
    before = compiled.layout.split(loop.theta.copy())
    assert loop.run()
    after = compiled.layout.split(loop.theta)
    assert loop.state.step == 20
    for path in shared_paths(compiled.model):
        assert not np.array_equal(before[path], after[path]), path
    assert costs[-1] < costs[0]


def test_state_of_another_model_is_refused():
    loop = make_loop(compile_model(), np.zeros((N, 2)))
    state = loop.optimizer_state() | {"projection/theta": np.zeros(3)}
    with pytest.raises(InputError, match="the optimizer's state is not of this model"):
        loop.load(loop.theta, state)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "sfo"}, "--optimizer sfo contradicts --model-args readouts='solved'"),
        ({"dtype": "float32"}, "--dtype float32: has too few digits to solve for the readouts"),
        ({"times": "importance"}, "--times importance has no effect where each step solves for the readouts"),
        ({"objective": "balanced"}, "--objective balanced has no effect where each step solves for the readouts"),
    ],
)
def test_flag_without_effect_is_an_error(given, message):
    arguments = {"form": "paper", "trajectory_length": 5}
    settings = Settings.from_arguments(experiment="swissroll", model_args=arguments, small=True, **given)
    with pytest.raises(InputError, match=message):
        prepare_loop(settings)


def test_full_covariance_is_an_error():
    with Engine("auto", "float64"), pytest.raises(InputError, match=r"covariance='full'.* readouts='gradient'"):
        TOYS["swissroll"].model({"form": "paper", "covariance": "full"})
