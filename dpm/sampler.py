"""Reverse trajectories: samples, in-painting and denoising (sections 2.2 and 2.5)."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt

from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.inputs import Input
from dpm.engines.microbatches import map_microbatches, pad_rows
from dpm.graph.diffusion import Diffusion
from dpm.graph.naming import name_fields
from dpm.trajectories.device_chains import Chain, is_on_device, run_chain

STEPS_PER_CALL = 10
NUMBERS_PER_CALL = 500_000  # of noise, and the same number of states: 2 MB each in float32

Noise = Callable[[tuple[int, ...]], np.ndarray]


def diffusion_step(
    model: Diffusion,
    Xmid: pt.TensorVariable,
    t: pt.TensorVariable,
    noise: pt.TensorVariable,
    known: pt.TensorVariable,
    observed: pt.TensorVariable,
    precision: pt.TensorVariable,
) -> pt.TensorVariable:
    """Return one step of the reverse trajectory, from x_t to x_{t-1}, as a graph (Eq. 5; with a constraint Eq. 21).

    The constraint r(x) is the same at every t (Eq. 22).

    Args:
        model: a diffusion model.
        Xmid: x_t, (n, ...).
        t: times, (n,).
        noise: noise of the kernel, like Xmid.
        known: 1 where x is held at `observed` (r(x) is a delta), else 0, like Xmid.
        observed: the observation, like Xmid.
        precision: 1 / sigma^2 of a Gaussian r(x) around `observed`, 0 for none, (n,).
    """
    p = name_fields(model.reverse(Xmid, t), "p")
    p = model.kernel.multiply(p, observed, model.by_example(precision))
    p = model.kernel.condition(p, known, observed)
    return model.kernel.sample(p, noise)


def steps_per_call(steps: int, numbers: int) -> int:
    """Return how many reverse steps are computed in one call: equal numbers in each, in as few calls as memory allows.

    Args:
        steps: number of all steps.
        numbers: number of elements of the states at one step.
    """
    most = max(1, min(STEPS_PER_CALL, NUMBERS_PER_CALL // max(1, numbers)))
    return math.ceil(steps / math.ceil(steps / most))


def reverse_steps(compiled: CompiledModel, n_samples: int, steps: int) -> Callable[..., np.ndarray]:
    """Return a compiled function of several reverse steps.

    It is one compiled loop, so that Python and the transfer of the parameters do not cost time at each step.

    Args:
        compiled: model and engine.
        n_samples: number of samples.
        steps: number of steps.

    Returns:
        Function (theta, x_t, known, observed, precision, times, noise) of the states after each step, (n, steps, ...),
        with times (n, steps), noise (n, steps, ...), and the other arguments as in diffusion_step.
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
    """Return the graph of reverse_steps: its states, (n, steps, ...)."""

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


