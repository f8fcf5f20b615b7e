"""Reverse trajectories: samples, in-painting and denoising (sections 2.2 and 2.5), compiled and run."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt

from dpm.base.errors import InputError
from dpm.engines.compiled import Input
from dpm.engines.microbatches import map_microbatches

STEPS_PER_CALL = 10
NUMBERS_PER_CALL = 500_000  # of noise, and as many of states: 2 MB each in float32


def diffusion_step(model, Xmid, t, noise, known, observed, precision):
    """One step of the reverse trajectory, from x_t to x_{t-1}, as a graph (Eq. 5, with Eq. 21 for the constraint).

    Xmid: x_t, (n, c, h, w); t: (n,); noise: standard normal, like Xmid.
    known: 1 where x is held at `observed`, a delta in r(x); precision: (n,), 1 / sigma^2 of a Gaussian r(x)
    around `observed`, 0 for none. r(x) is the same at every t (Eq. 22).
    """
    p = model.reverse(Xmid, t)
    p = model.kernel.multiply(p, observed, model.by_example(precision))
    p = model.kernel.condition(p, known, observed)
    return model.kernel.sample(p, noise)


def steps_per_call(steps, numbers):
    """How many reverse steps to compute in one call: calls are equally long, and as few as hold `numbers` a step."""
    most = max(1, min(STEPS_PER_CALL, NUMBERS_PER_CALL // max(1, numbers)))
    return math.ceil(steps / math.ceil(steps / most))


def reverse_steps(compiled, n_samples, steps):
    """(theta, x_t, known, observed, precision, times, noise) -> the states after each of `steps` reverse steps.

    times: (n, steps); noise and states: (n, steps, c, h, w); the others as in diffusion_step. One compiled loop, so
    that neither Python nor the parameters' way into the engine is paid for at each step.
    """
    model, engine = compiled.model, compiled.engine
    size = compiled.microbatch_size(n_samples)
    inputs = [
        *(compiled.examples(name, size) for name in ("X", "known", "observed")),
        compiled.numbers("precision", size),
        Input("times", (size, steps)),
        Input("noise", (size, steps, *model.example_shape)),
    ]
    function = compiled.function(partial(_reverse_loop, model), inputs, cache=True)
    return lambda theta, *arrays: map_microbatches(engine, function, theta, arrays, size)[0]


def _reverse_loop(model, X, known, observed, precision, times, noise):
    """The graph of reverse_steps: its states, (n, steps, c, h, w)."""

    def step(t, N, X, *constraints):
        return diffusion_step(model, X, t, N, *constraints)

    states = pytensor.scan(
        step,
        sequences=[times.T, pt.moveaxis(noise, 1, 0)],
        outputs_info=[X],
        non_sequences=[known, observed, precision],
        return_updates=False,
    )
    return pt.moveaxis(states, 0, 1)


def generate_inpaint_mask(n_samples, n_colors, spatial_width):
    """The released mask, 1 where pixels are known: the right half (the middle column of an odd width included)."""
    known = np.zeros((n_samples, n_colors, spatial_width, spatial_width), dtype=bool)
    known[:, :, :, spatial_width // 2 :] = True
    return known


@dataclass(frozen=True)
class Constraint:
    """What is known of a sample: r(x) of section 2.5, in scaled units.

    observed: (n, c, h, w); known: bool of the same shape, where the sample must equal observed, or None; sigma:
    deviation of the Gaussian noise in observed, or None. With neither nothing is known.
    """

    observed: np.ndarray
    known: np.ndarray | None = None
    sigma: float | None = None

    def start(self, draw_prior):
        """x_T as released: the noisy observation itself, or a draw of pi(x_T) with the known pixels put in.

        draw_prior: a function of a shape.
        """
        if self.sigma is not None:
            return self.observed
        prior = draw_prior(self.observed.shape)
        return prior if self.known is None else np.where(self.known, self.observed, prior)

    def arrays(self, shape):
        """known (as numbers), observed and precision for diffusion_step; raises InputError for a wrong shape."""
        for name, value in (("observation", self.observed), ("mask", self.known)):
            if value is not None and value.shape != shape:
                raise InputError(f"the {name} has shape {value.shape}; accepted: {shape}")
        if self.sigma is not None and not 0 < self.sigma < np.inf:
            raise InputError(f"sigma: {self.sigma} is not accepted; it is a number above 0")
        known = np.zeros(shape) if self.known is None else self.known.astype(float)
        return known, self.observed, np.full(shape[0], 0.0 if self.sigma is None else self.sigma**-2.0)


def capture_times(trajectory_length, num_intermediate_plots=4):
    """The times at which the released code shows a trajectory: T, about num_intermediate_plots between, and 0."""
    every = math.ceil(trajectory_length / (num_intermediate_plots + 2))
    between = [t for t in range(trajectory_length - 1, 0, -1) if (trajectory_length - t) % every == 0]
    return [trajectory_length, *between, 0]


def generate_samples(compiled, theta, n_samples, noise, constraint=None, callback=None):
    """Draw n_samples from the model, or from its product with r(x).

    compiled: a CompiledModel; theta: its flat parameters; noise: a function of a shape that returns the next draw of
    the kernel's noise: first for x_T (unless denoising, which starts at the observation), then one a step.
    constraint: a Constraint or None.
    callback(t, X): called with x_T at t = T, after each step with the state x_{t-1}, under the number t - 1,
    and at the end with the number 0.
    As released the last step drawn is t = 2, and its noise stays in the sample: the sample is x_1. The edge step
    p(x_0 | x_1), which Appendix B sets to the forward kernel, would add noise of variance beta_1.
    Returns (n_samples, c, h, w) in scaled units.
    """
    model, engine = compiled.model, compiled.engine
    shape = (n_samples, *model.example_shape)
    if constraint is None:
        constraint = Constraint(np.zeros(shape))
    arrays = [engine.asarray(a) for a in constraint.arrays(shape)]

    def draw_prior(shape):
        prior = compiled.function(partial(_draw_prior, model), [compiled.examples("N", n_samples)])
        return prior(theta, engine.asarray(noise(shape)))[0]

    X = engine.asarray(constraint.start(draw_prior))
    notify = callback or (lambda t, X: None)
    notify(model.trajectory_length, X)
    times = np.arange(model.trajectory_length, 1, -1)
    steps = steps_per_call(len(times), X.size)
    reverse = reverse_steps(compiled, n_samples, steps)
    draws = np.zeros((n_samples, steps, *model.example_shape), engine.dtype)
    for start in range(0, len(times), steps):
        t = times[start : start + steps]  # the last call may have steps to spare, at t = 2, which nobody sees
        for i in range(len(t)):
            draws[:, i] = noise(shape)
        padded = engine.asarray(np.pad(t, (0, steps - len(t)), constant_values=2))
        states = reverse(theta, X, *arrays, np.tile(padded, (n_samples, 1)), draws)
        for i, time in enumerate(t):
            X = states[:, i].copy()  # a view would keep all states
            if time > 2:
                notify(int(time) - 1, X)
    notify(0, X)
    return X


def _draw_prior(model, N):
    """The graph of a draw of pi(x_T) from the kernel's noise."""
    return model.kernel.sample(model.kernel.prior(N), N)
