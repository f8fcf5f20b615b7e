"""Multiplying the model with any r(x) (section 2.5), and the particles that make the product exact.

The paper multiplies each reverse step by r_t(x_t) (Eq. 21) and leaves the choice of r_t open; with none of the
choices below is the end of the chain distributed as p(x_0) r(x_0), however many steps there are. Sequential Monte
Carlo with the multiplied steps as proposals corrects this: each particle carries the weight

    p(x_{t-1} | x_t) r_{t-1}(x_{t-1}) / (p~(x_{t-1} | x_t) r_t(x_t))

whose product telescopes to p(x_{0..T}) r(x_0) over the proposals, because r_0 = r. Functions log_r take a symbolic x,
(n, ...), and return nats, (n,); they act on each example alone. One that has a method multiply(kernel, p, exponent)
has its product with a step in closed form. docs/posterior.md tells it all.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from dpm.base import noise
from dpm.base.errors import InputError
from dpm.graph.schedules import signal_shares
from dpm.trajectories.particles import Particles
from dpm.trajectories.potentials import sum_elements

GUIDANCE = ("constant", "linear", "alpha_bar", "end", "predicted")
FARTHEST = 4.5  # nats an element from a step to its product with a prediction's r


def exponents(guidance, beta):
    """c_0..c_T, float64 (T + 1,), with c_0 = 1: r_t(x) = r(x)^c_t; beta: beta_1..beta_T.

    "constant": Eq. 22. "linear": (T - t) / T, the paper's other choice (2.5.4). "alpha_bar": the share of signal left
    at t. "end": r enters at t = 0 alone. "predicted": r_t(x) = r(E[x_0 | x_t = x]) under the model, all c_t = 1.
    Raises InputError for another schedule.
    """
    if guidance not in GUIDANCE:
        raise InputError(f"guidance {guidance!r} is unknown; accepted: {', '.join(GUIDANCE)}")
    T = len(beta)
    t = np.arange(T + 1)
    return {
        "constant": np.ones(T + 1),
        "linear": (T - t) / T,
        "alpha_bar": signal_shares(beta),
        "end": (t == 0).astype(np.float64),
        "predicted": np.ones(T + 1),
    }[guidance]


class Twist:
    """r_t of a model, and its reverse steps multiplied by it, as graphs.

    log_r: a function as above; guidance: one of GUIDANCE. Times t and exponents c are (n,).
    """

    def __init__(self, model, log_r, guidance):
        self.model, self.log_r, self.predicted = model, log_r, guidance == "predicted"

    def log(self, X, t, c):
        """log r_t(X), nats (n,)."""
        return c * self._unscaled(X, t)

    def step(self, X, t, after, N, c_now, c_after):
        """x_after of each particle and the log of its weight's factor, from X = x_t; N: the kernel's noise."""
        return self.draw(self._reverse(X, t), after, c_after, N, self.log(X, t, c_now))

    def draw(self, p, t, c, N, log_r_before):
        """A draw from p r_t and the log of its importance weight: like N, (n,)."""
        kernel, proposal = self.model.kernel, self._times(p, t, c)
        X = kernel.sample(proposal, N)
        ratio = kernel.log_prob(p, X) - kernel.log_prob(proposal, X)
        return [X, sum_elements(ratio) + self.log(X, t, c) - log_r_before]

    def predict(self, X, t):
        """E[x_0 | x_t = X] under the model; X itself at t = 0."""
        at = pt.maximum(t, 1)  # a valid time even where the result is not used: no 0 / 0 in its gradient
        x_0 = self.model.kernel.predict(self._reverse(X, at), X, *self.model.get_rates(at))
        return pt.switch(self.model.by_example(pt.eq(t, 0)), X, x_0)

    def _reverse(self, X, t):
        """p(x_{t-1} | x_t); at t = 1 the forward kernel itself, reversed (Eq. 43)."""
        kernel, edge = self.model.kernel, self.model.by_example(pt.eq(t, 1))
        return kernel.choose(
            edge, kernel.forward_step(X, self.model.get_beta_forward(t)), self.model.reverse(X, pt.maximum(t, 2))
        )

    def _unscaled(self, X, t):
        """log r_t(X) but for its exponent, in the float type of X."""
        nats = pt.as_tensor(self.log_r(self.predict(X, t) if self.predicted else X))
        if nats.ndim != 1:
            raise InputError(f"log_r: returns {nats.ndim} axes; accepted: one number for each example, (n,)")
        return nats.astype(X.dtype)

    def _times(self, p, t, c):
        """p r_t: in closed form where log_r has one, else as Table C.1 perturbs p."""
        kernel = self.model.kernel
        if hasattr(self.log_r, "multiply") and not self.predicted:
            return self.log_r.multiply(kernel, p, self.model.by_example(c))
        product = kernel.perturb(p, lambda x: self._unscaled(x, t), c)
        if not self.predicted:
            return product
        # Where a prediction is steep the perturbation is no small one and would overshoot; Gaussian shifts end at 3
        # deviations. Any other product than p r_t is as exact a proposal.
        moved = kernel.kl(product, p).mean(axis=tuple(range(1, p[0].ndim)))
        share = pt.sqrt(FARTHEST / pt.maximum(moved, FARTHEST))
        return kernel.perturb(p, lambda x: self._unscaled(x, t), c * share)


class Result(NamedTuple):
    """samples: (n, ...), equally weighted after a last resampling; log_Z: estimate of log of the sum of p(x_0) r(x_0),
    nats, whose exponential is unbiased; log_Z_error: its standard error; effective: effective sample size at the start
    and after each step, before any resampling; resamplings: how often on the way."""

    samples: np.ndarray
    log_Z: float
    log_Z_error: float
    effective: np.ndarray
    resamplings: int


class Chain:
    """The multiplied reverse chain of n examples, compiled: its start and its steps, with weights or without.

    compiled: a CompiledModel; theta: its parameters; last_step: whether p(x_0 | x_1) of Eq. 43 is drawn. Without it the
    sample is x_1, as released and as in dpm/sampler.py, and stands for x_0.
    """

    def __init__(self, compiled, theta, log_r, n, guidance="linear", last_step=True, weighted=True):
        self.compiled, self.theta, self.n = compiled, theta, n
        T = compiled.model.trajectory_length
        self.c = exponents(guidance, compiled.beta(theta))
        self.times = [*range(T, 1, -1), *([1] if last_step else []), 0]
        # All guidance schedules but the predicted one share their graphs.
        kind = guidance if guidance == "predicted" else "constant"
        t, N, c = compiled.numbers("t", n), compiled.examples("N", n), compiled.numbers("c", n)
        X, after, c_after = compiled.examples("X", n), compiled.numbers("after", n), compiled.numbers("c_after", n)
        self._begin = compiled.function(partial(_begin, compiled.model, log_r, kind, weighted), [t, N, c])
        self._step = compiled.function(
            partial(_step, compiled.model, log_r, kind, weighted), [X, t, after, N, c, c_after]
        )

    def start(self, N):
        """x_T, and with weights the logs of their first factors."""
        T = self.times[0]
        return self._begin(self.theta, self._full(T), self._array(N), self._full(self.c[T]))

    def step(self, X, t, after, N):
        """x_after from X = x_t, and with weights the logs of their factors."""
        t_and_after = self._full(t), self._full(after)
        c = self._full(self.c[t]), self._full(self.c[after])
        return self._step(self.theta, X, *t_and_after, self._array(N), *c)

    def _array(self, value):
        return self.compiled.engine.asarray(value)

    def _full(self, value):
        return self._array(np.full(self.n, value))


def _begin(model, log_r, guidance, weighted, t, N, c):
    """The graph of a draw from p(x_T) r_T(x_T), with its weight if weighted."""
    outputs = Twist(model, log_r, guidance).draw(model.kernel.prior(N), t, c, N, pt.zeros_like(c))
    return outputs if weighted else outputs[:1]


def _step(model, log_r, guidance, weighted, *inputs):
    """The graph of a step, with its weight's factor if weighted; inputs: those of Twist.step."""
    outputs = Twist(model, log_r, guidance).step(*inputs)
    return outputs if weighted else outputs[:1]


