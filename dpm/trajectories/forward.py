"""Forward trajectories: data that become noise (Eq. 3)."""

from functools import partial

import numpy as np

from dpm.base.noise import ExampleNoise
from dpm.graph.schedules import signal_shares


def forward_trajectory(beta_arr, X, times, noise):
    """States of the forward trajectory at the given times, all with one noise (Eq. 3, frozen noise).

    beta_arr: beta_1..beta_T; X: scaled pictures; noise: standard normal, like X. Returns a list of arrays.
    """
    alpha_bar = signal_shares(beta_arr)
    return [X * alpha_bar[t] ** 0.5 + noise * (1 - alpha_bar[t]) ** 0.5 for t in times]


def forward_states(compiled, theta, X, times, seed):
    """x_t of q(x_t | x_0) at each of times, all from one noise: a list of float64 arrays like X."""
    model, engine, n = compiled.model, compiled.engine, len(X)
    function = compiled.function(partial(_diffuse, model), compiled.forward_inputs(n))
    N = engine.asarray(ExampleNoise(seed + 1, 0, n, model.kernel.noise)(X.shape))
    middle = engine.asarray(np.full(X.shape, 0.5))  # the noise that makes gray levels continuous is 0
    states = []
    for t in times:
        (x,) = function(theta, engine.asarray(X), engine.asarray(np.full(n, t)), N, middle) if t else (X,)
        states.append(np.asarray(x, np.float64))
    return states


def _diffuse(model, X, t, N, U):
    """x_t as a graph."""
    return model.generate_forward_diffusion_sample(X, t, N, U)[0]
