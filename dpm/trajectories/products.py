"""Products of the model with any r(x) (section 2.5), and the particles that make the product exact.

The paper multiplies each reverse step by r_t(x_t) (Eq. 21) and leaves the choice of r_t open. With none of the choices
below is the end of the chain distributed as p(x_0) r(x_0), for any number of steps. Sequential Monte Carlo with the
multiplied steps as proposals p~ corrects this: each particle carries the weight

    p(x_{t-1} | x_t) r_{t-1}(x_{t-1}) / (p~(x_{t-1} | x_t) r_t(x_t))

The product of these weights telescopes to p(x_{0..T}) r(x_0) over the proposals, because r_0 = r.

A function log_r takes a symbolic x, (n, ...), and returns log r in nats, (n,), for each example separately. If it has a
method multiply(kernel, p, exponent), its product with a step is computed in closed form. See docs/posterior.md.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.base.pieces import Report
from dpm.engines.compiled import CompiledModel
from dpm.graph.diffusion import Diffusion
from dpm.trajectories import device_chains
from dpm.trajectories.device_chains import is_on_device, run_chain
from dpm.trajectories.guidance import GUIDANCE as GUIDANCE
from dpm.trajectories.guidance import exponents
from dpm.trajectories.particles import Particles
from dpm.trajectories.potentials import LogR, sum_elements

FARTHEST = 4.5  # largest KL divergence from a step to its product, for guidance "predicted", in nats per element


class Twist:
    """r_t of a model, and its reverse steps multiplied by it, as graphs.

    Times t and exponents c are symbolic, (n,).

    Args:
        model: a diffusion model.
        log_r: see the module.
        guidance: one of GUIDANCE.
    """

    def __init__(self, model: Diffusion, log_r: LogR, guidance: str) -> None:
        self.model, self.log_r, self.predicted = model, log_r, guidance == "predicted"

    def log(self, X: pt.TensorVariable, t: pt.TensorVariable, c: pt.TensorVariable) -> pt.TensorVariable:
        """Return log r_t(X) in nats, (n,)."""
        return c * self._unscaled(X, t)

    def step(
        self,
        X: pt.TensorVariable,
        t: pt.TensorVariable,
        after: pt.TensorVariable,
        N: pt.TensorVariable,
        c_now: pt.TensorVariable,
        c_after: pt.TensorVariable,
    ) -> list[pt.TensorVariable]:
        """Draw x_after from X = x_t; return it and the log of its weight's factor, (n,). N: noise of the kernel."""
        return self.draw(self._reverse(X, t), after, c_after, N, self.log(X, t, c_now))

    def draw(
        self, p: Any, t: pt.TensorVariable, c: pt.TensorVariable, N: pt.TensorVariable, log_r_before: pt.TensorVariable
    ) -> list[pt.TensorVariable]:
        """Draw from p r_t; return the sample, like N, and the log of its importance weight, (n,)."""
        kernel, proposal = self.model.kernel, self._times(p, t, c)
        X = kernel.sample(proposal, N)
        ratio = kernel.log_prob(p, X) - kernel.log_prob(proposal, X)
        return [X, sum_elements(ratio) + self.log(X, t, c) - log_r_before]

    def predict(self, X: pt.TensorVariable, t: pt.TensorVariable) -> pt.TensorVariable:
        """Return E[x_0 | x_t = X] under the model; X itself at t = 0."""
        at = pt.maximum(t, 1)  # a valid time even if the result is not used: no 0 / 0 in its gradient
        x_0 = self.model.kernel.predict(self._reverse(X, at), X, *self.model.get_rates(at))
        return pt.switch(self.model.by_example(pt.eq(t, 0)), X, x_0)

    def _reverse(self, X, t):
        """Return p(x_{t-1} | x_t); at t = 1 it is the reversed forward kernel itself (Eq. 43)."""
        kernel, is_first = self.model.kernel, self.model.by_example(pt.eq(t, 1))
        return kernel.choose(
            is_first, kernel.forward_step(X, self.model.get_beta_forward(t)), self.model.reverse(X, pt.maximum(t, 2))
        )

    def _unscaled(self, X, t):
        """Return log r_t(X) without its exponent, in the float type of X."""
        nats = pt.as_tensor(self.log_r(self.predict(X, t) if self.predicted else X))
        if nats.ndim != 1:
            raise InputError(f"log_r: returns {nats.ndim} axes; accepted: one number per example, (n,)")
        return nats.astype(X.dtype)

    def _times(self, p, t, c):
        """Return p r_t: in closed form if log_r has one, else by the perturbation of Table C.1."""
        kernel = self.model.kernel
        if hasattr(self.log_r, "multiply") and not self.predicted:
            return self.log_r.multiply(kernel, p, self.model.by_example(c))
        product = kernel.perturb(p, lambda x: self._unscaled(x, t), c)
        if not self.predicted:
            return product
        # Where a prediction is steep, the perturbation is not small and would overshoot: limit Gaussian shifts to 3
        # deviations. Weights correct for any proposal.
        moved = kernel.kl(product, p).mean(axis=tuple(range(1, p[0].ndim)))
        share = pt.sqrt(FARTHEST / pt.maximum(moved, FARTHEST))
        return kernel.perturb(p, lambda x: self._unscaled(x, t), c * share)


