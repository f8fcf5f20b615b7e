"""K as the plain sum over all t, and at one even time per example, as logs had it that golden numbers are from."""

import numpy as np

from dpm.base import noise
from dpm.engines.compiled import CompiledModel
from dpm.likelihood.standard_errors import Estimate


def K_all_terms(
    compiled: CompiledModel,
    theta: np.ndarray,
    X: np.ndarray,
    seed: int,
    batch_size: int,
    draws: int,
) -> Estimate:
    """Estimate K - L_null as the plain sum over all t = 2..T (Eq. 14), each from as many draws as the others.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        X: scaled examples, (n, ...).
        seed: seed of examples and noise.
        batch_size: number of examples computed at once.
        draws: number of examples drawn from X for each t.

    Returns:
        Mean and standard error, bits per pixel, or bits per example for vectors.

    Raises:
        InputError: X holds values that the kernel does not accept.
    """
    model, engine = compiled.model, compiled.engine
    model.kernel.check(X, "X")
    function = compiled.costs(min(batch_size, draws))
    costs = np.empty((model.trajectory_length - 1, draws))
    times = range(2, model.trajectory_length + 1)
    for row, t in zip(costs, times, strict=True):
        rng = noise.generator(seed, noise.LIKELIHOOD, t)
        examples, N, U = noise.draw_examples(rng, X, draws, model.kernel.noise)
        row[:] = function(theta, *(engine.asarray(a) for a in (examples, np.full(draws, t), N, U)))
    error = np.sqrt(np.sum(costs.var(axis=1, ddof=1)) / draws) / len(costs)
    return Estimate(float(-costs.mean()), float(error))


def K_at_even_times(compiled: CompiledModel, theta: np.ndarray, X: np.ndarray, seed: int) -> float:
    """Estimate K - L_null at one time t of each example, the times spread evenly over 2..T, in bits per pixel."""
    T, kind = compiled.model.trajectory_length, compiled.model.kernel.noise
    t = noise.stratified_times(noise.generator(seed, noise.EVALUATION, 0), len(X), T)
    N, U = noise.example_noise(seed, noise.EVALUATION, range(len(X)), X.shape[1:], kind)
    arrays = [compiled.engine.asarray(a) for a in (X, t, N, U)]
    return -float(compiled.costs(len(X))(theta, *arrays).mean(dtype=np.float64))
