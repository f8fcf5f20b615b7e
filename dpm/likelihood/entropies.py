"""The entropy of each reverse step of a model between the bounds of Eq. 23 (section 2.6, Appendix A)."""

from functools import partial
from typing import NamedTuple

import numpy as np

from dpm.base import noise
from dpm.engines.microbatches import map_microbatches

BATCH = 2000  # examples at once, at most


class Entropies(NamedTuple):
    """At each of times: both bounds of H_q(X_{t-1} | X_t) (Eq. 23), H_p(X_{t-1} | X_t) and its standard error.

    In nats a pixel; a vector is one.
    """

    times: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    entropy: np.ndarray
    error: np.ndarray


def step_entropies(compiled, theta, X, seed, draws, times=None):
    """The bounds of Eq. 23 and the entropy of p(x_{t-1} | x_t), a mean over x_t ~ q: Entropies of float64 (times,).

    compiled: a CompiledModel; theta: its parameters; X: scaled examples (n, ...); times: t = 2..T unless given.
    draws: examples of each time, 2 or more; they and their noise depend on (seed, t) alone. The upper bound holds for
    data with the prior's mean and variance.
    """
    model, engine = compiled.model, compiled.engine
    model.kernel.check(X, "X")
    size = min(BATCH, draws)
    times = np.arange(2, model.trajectory_length + 1) if times is None else np.asarray(times)
    function = compiled.function(partial(_graph, model), compiled.forward_inputs(size))
    rows = []
    for t in times:
        rng = noise.generator(seed, noise.ENTROPY, int(t))
        examples, N, U = noise.draw_examples(rng, X, draws, model.kernel.noise)
        arrays = [engine.asarray(a) for a in (examples, np.full(draws, t), N, U)]
        lower, upper, entropy = (a.astype(np.float64) for a in map_microbatches(engine, function, theta, arrays, size))
        rows.append([lower.mean(), upper.mean(), entropy.mean(), entropy.std(ddof=1) / draws**0.5])
    return Entropies(times, *np.transpose(rows))


def spread_times(trajectory_length, n):
    """About n whole times of 2..T, denser towards both ends, where entropies change most; all if there are no more."""
    if trajectory_length - 1 <= n:
        return np.arange(2, trajectory_length + 1)
    share = (1 - np.cos(np.linspace(0, np.pi, n))) / 2
    return np.unique((2 + share * (trajectory_length - 2)).round().astype(int))


def _graph(model, X, t, N, U):
    """Lower and upper bound and the model's entropy for each example, three of (n,), nats a pixel."""
    # The same noise makes x_{t-1} of the bounds and x_t of the model: each mean is over one of them alone.
    X_noisy, _ = model.generate_forward_diffusion_sample(X, t, N, U)
    return [*model.entropy_bounds(X, t, N), model.reverse_entropy(X_noisy, t)]
