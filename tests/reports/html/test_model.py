"""KL_t and trajectories of a checkpoint, beside closed forms."""

from pathlib import Path

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import Scaling
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.model import DiffusionModel
from dpm.reports.html.model import divergences, evaluate_run, trajectories
from dpm.reports.html.runs import read_run
from dpm.runs import checkpoint
from dpm.trajectories.forward import forward_states
from tests.helpers import runs

GOLDEN = Path(__file__).parents[2] / "golden_checkpoint"
N = 60


@pytest.fixture(scope="module")
def compiled():
    meta, arrays = checkpoint.load(GOLDEN / "version2.h5")
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(**(meta["model"] | {"uniform_noise": 0}))
    compiled = CompiledModel(model, engine)
    return compiled, compiled.layout.flatten(checkpoint.split(arrays)[0], "float32")


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(3).normal(size=(N, 1, 8, 8)).astype("float32")


def expected_kl(beta, X):
    """E of D_KL(q(x_{t-1} | x_t, x_0) || q(x_t | x_{t-1})'s form) for t = 2..T, bits a pixel, in closed form.

    With all parameters 0 the model's reverse step has the forward kernel's mean sqrt(1 - beta_t) x_t and variance
    beta_t. The posterior is Gaussian (Ho et al. 2020, Eq. 7) and x_t = sqrt(a_bar) x_0 + sqrt(1 - a_bar) N.
    """
    a_bar = np.cumprod(1 - beta)
    values = []
    for t in range(1, len(beta)):
        b, now, before = beta[t], a_bar[t], a_bar[t - 1]
        variance = b * (1 - before) / (1 - now)
        of_x0 = np.sqrt(before) * b / (1 - now)
        of_xt = np.sqrt(1 - b) * (1 - before) / (1 - now) - np.sqrt(1 - b)
        square = (of_x0 + of_xt * np.sqrt(now)) ** 2 * np.mean(X**2) + of_xt**2 * (1 - now)
        values.append((np.log(b / variance) + (variance + square) / b - 1) / 2 / np.log(2))
    return np.array(values)


def test_KL_t_is_that_of_the_closed_form(compiled, X):
    compiled, theta = compiled
    zero = np.zeros_like(theta)
    found = divergences(compiled, zero, X, 0)
    assert found.t.tolist() == list(range(2, 11))
    expected = expected_kl(np.asarray(compiled.beta(zero), np.float64), np.asarray(X, np.float64))
    # The error is over examples, whose x_0 are fixed here: 5 of them are more than the draws' own.
    assert (np.abs(found.kl - expected) < 5 * found.error).all()
    assert (found.error < 0.2 * found.kl).all()


def test_K_is_minus_the_sum_of_KL_t_and_the_entropies(compiled, X):
    """Eq. 14 with H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T) of Gaussians."""
    compiled, theta = compiled
    found = divergences(compiled, theta, X, 0)
    a_bar = np.cumprod(1 - np.asarray(compiled.beta(theta), np.float64))
    entropies = (np.log((1 - a_bar[-1]) / (1 - a_bar[0])) - np.log(2 * np.pi * np.e)) / 2 / np.log(2)
    np.testing.assert_allclose(found.bound.K, entropies - found.kl.sum(), rtol=1e-4)
    assert str(found.bound).endswith("; 60 test examples, scaled units, 2 of 9 t each, seed 0")


def test_bins_of_a_long_trajectory_cover_it_once(compiled, X, monkeypatch):
    monkeypatch.setattr("dpm.likelihood.times.N_BINS", 4)
    found = divergences(*compiled, X, 0)
    covered = [t for first, last in zip(found.first, found.last, strict=True) for t in range(first, last + 1)]
    assert covered == list(range(2, 11))


def test_the_forward_trajectory_is_one_noise_at_every_t(compiled, X):
    """x_t = sqrt(a_bar_t) x_0 + sqrt(1 - a_bar_t) N (Eq. 3)."""
    compiled, theta = compiled
    a_bar = np.cumprod(1 - np.asarray(compiled.beta(theta), np.float64))
    x10, x5, x0 = forward_states(compiled, theta, X, [10, 5, 0], 0)
    assert (x0 == X).all()
    noises = [(x - np.sqrt(a_bar[t - 1]) * X) / np.sqrt(1 - a_bar[t - 1]) for x, t in ((x10, 10), (x5, 5))]
    np.testing.assert_allclose(*noises, atol=1e-4)
    assert noises[0].std() == pytest.approx(1, abs=0.1)


@pytest.mark.thorough
def test_players_have_every_time_and_inpainting_keeps_what_is_known(compiled, X):
    steps = []
    both, inpaint = trajectories(*compiled, X, 0, Scaling(2.0, 0.5), steps.append)
    assert both.times == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert sum(steps) == 2 * 9
    assert {len(panel.states) for panel in both.panels} == {10}
    true, start, drawn = inpaint.panels
    np.testing.assert_allclose(drawn.states[-1][..., 4:], true.states[0][..., 4:], atol=1e-5)
    np.testing.assert_array_equal(start.states[0], drawn.states[0])
    assert true.hole.any(axis=(0, 1)).tolist() == [True] * 4 + [False] * 4
    np.testing.assert_allclose(true.states[0], (X[:25] - 0.5) / 2, atol=1e-6)


def test_a_run_is_evaluated_from_its_own_folder(base):
    folder = runs.trained(base)
    run = read_run(folder)
    found, players = evaluate_run(run, "auto", None, True)
    assert found.bound.describe_errors() == run.bound().note
    assert pytest.approx(run.bound().K, abs=5e-5) == found.bound.K
    assert [player.title for player in players] == ["Forward and reverse trajectory", "In-painting"]


def test_other_data_than_the_runs_are_refused(base, tmp_path):
    folder = runs.trained(base)
    runs.write_data(tmp_path, runs.pixels(60, seed=8), runs.pixels(20, seed=9))
    with pytest.raises(InputError, match="are not those of the run"):
        evaluate_run(read_run(folder), "auto", str(tmp_path), True)