class Result(NamedTuple):
    """Samples of p(x_0) r(x_0) / Z.

    Attributes:
        samples: (n, ...), in scaled units, equally weighted after a last resampling.
        log_Z: estimate of log of the sum of p(x_0) r(x_0), in nats; exp(log_Z) is unbiased.
        log_Z_error: its standard error.
        effective: effective sample size at the start and after each step, before any resampling.
        resamplings: number of resamplings before the last one.
    """

    samples: np.ndarray
    log_Z: float
    log_Z_error: float
    effective: np.ndarray
    resamplings: int


def chain_times(model: Diffusion, last_step: bool) -> list[int]:
    """Return the times of a chain's states; without the last step x_1 takes the place of x_0."""
    return [*range(model.trajectory_length, 1, -1), *([1] if last_step else []), 0]


def graph_kind(guidance: str) -> str:
    """Return the guidance schedule whose graphs this one shares: all do except "predicted"."""
    return guidance if guidance == "predicted" else "constant"


class Chain:
    """Compiled reverse chain of n examples, multiplied by r_t: its start and its steps.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        log_r: see the module.
        n: number of examples.
        guidance: guidance schedule, one of GUIDANCE.
        last_step: if True draw p(x_0 | x_1) of Eq. 43 too. If False the sample is x_1, as released and as in
            dpm/sampler.py, and takes the place of x_0.
        weighted: if True return the logs of the weights' factors too.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        theta: np.ndarray,
        log_r: LogR,
        n: int,
        guidance: str = "linear",
        last_step: bool = True,
        weighted: bool = True,
    ) -> None:
        self.compiled, self.theta, self.n = compiled, theta, n
        self.c = exponents(guidance, compiled.beta(theta))
        self.times, kind = chain_times(compiled.model, last_step), graph_kind(guidance)
        t, N, c = compiled.numbers("t", n), compiled.examples("N", n), compiled.numbers("c", n)
        X, after, c_after = compiled.examples("X", n), compiled.numbers("after", n), compiled.numbers("c_after", n)
        self._begin = compiled.function(partial(_begin, compiled.model, log_r, kind, weighted), [t, N, c])
        self._step = compiled.function(
            partial(_step, compiled.model, log_r, kind, weighted), [X, t, after, N, c, c_after]
        )

    def start(self, N: np.ndarray) -> list[np.ndarray]:
        """Draw x_T from noise N; return it and, if weighted, the logs of the first factors, (n,)."""
        T = self.times[0]
        return self._begin(self.theta, self._full(T), self._array(N), self._full(self.c[T]))

    def step(self, X: np.ndarray, t: int, after: int, N: np.ndarray) -> list[np.ndarray]:
        """Draw x_after from X = x_t; return it and, if weighted, the logs of the factors, (n,)."""
        t_and_after = self._full(t), self._full(after)
        c = self._full(self.c[t]), self._full(self.c[after])
        return self._step(self.theta, X, *t_and_after, self._array(N), *c)

    def _array(self, value):
        return self.compiled.engine.asarray(value)

    def _full(self, value):
        return self._array(np.full(self.n, value))


def _begin(model, log_r, guidance, weighted, t, N, c):
    """Return a draw from p(x_T) r_T(x_T) as a graph, with its log weight if weighted."""
    outputs = Twist(model, log_r, guidance).draw(model.kernel.prior(N), t, c, N, pt.zeros_like(c))
    return outputs if weighted else outputs[:1]


def _step(model, log_r, guidance, weighted, *inputs):
    """Return a step as a graph, with the log of its weight's factor if weighted; inputs as in Twist.step."""
    outputs = Twist(model, log_r, guidance).step(*inputs)
    return outputs if weighted else outputs[:1]


