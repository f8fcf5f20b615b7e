"""Readouts solved for in each step of training, on problems with a known optimum."""

from functools import partial

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel, Input
from dpm.engines.engine import Engine
from dpm.experiments.toys import TOYS
from dpm.experiments.variants import CORRECTED
from dpm.graph import schedules
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.networks import vectors
from dpm.graph.vector_model import VectorDiffusion
from dpm.likelihood.bound import K_all_terms
from dpm.optimizers import FullMatrixAdam
from dpm.runs.settings import Settings
from dpm.training import variable_projection
from dpm.training.building import prepare_loop
from dpm.training.least_squares import readout_views
from dpm.training.recipe import Recipe
from dpm.training.variable_projection import (
    ProjectionLoop,
    project,
    shared_paths,
    shared_places,
    start_centers,
)
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
    rule = FullMatrixAdam(shared_places(compiled), warmup=5)
    arguments = {"batch_size": N, "lr": 0.02, "epochs": 1, "seed": 0, "recipe": Recipe(lr_schedule="constant")}
    theta = compiled.start(np.random.default_rng(0))
    return ProjectionLoop(compiled, theta, rule, X, CORRECTED, **(arguments | more))


def function_of(compiled, build, n=N):
    return compiled.function(partial(build, compiled.model), [Input("X", (n, 2)), Input("N", (T - 1, 2, n))])


@pytest.mark.parametrize("network", [vectors.MeanVariance, vectors.PosteriorVariance])
def test_gradient_is_that_of_the_cost_with_readouts_solved_again(network, monkeypatch):
    """The envelope theorem, against central differences through the solution; the variances' readouts are held."""
    compiled, rng = compile_model(network, inputs=False), np.random.default_rng(0)
    loop = make_loop(compiled, rng.standard_normal((N, 2)))
    loop.theta = loop._newton_step(loop.theta, loop.inputs(loop.features, 0), 1.0)
    monkeypatch.setattr(variable_projection, "FIRST_STEPS", 0)
    monkeypatch.setattr(variable_projection, "GAIN", 0.0)
    inputs, theta = loop.inputs(loop.features, 1), loop.theta
    gradients = compiled.layout.split(loop.objective(inputs)[1])
    for path in shared_paths(compiled.model):
        direction = rng.standard_normal(gradients[path].shape)
        costs = []
        for step in (1e-5, -1e-5):
            loop.theta = theta.copy()
            compiled.layout.split(loop.theta)[path][...] += step * direction
            costs.append(float(loop.objective(inputs)[0]))
        expected = (gradients[path] * direction).sum()
        assert (costs[0] - costs[1]) / 2e-5 == pytest.approx(expected, rel=1e-4, abs=1e-7), path


def test_cost_is_that_of_the_model():
    """The sum over t of the terms of Eq. 14, each computed by the model itself."""
    compiled, rng = compile_model(), np.random.default_rng(0)
    X, noise = rng.standard_normal((N, 2)), rng.standard_normal((T - 1, 2, N))
    theta = rng.standard_normal(compiled.layout.size) / 5
    cost = function_of(compiled, project)(theta, X, noise)[0]
    times, costs = np.repeat(np.arange(2.0, T + 1), N), compiled.costs((T - 1) * N)
    X, noise = np.tile(X, (T - 1, 1)), noise.transpose((0, 2, 1)).reshape((-1, 2))
    terms = costs(theta, X, times, noise, np.zeros_like(X))
    assert float(cost) == pytest.approx(np.mean(terms), rel=1e-10)


def test_readouts_of_the_mean_are_those_of_numpy():
    """Weighted least squares of each t and each element; with readouts of 0 Sigma is beta_t (Eq. 65)."""
    compiled, rng = compile_model(inputs=False), np.random.default_rng(0)
    X = rng.standard_normal((N, 2))
    loop = make_loop(compiled, X)
    _, noise = inputs = loop.inputs(X, 0)
    theta = loop.theta
    W, b = readout_views(compiled, loop._newton_step(theta, inputs, 1.0))["mu"]
    features = compiled.function(
        lambda x, t: compiled.model.network.hidden.apply(x, compiled.model.get_rates(t)), compiled.reverse_inputs(N)
    )
    beta = compiled.beta(theta)
    alpha_bar = np.cumprod(1 - beta)
    for t in (2, T):
        now, before, rate = alpha_bar[t - 1], alpha_bar[t - 2], beta[t - 1]
        x_t = np.sqrt(now) * X + np.sqrt(1 - now) * noise[t - 2].T
        q_mu = (np.sqrt(before) * rate * X + np.sqrt(1 - rate) * (1 - before) * x_t) / (1 - now)
        A = features(theta, x_t, np.full(N, float(t)))[0]
        expected = np.linalg.lstsq(A, (q_mu - np.sqrt(1 - rate) * x_t) / np.sqrt(rate), rcond=None)[0]
        # The functions sum to 1, so the bias is one direction too many: compare the outputs.
        np.testing.assert_allclose(A @ W[t - 1] + b[t - 1], A @ expected, atol=1e-5)


def test_centers_start_on_the_clusters_of_the_data():
    """Two clusters, two centers; the widths are a third of the distance between them."""
    compiled, rng = compile_model(), np.random.default_rng(0)
    X = np.repeat([[-1.0, 0.0], [1.0, 0.0]], 500, axis=0) + 0.01 * rng.standard_normal((1000, 2))
    theta = start_centers(compiled, compiled.start(rng), X, rng)
    values = {path.rpartition(".")[2]: value for path, value in compiled.layout.split(theta).items()}
    np.testing.assert_allclose(sorted(values["centers"].tolist()), [[-1, 0], [1, 0]], atol=0.01)
    np.testing.assert_allclose(np.exp(values["log_width"]), 2 / 3, rtol=0.01)


@pytest.mark.parametrize("network", [vectors.MeanVariance, vectors.PosteriorVariance])
def test_solved_readouts_reach_the_optimal_bound_of_normal_data(monkeypatch, network):
    """For normal data the optimal mean is linear in x_t and the optimal variance is constant."""
    monkeypatch.setattr(variable_projection, "ROUNDS", 10)  # the variances begin far from the optimum
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
        ({"optimizer": "rmsprop"}, "--optimizer rmsprop contradicts --model-args readouts='solved'"),
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
