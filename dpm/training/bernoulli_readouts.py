"""Readouts of bit rates, solved step by step: for fixed hidden features each step is a convex problem.

With features z of x_t, logits o + z W and the rates r of q(x_{t-1} | x_t, x_0), which are known, the divergence of
Eq. 14 is a logistic regression with soft targets, a sum over bits without common unknowns:

    KL = sum over bits of softplus(o + z W) - r (o + z W) + constant.

Newton's method (iteratively reweighted least squares) solves it.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_solve
from scipy.special import expit

from dpm.base import noise
from dpm.base.blas import one_blas_thread
from dpm.base.progress import Progress
from dpm.engines.compiled import CompiledModel
from dpm.graph import Tensor
from dpm.graph.networks.vectors import Rates, SmoothReadout
from dpm.graph.vector_model import VectorDiffusion
from dpm.training.least_squares import factor, readout_views, shorten

Array = np.ndarray

EXAMPLES = 10_000  # per step
STEPS = 1  # from readouts that are nearly solved
RIDGE = 1e-6  # a fraction of the mean square of the weighted features
PRIOR = 10.0  # weight of the readouts before, in examples whose rate is uncertain by p (1 - p) = 1


class SmoothDiffusion(VectorDiffusion):
    """A VectorDiffusion that looks the rates of a step up; one-hot weights of 2000 steps take half of its time."""

    def get_rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return beta_t, beta_bar_t and beta_bar_{t-1} of each example, each (n, 1)."""
        step = t.astype("int64")
        at = (self.beta_arr[step - 1], self.beta_bar_arr[step], self.beta_bar_arr[step - 1])
        beta, beta_bar, beta_bar_previous = map(self.by_example, at)
        return beta, beta_bar, beta_bar_previous


def smooth_model(model: Any, knots: int) -> SmoothDiffusion:
    """Return a model with the kernel, schedule and hidden layers of a VectorDiffusion, and smooth readouts."""
    given, T = network_of(model), model.trajectory_length
    network = type(given)(given.size, given.hidden, T, min(knots, T - 1))
    return SmoothDiffusion(model.example_shape, model.kernel, model.schedule, network)


def expand(full: CompiledModel, smooth: CompiledModel, theta: Array) -> Array:
    """Return flat parameters of the model with one readout per step that has the smooth readouts of theta."""
    values = smooth.layout.split(theta)
    for path, parameter in full.layout.parameters.items():
        if values[path].shape != parameter.shape:
            values[path] = np.tensordot(_readout(smooth).interpolation, values[path], axes=1)
    return full.layout.flatten(values, str(theta.dtype))


@one_blas_thread()
def start_as_null(smooth: CompiledModel, theta: Array, X: Array, seed: int, quiet: bool = True) -> Array:
    """Return flat parameters whose smooth readouts fit the logits of the null kernel, in least squares at each knot.

    The null kernel is that of independent bits of the base rate (L_null), whose logits are known. So the optimizer
    need not find the size of the rates, which are near 0 and 1.
    """
    theta = theta.copy()
    interpolation = _readout(smooth).interpolation
    W, b = readout_views(smooth, theta)["rates"]
    bar = Progress(interpolation.T, unit="knot", desc="readouts of the null kernel", quiet=quiet)
    for knot, share in enumerate(bar):
        A, _, offset, null = _regression_at(smooth, theta, X, seed, int(share.argmax()) + 1)
        weights = np.linalg.solve(A.T @ A + RIDGE * len(A) * np.eye(A.shape[1]), A.T @ (null - offset))
        W[knot], b[knot] = weights[:-1], weights[-1]
    return theta


@one_blas_thread()
def solve(compiled: CompiledModel, theta: Array, X: Array, seed: int, times: Iterable[int]) -> Array:
    """Return new flat parameters with the readouts of some steps solved for, from those in theta on.

    Args:
        compiled: of a VectorDiffusion whose network is Rates or PlainRates, with one readout per step.
        theta: flat parameters.
        X: examples, (n, d).
        seed: of the examples and their noise, which depend on (seed, t) only.
        times: steps t, of 2..T.
    """
    theta = theta.copy()
    W, b = readout_views(compiled, theta)["rates"]
    for t in times:
        A, target, offset, _ = _regression_at(compiled, theta, X, seed, t)
        weights = newton(A, target, offset, np.vstack([W[t - 1], b[t - 1]]).astype(np.float64), prior=PRIOR)
        W[t - 1], b[t - 1] = weights[:-1], weights[-1]
    return theta


def newton(A: Array, target: Array, offset: Array, start: Array, steps: int = STEPS, prior: float = 0.0) -> Array:
    """Minimize the sum of softplus(Z) - target Z over W, Z = offset + A W, by Newton's method: W, (columns, bits).

    A step that would change a logit by much is shortened: far from the optimum the objective is not quadratic.
    Bits that hardly ever flip say little: at t = 300 of 2000, the sum of p (1 - p) over 10,000 examples is about 2, for
    51 unknowns. A prior adds prior / 2 times the mean square of A (W - start) to the sum.

    Args:
        A: features, (n, columns).
        target: rates in [0, 1], (n, bits).
        offset: fixed part of the logits, (n, bits).
        start: W at first.
        steps: number of steps.
        prior: weight of the start.
    """
    W, around_start = start, prior * (A.T @ A) / len(A)
    for _ in range(steps):
        p = expit(offset + A @ W)
        gradients, curvatures = A.T @ (target - p) - around_start @ (W - start), p * (1 - p)
        change = np.column_stack(
            [cho_solve(factor(A, w, RIDGE, around_start), g) for w, g in zip(curvatures.T, gradients.T, strict=True)]
        )
        W = W + shorten(change, A)
    return W


def network_of(model: Any) -> Rates:
    """Return the network of a VectorDiffusion whose readouts can be solved for."""
    assert isinstance(model.network, Rates)
    return model.network


def _readout(smooth: CompiledModel) -> SmoothReadout:
    """Return the smooth readout of the rates."""
    readout = network_of(smooth.model).readouts["rates"]
    assert isinstance(readout, SmoothReadout)
    return readout


def _regression_at(compiled: CompiledModel, theta: Array, X: Array, seed: int, t: int) -> list[Array]:
    """Return features with a column of ones, target rates, offset and logits of the null kernel at one t."""
    engine, model = compiled.engine, compiled.model
    X_input, _, *noises = compiled.forward_inputs(EXAMPLES)
    graph = compiled.function(partial(_regression, model), [X_input, compiled.numbers("t", 1), *noises])
    rng = noise.generator(seed, noise.REFIT, t)
    examples, N, U = (engine.asarray(a) for a in noise.draw_examples(rng, X, EXAMPLES, model.kernel.noise))
    values = graph(theta, examples, engine.asarray(np.array([t])), N, U)
    features, q, offset, null = (np.asarray(a, dtype=np.float64) for a in values)
    return [np.column_stack([features, np.ones(EXAMPLES)]), expit(q), offset, null]


def _regression(model: Any, X: Any, t: Any, N: Any, U: Any) -> list[Any]:
    """Return features, logits of q(x_{t-1} | x_t, x_0), offset, and logits of the null kernel; t: (1,)."""
    X_noisy, q = model.generate_forward_diffusion_sample(X, t, N, U)
    rates, kernel = model.get_rates(t), model.kernel
    null = kernel.posterior(kernel.base_rate, X_noisy, *rates)
    features = model.network.hidden.apply(X_noisy, rates)
    return [features, q.logit, model.network.offset(kernel, X_noisy, rates), null.logit]