def generate_inpaint_mask(n_samples: int, n_colors: int, spatial_width: int) -> np.ndarray:
    """Return the released mask, bool (n, c, w, w): True where pixels are known, in the right half and middle column."""
    known = np.zeros((n_samples, n_colors, spatial_width, spatial_width), dtype=bool)
    known[:, :, :, spatial_width // 2 :] = True
    return known


@dataclass(frozen=True)
class Constraint:
    """Constraint r(x) on samples: known elements, or a noisy observation (section 2.5), in scaled units.

    Attributes:
        observed: the observation, (n, ...).
        known: bool (n, ...), True where the sample must equal the observation; or None.
        sigma: standard deviation of Gaussian noise in the observation; or None. With neither r(x) = 1.
    """

    observed: np.ndarray
    known: np.ndarray | None = None
    sigma: float | None = None

    def start(self, draw_prior: Noise) -> np.ndarray:
        """Return x_T as released: the noisy observation itself, or a draw of pi(x_T) with the known elements put in.

        Args:
            draw_prior: function of a shape that draws pi(x_T).
        """
        if self.sigma is not None:
            return self.observed
        prior = draw_prior(self.observed.shape)
        return prior if self.known is None else np.where(self.known, self.observed, prior)

    def arrays(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return known (0 or 1), observed and precision for diffusion_step.

        Raises:
            InputError: an array does not have this shape, or sigma is not above 0.
        """
        for name, value in (("observation", self.observed), ("mask", self.known)):
            if value is not None and value.shape != shape:
                raise InputError(f"the {name} has the wrong shape: got {value.shape}; expected {shape}")
        if self.sigma is not None and not 0 < self.sigma < np.inf:
            raise InputError(f"sigma: got {self.sigma}; expected a number above 0")
        known = np.zeros(shape) if self.known is None else self.known.astype(float)
        with np.errstate(over="ignore"):  # infinite where sigma is too small, which the states then show
            precision = 0.0 if self.sigma is None else np.float64(self.sigma) ** -2.0
        return known, self.observed, np.full(shape[0], precision)


def capture_times(trajectory_length: int, num_intermediate_plots: int = 4) -> list[int]:
    """Return the times at which the released code plots a trajectory: T, about num_intermediate_plots others, and 0."""
    every = math.ceil(trajectory_length / (num_intermediate_plots + 2))
    between = [t for t in range(trajectory_length - 1, 0, -1) if (trajectory_length - t) % every == 0]
    return [trajectory_length, *between, 0]


def shown_time(number: int) -> int:
    """Return t of the state that generate_samples reports under a number: the sample, number 0, is x_1."""
    return max(number, 1)


class StepCounter:
    """Callback that counts the steps of reverse trajectories, which are reported one by one or many at once.

    Args:
        trajectory_length: T.
        update: called with the number of steps since the state before.
        by_example: count a step of n examples as n.
    """

    def __init__(self, trajectory_length: int, update: Callable[[int], object], by_example: bool = False) -> None:
        self.trajectory_length, self.update, self.by_example = trajectory_length, update, by_example
        self.last = trajectory_length

    def __call__(self, t: int, X: np.ndarray) -> None:
        """Count the steps up to the state with this number; T begins a trajectory."""
        now = shown_time(t)
        if t < self.trajectory_length:
            self.update((self.last - now) * (len(X) if self.by_example else 1))
        self.last = now


def generate_samples(
    compiled: CompiledModel,
    theta: np.ndarray,
    n_samples: int,
    noise: Noise,
    constraint: Constraint | None = None,
    callback: Callable[[int, np.ndarray], object] | None = None,
    times: Collection[int] | None = None,
    rows: int | None = None,
) -> np.ndarray:
    """Draw samples from the model, or from its product with a constraint r(x), by the reverse trajectory.

    As released the last step drawn is t = 2, and its noise remains in the sample: the sample is x_1. The step
    p(x_0 | x_1), which Appendix B sets to the forward kernel, would add noise of variance beta_1.

    Where the engine draws noise on its device, a chain with ExampleNoise stays there: its steps are one compiled loop,
    and its numbers are the device's for the same seed and examples.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        n_samples: number of samples, n.
        noise: function of a shape that returns the next draw of the kernel's noise: first for x_T (unless denoising,
            which starts at the observation), then one for each step. See ExampleNoise.
        constraint: r(x) of these samples; None for plain samples.
        callback: called as callback(t, X): with x_T at t = T, after each step with x_{t-1} and the number t - 1, and
            at the end with the sample and the number 0.
        times: numbers for which the callback is called at least; None for all. A chain on the device is fetched there,
            and every 50 steps.
        rows: number of examples that the functions, or a chain on the device, are compiled for, n or more; n if None.

    Returns:
        Samples in scaled units, (n, ...).

    Raises:
        InputError: the constraint has the wrong shape, or its sigma is not above 0.
    """
    model, engine = compiled.model, compiled.engine
    shape = (n_samples, *model.example_shape)
    if constraint is None:
        constraint = Constraint(np.zeros(shape))
    arrays = [engine.asarray(a) for a in constraint.arrays(shape)]
    if is_on_device(noise, compiled):
        chain = _device_chain(model, arrays, None if constraint.sigma is None else constraint.observed)
        return run_chain(compiled, theta, chain, noise, callback, times, rows)

    rows = rows or n_samples

    def draw_prior(shape):
        prior = compiled.function(partial(_draw_prior, model), [compiled.examples("N", rows)])
        return prior(theta, pad_rows(engine.asarray(noise(shape)), rows))[0][:n_samples]

    X = engine.asarray(constraint.start(draw_prior))
    notify = callback or (lambda t, X: None)
    notify(model.trajectory_length, X)
    times = np.arange(model.trajectory_length, 1, -1)
    steps = steps_per_call(len(times), rows * math.prod(model.example_shape))
    reverse = reverse_steps(compiled, rows, steps)
    draws = np.zeros((n_samples, steps, *model.example_shape), engine.dtype)
    for start in range(0, len(times), steps):
        t = times[start : start + steps]  # the last call may have extra steps, at t = 2, which are discarded
        for i in range(len(t)):
            draws[:, i] = noise(shape)
        padded = engine.asarray(np.pad(t, (0, steps - len(t)), constant_values=2))
        states = reverse(theta, X, *arrays, np.tile(padded, (n_samples, 1)), draws)
        for i, time in enumerate(t):
            X = states[:, i].copy()  # a view would keep all states in memory
            if time > 2:
                notify(int(time) - 1, X)
    notify(0, X)
    return X


def _draw_prior(model, N):
    """Return a draw of pi(x_T) from noise of the kernel, as a graph."""
    return model.kernel.sample(model.kernel.prior(N), N)


def _device_chain(model: Diffusion, arrays: Sequence[np.ndarray], start: np.ndarray | None) -> Chain:
    """Return the chain of a constraint's arrays, from x_T that is given or drawn."""
    T = model.trajectory_length
    constants = dict(zip(("known", "observed", "precision"), arrays, strict=True))
    t = np.array([T, *range(T, 1, -1)])
    begin = partial(_start_step, model) if start is None else np.asarray(start)
    return Chain(begin, partial(_reverse_step, model), [*range(T, 1, -1), 0], constants, {"t": t})


def _start_step(model, X, known, observed, precision, t, N):
    """Return x_T as Constraint.start does, as a graph."""
    return pt.switch(pt.gt(known, 0), observed, _draw_prior(model, N))


def _reverse_step(model, X, known, observed, precision, t, N):
    """Return one step of the reverse trajectory."""
    return diffusion_step(model, X, t, N, known, observed, precision)
