"""Models without parameters whose reverse kernel is exact for known data, for tests of sampling.

Each is a CompiledModel in double precision; theta is np.zeros(0).
"""

import numpy as np
import pytensor.tensor as pt

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.bricks import Brick
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from dpm.graph.vector_model import VectorDiffusion

MIXTURE = [(0.5, -1.2, 0.2), (0.2, 0.3, 0.15), (0.3, 1.3, 0.3)]  # weight, mean, deviation: those of known-values.md
LENGTH, PERIOD = 20, 5
PATTERNS = (np.arange(LENGTH) % PERIOD == np.arange(PERIOD)[:, None]).astype(float)
NONE = np.zeros(0)


class MixtureNetwork(Brick):
    """p(x_{t-1} | x_t) with the exact mean and variance for one number of a mixture of Gaussians.

    For a single Gaussian it is the exact reverse kernel.

    Args:
        mixture: (weight, mean, deviation) of each part.
    """

    def __init__(self, mixture):
        super().__init__("mixture")
        self.weight, self.mean, self.deviation = np.array(mixture).T

    def moments(self, x_t, beta_bar):
        """Return E[x_0 | x_t] and Var[x_0 | x_t], each (n, 1); x_t: (n, 1)."""
        kept = 1 - beta_bar
        variance = kept * self.deviation**2 + beta_bar
        away = x_t - pt.sqrt(kept) * self.mean
        part = pt.special.softmax(np.log(self.weight) - pt.log(variance) / 2 - away**2 / (2 * variance), axis=1)
        means = self.mean + pt.sqrt(kept) * self.deviation**2 / variance * away
        mean = (part * means).sum(axis=1, keepdims=True)
        inside = self.deviation**2 * beta_bar / variance
        return mean, (part * (inside + (means - mean) ** 2)).sum(axis=1, keepdims=True)

    def reverse(self, kernel, x_t, t, rates):
        mean, variance = self.moments(x_t, rates[1])
        q = kernel.posterior(mean, x_t, *rates)
        weight_0 = pt.sqrt(1 - rates[2]) * rates[0] / rates[1]
        return Gaussian(q.mu, pt.sqrt(q.sigma**2 + weight_0**2 * variance))


class PhaseNetwork(Brick):
    """The best reverse kernel of independent bits for the heartbeat: sum over phases of q(phase | x_t) q(. | phase)."""

    def __init__(self):
        super().__init__("phases")

    def reverse(self, kernel, x_t, t, rates):
        one, zero = (kernel.forward_marginal(np.full((1, 1), bit), rates[1]).logit for bit in (1.0, 0.0))
        # Log likelihood ratio of a bit for having been a 1 against a 0.
        evidence = x_t * (pt.softplus(-zero) - pt.softplus(-one)) + (1 - x_t) * (pt.softplus(zero) - pt.softplus(one))
        phase = pt.special.log_softmax(pt.dot(evidence, PATTERNS.T), axis=1)
        shares = pt.dot(pt.exp(phase), PATTERNS)
        return kernel.mixture(pt.log(shares) - pt.log1p(-shares), x_t, *rates)


def _compiled(size, kernel, beta, network):
    """Return the compiled model of these parts, in double precision."""
    engine = Engine("auto", "float64")
    with engine:
        return CompiledModel(VectorDiffusion(size, kernel, schedules.FixedSchedule(beta), network), engine)


def mixture(T, parts=MIXTURE, beta=None):
    """Return the mixture with T steps of the released schedule, or of beta."""
    return _compiled(1, GaussianKernel(), schedules.released(T) if beta is None else beta, MixtureNetwork(parts))


def heartbeat(T):
    """Return the heartbeat of the paper with T steps that erase equally."""
    return _compiled(LENGTH, BinomialKernel(1 / PERIOD), schedules.erase_equally(T), PhaseNetwork())