def _move_on_device(
    compiled: CompiledModel,
    theta: np.ndarray,
    log_r: LogR,
    particles: Particles,
    seed: int,
    guidance: str,
    last_step: bool,
    progress: Report,
) -> np.ndarray:
    """Move particles from x_T to the end, and return them; arguments as in sample_product."""
    chain = _device_chain(compiled, theta, log_r, guidance, last_step, weighted=True)
    noise_of = noise.ExampleNoise(seed, 0, particles.n, compiled.model.kernel.noise)
    run = device_chains.Run(compiled, theta, chain, noise_of, particles.n)
    numbers = np.arange(particles.n)
    for i in range(len(chain.numbers)):
        run.advance(i, i + 1)
        chosen = particles.update(numbers, run.fetch(1))
        if chosen is not numbers:
            run.replace(run.fetch()[chosen])
        if i:
            progress(1)
    return run.fetch()


def _device_chain(
    compiled: CompiledModel, theta: np.ndarray, log_r: LogR, guidance: str, last_step: bool, weighted: bool = False
) -> device_chains.Chain:
    """Return the multiplied chain for the device; with weights it carries the logs of a step's factors too."""
    times, builders = chain_times(compiled.model, last_step), (_begin_there, _step_there)
    c = exponents(guidance, compiled.beta(theta))
    before = [times[0], *times[:-1]]
    sequences = {"t": before, "after": times, "c": c[before], "c_after": c[times]}
    start, step = (partial(builder, compiled.model, log_r, graph_kind(guidance), weighted) for builder in builders)
    values = {name: np.array(v) for name, v in sequences.items()}
    return device_chains.Chain(start, step, times, {}, values, ("log_factors",) if weighted else ())


def _begin_there(model, log_r, guidance, weighted, X, *inputs):
    """Return `_begin` on a loop's inputs."""
    _, after, _, c_after, N = inputs[-5:]
    return _begin(model, log_r, guidance, weighted, after, N, c_after)


def _step_there(model, log_r, guidance, weighted, X, *inputs):
    """Return `_step` on a loop's inputs."""
    t, after, c, c_after, N = inputs[-5:]
    return _step(model, log_r, guidance, weighted, X, t, after, N, c, c_after)