def sample_product(compiled, theta, log_r, n_particles, seed, guidance="linear", n_samples=None, last_step=True):
    """Particles distributed as p(x_0) r(x_0) / Z, the more exactly the more there are: a Result.

    n_samples: how many of them to draw at the end, all unless given; others as in Chain.
    "constant" can give weights without a finite variance: a particle far out, where r_t is small, has a chance to reach
    the middle in one long step, and then has the weight 1 / r_t. The schedules that begin with r_T near 1 have not.
    Raises InputError for fewer than 2 particles and where r is not above 0.
    """
    if n_particles < 2:
        raise InputError(f"particles: {n_particles} is not accepted; take 2 or more")
    rng = noise.generator(seed, noise.SAMPLING, n_particles)
    shape = (n_particles, *compiled.model.example_shape)
    draw = noise.DRAWS[compiled.model.kernel.noise]
    chain, particles = Chain(compiled, theta, log_r, n_particles, guidance, last_step), Particles(n_particles, rng)
    X = particles.update(*chain.start(draw(rng, shape)))
    for t, after in zip(chain.times, chain.times[1:], strict=False):
        X = particles.update(*chain.step(X, t, after, draw(rng, shape)))
    error, resamplings = particles.log_Z_error(), particles.resamplings
    X = particles.resampled(X, n_samples)
    return Result(X, float(particles.log_Z), error, np.array(particles.history), resamplings)


def sample_chain(compiled, theta, log_r, n, noise, guidance="linear", last_step=False, callback=None):
    """n samples of the multiplied chain as the paper has it, without weights, which is not p(x_0) r(x_0): (n, ...).

    noise and callback: as in generate_samples; with an r of 1 these are its samples.
    """
    chain = Chain(compiled, theta, log_r, n, guidance, last_step, weighted=False)
    shape = (n, *compiled.model.example_shape)
    notify = callback or (lambda t, X: None)
    (X,) = chain.start(noise(shape))
    notify(chain.times[0], X)
    for t, after in zip(chain.times, chain.times[1:], strict=False):
        (X,) = chain.step(X, t, after, noise(shape))
        notify(after, X)
    return X
