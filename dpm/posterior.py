"""Multiplying the model with any r(x) (section 2.5), and the particles that make the product exact.

The paper multiplies each reverse step by r_t(x_t) (Eq. 21) and leaves the choice of r_t open; with none of the
choices below is the end of the chain distributed as p(x_0) r(x_0), however many steps there are. Sequential Monte
Carlo with the multiplied steps as proposals corrects this: each particle carries the weight

    p(x_{t-1} | x_t) r_{t-1}(x_{t-1}) / (p~(x_{t-1} | x_t) r_t(x_t))

whose product telescopes to p(x_{0..T}) r(x_0) over the proposals, because r_0 = r. Functions log_r take a symbolic
(n, size) and return nats, (n,).
"""

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from scipy.special import logsumexp

from dpm import noise
from dpm.errors import InputError
from dpm.schedule import signal_shares

WAYS = ("constant", "linear", "alpha_bar", "end")


def exponents(way, beta):
    """c_0..c_T of r_t(x) = r(x)^c_t, float64 (T + 1,), with c_0 = 1; beta: beta_1..beta_T.

    "constant": Eq. 22. "linear": (T - t) / T, the paper's other choice (2.5.4). "alpha_bar": the share of signal left
    at t. "end": r enters at t = 0 alone. Raises InputError for another way.
    """
    if way not in WAYS:
        raise InputError(f"way {way!r} of r(x) is unknown; accepted: {', '.join(WAYS)}")
    T = len(beta)
    t = np.arange(T + 1)
    return {
        "constant": np.ones(T + 1),
        "linear": (T - t) / T,
        "alpha_bar": signal_shares(beta),
        "end": (t == 0).astype(np.float64),
    }[way]


def gaussian(mean, sigma):
    """log r of independent Gaussian observations of each element; mean and sigma: numbers or (size,)."""
    if not np.all(np.asarray(sigma) > 0):
        raise InputError(f"sigma: {sigma} is not accepted; it is above 0")
    return lambda x: (-0.5 * ((x - mean) / sigma) ** 2).sum(axis=1)


def bits(known, value, error=1e-3):
    """log r of bits observed with a probability of error; known: (size,) of 0 and 1; value: (size,), the bits seen."""
    if not 0 < error < 0.5:
        raise InputError(f"error: {error} is not accepted; it is above 0 and below 0.5")
    strength = np.log1p(-error) - np.log(error)
    return lambda x: (known * (x * value + (1 - x) * (1 - value)) * strength).sum(axis=1)


class Result(NamedTuple):
    """samples: (n, size), equally weighted after a last resampling; log_Z: estimate of log of the sum of p(x_0) r(x_0),
    whose exponential is unbiased; log_Z_error: its standard error; effective: effective sample size after each step."""

    samples: np.ndarray
    log_Z: float
    log_Z_error: float
    effective: np.ndarray


def proposal_step(model, log_r, X, t, N, now, after):
    """x_{t-1} of each particle and the log of its weight's factor, as graphs.

    X: x_t, (n, size); t: (n,), at t = 1 the forward kernel itself is reversed (Eq. 43); N: the kernel's noise; now and
    after: exponents c_t and c_{t-1}, (n,).
    """
    kernel = model.kernel
    beta = model.get_beta_forward(t)
    p = kernel.choose(pt.eq(t, 1)[:, None], kernel.forward_step(X, beta), model.reverse(X, pt.maximum(t, 2)))
    return weighted_draw(kernel, p, log_r, after, N, now * log_r(X))


def weighted_draw(kernel, p, log_r, exponent, N, log_r_before):
    """A draw from p r^exponent as Table C.1 perturbs it, and the log of its importance weight: (n, size), (n,)."""
    proposal = kernel.perturb(p, log_r, exponent)
    X = kernel.sample(proposal, N)
    ratio = kernel.log_prob(p, X) - kernel.log_prob(proposal, X)
    return [X, ratio.sum(axis=1) + exponent * log_r(X) - log_r_before]


