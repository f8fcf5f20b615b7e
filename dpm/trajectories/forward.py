"""Forward trajectories: from data to noise (Eq. 3)."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from dpm.base.noise import ExampleNoise
from dpm.engines.compiled import CompiledModel
from dpm.graph.schedules import signal_shares


def forward_trajectory(
    beta_arr: np.ndarray, X: np.ndarray, times: Sequence[int], noise: np.ndarray
) -> list[np.ndarray]:
    """Return states of the Gaussian forward trajectory, all from the same noise (Eq. 3, frozen noise).

    Args:
        beta_arr: beta_1..beta_T, (T,).
        X: scaled examples x_0, (n, ...).
        times: times t, 0..T.
        noise: standard normal, with the shape of X.

    Returns:
        x_t at each of the times, each (n, ...).
    """
    alpha_bar = signal_shares(beta_arr)
    return [X * alpha_bar[t] ** 0.5 + noise * (1 - alpha_bar[t]) ** 0.5 for t in times]


def forward_states(
    compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, times: Sequence[int], seed: int
) -> list[np.ndarray]:
    """Draw x_t of q(x_t | x_0) with the model's own kernel and schedule, all times from the same noise.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples x_0, (n, ...).
        times: times t, 0..T.
        seed: seed of the noise.

    Returns:
        x_t at each of the times, each float64 (n, ...).
    """
    model, engine, n = compiled.model, compiled.engine, len(X)
    function = compiled.function(partial(_diffuse, model), compiled.forward_inputs(n))
    N = engine.asarray(ExampleNoise(seed + 1, 0, n, model.kernel.noise)(X.shape))
    middle = engine.asarray(np.full(X.shape, 0.5))  # no dequantization noise
    states = []
    for t in times:
        (x,) = function(theta, engine.asarray(X), engine.asarray(np.full(n, t)), N, middle) if t else (X,)
        states.append(np.asarray(x, np.float64))
    return states


def _diffuse(model, X, t, N, U):
    """Return x_t as a graph."""
    return model.generate_forward_diffusion_sample(X, t, N, U)[0]