def sample_product(
    compiled: CompiledModel,
    theta: np.ndarray,
    log_r: LogR,
    n_particles: int,
    seed: int,
    guidance: str = "linear",
    n_samples: int | None = None,
    last_step: bool = True,
    progress: Callable[[int], object] | None = None,
) -> Result:
    """Draw from p(x_0) r(x_0) / Z by particles; the distribution is exact in the limit of many particles.

    "constant" can give weights of infinite variance: a particle far out, where r_t is small, may reach the middle in
    one long step, and its weight is then 1 / r_t. Schedules that start with r_T near 1 do not have this problem.

    Where the engine draws noise on its device, the particles stay there. The host gets the logs of the factors after
    each step, decides whether to resample, and then has the particles for a moment.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        log_r: see the module.
        n_particles: number of particles, 2 or more.
        seed: seed of noise and resampling; all samples depend on it together.
        guidance: guidance schedule, one of GUIDANCE.
        n_samples: number of samples drawn from the particles at the end; one per particle if None.
        last_step: if True draw p(x_0 | x_1) too; see Chain.
        progress: called with 1 after each step.

    Raises:
        InputError: fewer than 2 particles, an unknown schedule, or an r that is not above 0.
    """
    if n_particles < 2:
        raise InputError(f"particles: got {n_particles}; expected 2 or more")
    shared = compiled, theta, log_r, n_particles, guidance, n_samples, last_step
    (found,) = compiled.mapper.map(run_particles, shared, [seed], progress)
    return found


def run_particles(
    compiled: CompiledModel,
    theta: np.ndarray,
    log_r: LogR,
    n_particles: int,
    guidance: str,
    n_samples: int | None,
    last_step: bool,
    seeds: Iterable[int],
    report: Report,
) -> Iterator[Result]:
    """Yield the Result of each seed; arguments as in sample_product.

    The particles of a seed depend on one another at every step, so they are a single piece.
    """
    for seed in seeds:
        rng = noise.generator(seed, noise.SAMPLING, n_particles)
        particles = Particles(n_particles, rng)
        if compiled.engine.noise == "device":
            X = _move_on_device(compiled, theta, log_r, particles, seed, guidance, last_step, report)
        else:
            shape = (n_particles, *compiled.model.example_shape)
            draw = noise.DRAWS[compiled.model.kernel.noise]
            chain = Chain(compiled, theta, log_r, n_particles, guidance, last_step)
            X, log_factors = chain.start(draw(rng, shape))
            X = particles.update(X, log_factors)
            for t, after in zip(chain.times, chain.times[1:], strict=False):
                X, log_factors = chain.step(X, t, after, draw(rng, shape))
                X = particles.update(X, log_factors)
                report(1)
        error, resamplings = particles.log_Z_error(), particles.resamplings
        X = particles.resample(X, n_samples)
        yield Result(X, float(particles.log_Z), error, np.array(particles.history), resamplings)


def sample_chain(
    compiled: CompiledModel,
    theta: np.ndarray,
    log_r: LogR,
    n: int,
    noise: Callable[[tuple[int, ...]], np.ndarray],
    guidance: str = "linear",
    last_step: bool = False,
    callback: Callable[[int, np.ndarray], object] | None = None,
    times: Collection[int] | None = None,
    rows: int | None = None,
) -> np.ndarray:
    """Draw from the multiplied chain of the paper, without weights; it is not distributed as p(x_0) r(x_0).

    With r = 1 the samples are those of generate_samples. With ExampleNoise and an engine that draws noise on its device
    the chain stays there.

    Args:
        compiled: model and engine.
        theta: flat parameters.
        log_r: see the module.
        n: number of samples.
        noise: function of a shape that returns the next draw of the kernel's noise, as in generate_samples.
        guidance: guidance schedule, one of GUIDANCE.
        last_step: if True draw p(x_0 | x_1) too; see Chain.
        callback, times, rows: as in generate_samples.

    Returns:
        Samples in scaled units, (n, ...).
    """
    if is_on_device(noise, compiled):
        chain_there = _device_chain(compiled, theta, log_r, guidance, last_step)
        return run_chain(compiled, theta, chain_there, noise, callback, times, rows)
    chain = Chain(compiled, theta, log_r, n, guidance, last_step, weighted=False)
    shape = (n, *compiled.model.example_shape)
    notify = callback or (lambda t, X: None)
    (X,) = chain.start(noise(shape))
    notify(chain.times[0], X)
    for t, after in zip(chain.times, chain.times[1:], strict=False):
        (X,) = chain.step(X, t, after, noise(shape))
        notify(after, X)
    return X