def systematic(weights, uniform):
    """Indices drawn in proportion to weights from one uniform number (systematic resampling, Kitagawa 1996)."""
    places = (np.arange(len(weights)) + uniform) / len(weights)
    return np.minimum(np.searchsorted(np.cumsum(weights) / np.sum(weights), places), len(weights) - 1)


class Particles:
    """Weighted particles, resampled below half the effective sample size; with log Z and their first ancestors.

    n: how many; rng: the Generator of the resampling.
    """

    def __init__(self, n, rng):
        self.n, self.rng = n, rng
        self.log_w = np.zeros(n)
        self.ancestors = np.arange(n)
        self.log_Z, self.resamplings = 0.0, 0

    @property
    def weights(self):
        """Normalised, (n,)."""
        return np.exp(self.log_w - logsumexp(self.log_w))

    @property
    def effective(self):
        """Effective sample size, 1 / sum of squared weights."""
        return 1 / np.sum(self.weights**2)

    def update(self, X, log_factors, resample_below=0.5):
        """The particles after their weights are multiplied, (n, size)."""
        self.log_w = self.log_w + np.asarray(log_factors, dtype=np.float64)
        return self.resampled(X) if self.effective < resample_below * self.n else X

    def resampled(self, X):
        """Particles drawn in proportion to their weights, which all become 1 again."""
        chosen = systematic(self.weights, self.rng.random())
        self.log_Z += logsumexp(self.log_w) - np.log(self.n)
        self.log_w, self.ancestors = np.zeros(self.n), self.ancestors[chosen]
        self.resamplings += 1
        return X[chosen]

    def log_Z_error(self):
        """Standard error of log Z from the weight shared by each first ancestor (Lee and Whiteley 2018, Eq. 4)."""
        shares = np.bincount(self.ancestors, self.weights, minlength=self.n)
        correction = (self.n / (self.n - 1)) ** (self.resamplings + 1)
        return float(np.sqrt(max(0.0, 1 - correction * (1 - np.sum(shares**2)))))


def sample_product(compiled, theta, log_r, n_particles, seed, way="linear"):
    """Particles distributed as p(x_0) r(x_0) / Z, the more exactly the more there are: a Result.

    compiled: a CompiledModel of vectors; theta: its parameters; log_r: a function of symbolic x; way: one of WAYS.
    "constant" can give weights without a finite variance: a particle far out, where r_t is small, has a chance to reach
    the middle in one long step, and then has the weight 1 / r_t. The ways that begin with r_T near 1 have not.
    """
    if n_particles < 2:
        raise InputError(f"particles: {n_particles} is not accepted; take 2 or more")
    model, engine = compiled.model, compiled.engine
    rng = noise.generator(seed, noise.SAMPLING, n_particles)
    shape = (n_particles, *model.picture_shape)
    c = exponents(way, compiled.beta(theta))

    def draw():
        return engine.asarray(noise.DRAWS[model.kernel.noise](rng, shape))

    def full(value):
        return engine.asarray(np.full(n_particles, value))

    def begin(N, after):
        prior = model.kernel.prior(N)
        return weighted_draw(model.kernel, prior, log_r, after, N, pt.zeros_like(after))

    # Kept under log_r itself, not its id, which a later function could have again.
    start = compiled.get(("start", log_r), n_particles, "Nw", begin)
    step = compiled.get(("product", log_r), n_particles, "XtNww", lambda *inputs: proposal_step(model, log_r, *inputs))
    particles, effective = Particles(n_particles, rng), []
    X, factors = start(theta, draw(), full(c[-1]))
    X = particles.update(X, factors)
    for t in range(model.trajectory_length, 0, -1):
        X, factors = step(theta, X, full(t), draw(), full(c[t]), full(c[t - 1]))
        X = particles.update(X, factors)
        effective.append(particles.effective)
    error = particles.log_Z_error()
    X = particles.resampled(X)
    return Result(X, float(particles.log_Z), error, np.array(effective))
