"""Entropy of each reverse step of a model, between the bounds of Eq. 23 (section 2.6, Appendix A)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from dpm.base import noise
from dpm.engines.compiled import CompiledModel
from dpm.engines.microbatches import map_microbatches
from dpm.graph.diffusion import Diffusion

BATCH = 2000  # largest number of examples computed at once


class Entropies(NamedTuple):
    """Entropies of reverse steps, in nats per pixel (a vector counts as one pixel), each (len(times),).

    Attributes:
        times: times t of the steps.
        lower, upper: bounds of H_q(X_{t-1} | X_t) (Eq. 23).
        entropy: H_p(X_{t-1} | X_t), a mean over x_t ~ q.
        error: its standard error.
    """

    times: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    entropy: np.ndarray
    error: np.ndarray


def step_entropies(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    draws: int,
    times: Sequence[int] | np.ndarray | None = None,
    progress: Callable[[int], object] | None = None,
) -> Entropies:
    """Estimate the entropy of p(x_{t-1} | x_t) and the bounds of Eq. 23.

    The upper bound holds for data with the prior's mean and variance.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of the draws; those at time t depend on (seed, t) only.
        draws: number of examples for each time, 2 or more.
        times: times t; None for 2..T.
        progress: called with 1 after each time.

    Returns:
        Entropies, float64, each (len(times),).

    Raises:
        InputError: X holds values that the kernel does not accept.
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
        if progress:
            progress(1)
    return Entropies(times, *np.transpose(rows))


def spread_times(trajectory_length: int, n: int) -> np.ndarray:
    """Return about n integer times of 2..T, all of them if T - 1 <= n, denser at both ends, where entropies change."""
    if trajectory_length - 1 <= n:
        return np.arange(2, trajectory_length + 1)
    share = (1 - np.cos(np.linspace(0, np.pi, n))) / 2
    return np.unique((2 + share * (trajectory_length - 2)).round().astype(int))


def _graph(
    model: Diffusion, X: pt.TensorVariable, t: pt.TensorVariable, N: pt.TensorVariable, U: pt.TensorVariable
) -> list[pt.TensorVariable]:
    """Return lower bound, upper bound and the model's entropy as graphs, in nats per pixel, each (n,)."""
    # The same noise gives x_{t-1} for the bounds and x_t for the model: each mean is over one of them only.
    X_noisy, _ = model.generate_forward_diffusion_sample(X, t, N, U)
    return [*model.entropy_bounds(X, t, N), model.reverse_entropy(X_noisy, t)]
