"""Models of numbers and of bits with known likelihood."""

import itertools

import numpy as np

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.bricks import Brick
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.vector_model import VectorDiffusion
from tests.helpers import exact

NONE = np.zeros(0)
MEAN, DEVIATION = 0.7, 0.4


def gaussian(mean, deviation, T=12):
    """Return a model with the exact reverse kernel of normal data, and its schedule, which ends in noise."""
    schedule = np.append(np.geomspace(0.01, 0.4, T - 1), 1 - 1e-9)
    engine = Engine("auto", "float64")
    with engine:
        network = exact.MixtureNetwork([(1.0, mean, deviation)])
        model = VectorDiffusion(1, GaussianKernel(), schedules.FixedSchedule(schedule), network)
    return CompiledModel(model, engine), schedule


class Rates(Brick):
    """Reverse kernel of bits whose rates depend on the bit and t."""

    def __init__(self, strength):
        super().__init__("rates")
        self.strength = strength

    def reverse(self, kernel, x_t, t, rates):
        p = kernel.forward_step(x_t, rates[0])
        return p._replace(logit=p.logit + self.strength * (0.3 * t[:, None] - 0.8))


def bits(T=3, strength=1.0):
    engine = Engine("auto", "float64")
    schedule = np.array([0.2, 0.4, 0.7])[:T]
    with engine:
        model = VectorDiffusion(2, BinomialKernel(0.3), schedules.FixedSchedule(schedule), Rates(strength))
    return CompiledModel(model, engine), schedule


def enumerated(x, schedule, rate=0.3, strength=1.0):
    """Return log p(x_0) and K of two independent bits by the sum over all x_1..x_T, one bit at a time."""
    log_p, K = 0.0, 0.0
    for bit in x:
        p, k = 0.0, 0.0
        for path in itertools.product([0, 1], repeat=len(schedule)):
            states = [int(bit), *path]
            q = w = 1.0
            pi = [1 - rate, rate]
            for t, beta in enumerate(schedule, start=1):
                one = states[t - 1] * (1 - beta) + beta * rate
                step = one if states[t] else 1 - one
                q *= step
                back = states[t] * (1 - beta) + beta * rate
                logit = np.log(back) - np.log1p(-back) + strength * (0.3 * t - 0.8)
                learned = 1 / (1 + np.exp(-logit))
                p_back = pi[states[0]] / pi[states[1]] * step if t == 1 else learned if states[t - 1] else 1 - learned
                w *= p_back / step
            w *= pi[states[-1]]
            p += q * w
            k += q * np.log(w)
        log_p, K = log_p + np.log(p), K + k
    return log_p, K
