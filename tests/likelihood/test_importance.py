"""Eq. 9 compared with closed forms, sums over all trajectories and K."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm, sem

from dpm.base import noise
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.toys import TOYS
from dpm.likelihood import bound, importance
from dpm.likelihood.importance import log_likelihood, summarize
from dpm.model import DiffusionModel
from dpm.runs import checkpoint
from tests.helpers import runs
from tests.likelihood.models import DEVIATION, MEAN, NONE, bits, enumerated, gaussian


def test_every_weight_is_p_of_x0_if_model_and_data_are_the_prior():
    """For data from the prior p(x_0..x_T) = q: each weight of Eq. 9 is pi(x_0), and K = L_null (Eq. 14)."""
    compiled, _ = gaussian(0.0, 1.0)
    for x in (-0.5, 0.7, 2.0):
        result = log_likelihood(compiled, NONE, np.array([x]), 0, 40, block=16)
        assert result.value == pytest.approx(norm.logpdf(x), abs=1e-6)
        assert result.bound == pytest.approx(norm.logpdf(x), abs=1e-6)
        assert result.effective == pytest.approx(40, rel=1e-6)
    terms = bound.terms(compiled, NONE, np.random.default_rng(0).standard_normal((20_000, 1)), 0)
    assert abs(terms.K - terms.L_null).mean() > 1e-3, "single draws of KL_t differ from its mean"
    assert abs((terms.K - terms.L_null).mean()) < 4 * terms.K.std() / 20_000**0.5


@pytest.mark.parametrize("x", [-0.2, 0.7, 1.5])
def test_likelihood_of_a_gaussian_model_agrees_with_the_closed_form(x):
    """x_1 has the marginal of the data; p(x_0 | x_1) is one more forward step (Eq. 43)."""
    compiled, schedule = gaussian(MEAN, DEVIATION)
    kept, mean, variance = 1 - schedule[0], MEAN, DEVIATION**2
    for _ in range(2):
        mean, variance = np.sqrt(kept) * mean, kept * variance + schedule[0]
    result = log_likelihood(compiled, NONE, np.array([x]), 0, 20_000, block=5000)
    assert result.error < 0.01
    assert abs(result.value - norm.logpdf(x, mean, np.sqrt(variance))) < 4 * result.error


@pytest.mark.parametrize("x", [(0, 0), (1, 0), (1, 1)])
def test_likelihood_of_bits_agrees_with_the_sum_over_all_trajectories(x):
    compiled, schedule = bits()
    expected, K = enumerated(x, schedule)
    result = log_likelihood(compiled, NONE, np.array(x, float), 1, 20_000, block=5000)
    assert abs(result.value - expected) < 4 * result.error
    assert result.error < 0.01
    assert expected > K
    assert abs(result.bound - K) < 0.05


@pytest.mark.thorough
def test_estimate_grows_with_trajectories_and_stays_above_K(base):
    """Jensen: the expected log of the mean of M weights grows with M, from K to log p(x_0) (Eq. 11, 12)."""
    compiled, schedule = bits(strength=6.0)  # a poor model: its K is far below log p(x_0)
    x = np.array([1.0, 0.0])
    expected, K = enumerated(x, schedule, strength=6.0)
    means = []
    for M in (1, 4, 64):
        values = [log_likelihood(compiled, NONE, x, seed, M).value for seed in range(200)]
        means.append(np.mean(values))
        spread = np.std(values) / 200**0.5
        assert K - 4 * spread < means[-1] < expected + 4 * spread
    assert means[0] < means[1] < means[2]


def test_weights_far_apart_have_effective_sample_size_1():
    result = summarize(np.array([0.0, -2000.0, -1e5]), np.random.default_rng(0))
    assert result.value == pytest.approx(-np.log(3))
    assert result.effective == pytest.approx(1)


def digits(base):
    meta, arrays = checkpoint.load_run(runs.trained(base) / "checkpoint.h5")
    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(DiffusionModel(**meta["model"]), engine)
    return compiled, compiled.layout.flatten(checkpoint.split(arrays)[0], "float32"), runs.pixels(40, seed=1) / 64 - 2


def toy(name, **arguments):
    engine = Engine("auto", "float32")
    with engine:
        compiled = CompiledModel(TOYS[name].model({"trajectory_length": 10, "hidden": 8} | arguments), engine)
    X = TOYS[name].make(TOYS[name].complete(arguments), np.random.default_rng(0), 100)
    return compiled, compiled.start(np.random.default_rng(1)), X


MODELS = {
    "digits": digits,
    "swissroll": lambda base: toy("swissroll", schedule="even_log_snr", noise=0.2),
    "heartbeat": lambda base: toy("heartbeat"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_sum_over_t_equals_K_of_whole_trajectories(name, base):
    """Eq. 14 with means of log pi in place of H_p (Eq. 42) is Eq. 12, the mean log weight, for each example.
    The digits have neither the mean nor the variance of the prior."""
    compiled, theta, X = MODELS[name](base)
    X, draws = X.astype(np.float32), 30
    edge = bound.edge_correction(compiled, theta, X)
    assert edge.shape == (len(X),)
    if name == "digits":
        assert edge.mean() < -1
    sums = [bound.terms(compiled, theta, X, seed).K + edge for seed in range(draws)]
    whole = [log_likelihood(compiled, theta, x, 0, draws, block=draws, example=i).bound for i, x in enumerate(X)]
    apart = np.mean(sums, axis=0) - whole
    assert abs(apart.mean()) < 3 * sem(apart)
    assert sem(apart) < 0.1 * np.std(np.mean(sums, axis=0)) + 0.5


@pytest.mark.thorough
def test_memory_does_not_grow_with_T():
    peaks = []
    for T in (20, 400):
        compiled, _ = gaussian(MEAN, DEVIATION, T)
        log_likelihood(compiled, NONE, np.array([0.3]), 0, 500, block=500)  # compiles
        tracemalloc.start()
        log_likelihood(compiled, NONE, np.array([0.3]), 0, 500, block=500)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_examples_have_independent_noise():
    compiled, _ = gaussian(MEAN, DEVIATION)
    first, again, other = (log_likelihood(compiled, NONE, np.array([0.3]), 0, 50, example=i) for i in (0, 0, 1))
    assert first == again
    assert first.value != other.value


def same_numbers_on_host(monkeypatch, device_noise, kind):
    """Let the host draw the device's numbers: each call of a Generator for a step has those of its place."""

    def generator(seed, purpose, example, start=None, t=None):
        return (seed, example, start, t) if t else noise.generator(seed, purpose, example, *filter(None, [start, t]))

    def normal(place, shape):
        seed, example, start, t = place
        words = noise.device_key(seed, noise.FORWARD, example)
        return device_noise.draw(words, t, range(start, start + shape[0]), [(kind, shape[1:])])[0]

    ours = SimpleNamespace(**vars(noise) | {"generator": generator, "DRAWS": {kind: normal}})
    monkeypatch.setattr(importance, "noise", ours)


def test_trajectories_on_the_device_are_those_of_the_host_with_the_same_numbers(monkeypatch):
    jax = pytest.importorskip("jax")
    from tests.helpers import device_noise

    host, _ = gaussian(MEAN, DEVIATION)
    device, x = device_noise.on_device(host), np.array([0.3])
    counts, run = [], importance._run_on_device
    there = log_likelihood(device, NONE, x, 2, 50, 20, counts.append, 3)
    assert sum(counts) == 50 * host.model.trajectory_length

    def guarded(*arguments):
        with jax.transfer_guard("disallow"):
            return run(*arguments)

    monkeypatch.setattr(importance, "_run_on_device", guarded)
    assert log_likelihood(device, NONE, x, 2, 50, 20, example=3) == there
    monkeypatch.setattr(importance, "_run_on_device", run)  # compiling moves constants
    same_numbers_on_host(monkeypatch, device_noise, "normal")
    assert log_likelihood(host, NONE, x, 2, 50, 20, example=3) == pytest.approx(there, rel=1e-10)
    assert log_likelihood(device, NONE, x, 2, 50, 50, example=3) == pytest.approx(there, rel=1e-10)  # other blocks
    assert log_likelihood(device, NONE, x, 2, 50, 20, example=4).bound != there.bound
