"""Schedules beta_1..beta_T to choose from: fixed ones, and two that are learned (section 2.4.1).

A fixed schedule is a float64 array (T,), index t - 1 for time t; a schedule of a model is a brick whose `beta_arr()`
is the symbolic array.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor import config

from dpm.base.errors import InputError
from dpm.graph.bricks import RATES, Brick, Constant
from dpm.graph.rates import generate_beta_arr, generate_temporal_basis, released

MARGIN = 1e-6  # a learned rate stays this far from 0 and from 1


def erase_equally(trajectory_length):
    """beta_t = 1 / (T - t + 1): each step erases 1 / T of the signal; the paper's binomial schedule (2.4.1)."""
    return 1 / np.arange(trajectory_length, 0, -1.0)


def constant(trajectory_length, beta):
    """The same rate at each step."""
    return np.full(trajectory_length, float(beta))


def linear(trajectory_length, first=1e-4, last=0.02):
    """Evenly spaced rates (Ho, Jain and Abbeel 2020, section 4, whose T is 1,000)."""
    return np.linspace(first, last, trajectory_length)


def cosine(trajectory_length, offset=0.008, largest=0.999):
    """alpha_bar_t = cos^2((t / T + offset) / (1 + offset) pi / 2), normalized (Nichol and Dhariwal 2021, Eq. 17)."""
    share = np.cos((np.arange(trajectory_length + 1) / trajectory_length + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.minimum(1 - share[1:] / share[:-1], largest)


FIXED = {"erase_equally": erase_equally, "released": released, "constant": constant, "linear": linear, "cosine": cosine}


class FixedSchedule(Brick):
    """A schedule that is not learned. Raises InputError for T < 2 or a rate outside (0, 1].

    The last rate alone may be 1, which erases all signal.
    """

    def __init__(self, beta):
        super().__init__("schedule")
        self.beta = checked(beta)
        self.trajectory_length = len(self.beta)

    def beta_arr(self):
        """beta_1..beta_T: (T,)."""
        return pt.constant(self.beta.astype(config.floatX))


class FreeSchedule(Brick):
    """beta_2..beta_T learned, one free number a step; beta_1 stays as it is "to prevent overfitting" (2.4.1).

    beta_t = m + (1 - 2 m) sigmoid(logit_t), m = 1e-6, so that 0 < beta_t < 1 whatever the parameters are.
    start: the rates at the start, beta_1 among them.
    """

    def __init__(self, start):
        super().__init__("schedule")
        start = checked(start)
        self.trajectory_length, self.first = len(start), float(start[0])
        inside = np.clip((start[1:] - MARGIN) / (1 - 2 * MARGIN), MARGIN, 1 - MARGIN)
        self.offset = np.log(inside) - np.log1p(-inside)
        self.logits = self.add_parameter("logits", (len(start) - 1,), RATES, Constant(0.0))

    def beta_arr(self):
        """beta_1..beta_T: (T,)."""
        offset, first = (np.asarray(a, dtype=config.floatX) for a in (self.offset, [self.first]))
        return pt.concatenate([first, MARGIN + (1 - 2 * MARGIN) * pt.sigmoid(self.logits + offset)])


class BasisSchedule(Brick):
    """The released form: bumps over time inside the sigmoid, around 1 / linspace(T, 2, T).

    n_basis: coefficients; step1_beta: added to the smallest first rate.
    """

    def __init__(self, trajectory_length, n_basis=10, step1_beta=0.001):
        super().__init__("schedule")
        if trajectory_length < 2 or n_basis < 2:
            raise InputError(f"trajectory_length={trajectory_length}, n_basis={n_basis}: each must be 2 or more")
        self.trajectory_length, self.step1_beta = trajectory_length, step1_beta
        self.basis = generate_temporal_basis(trajectory_length, n_basis)
        self.coefficients = self.add_parameter("coefficients", (n_basis,), RATES, Constant(0.0))

    def beta_arr(self):
        """beta_1..beta_T: (T,)."""
        return generate_beta_arr(self.coefficients, self.basis, self.step1_beta)


def checked(beta):
    """beta as a float64 array, if it is a schedule; otherwise InputError."""
    beta = np.asarray(beta, dtype=np.float64)
    if beta.ndim != 1 or len(beta) < 2:
        raise InputError(f"schedule: an array of shape {beta.shape}; accepted: beta_1..beta_T with T of 2 or more")
    wrong = np.flatnonzero(~((beta > 0) & ((beta < 1) | ((beta == 1) & (np.arange(len(beta)) == len(beta) - 1)))))
    if len(wrong):
        raise InputError(
            f"schedule: beta_{wrong[0] + 1} = {beta[wrong[0]]}; accepted: above 0 and below 1 (the last may be 1)"
        )
    return beta
