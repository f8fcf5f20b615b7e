"""How a run trains besides its optimizer: times and weights of t, the learning rate over the run, averaged weights."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dpm.experiments.variants import Variant
from dpm.optimizers import decay_learning_rate
from dpm.training.times import TimeWeights

LEARNING_RATE_FLOOR = 1e-4
WARMUP_SHARE = 0.1  # of a run whose learning rate falls to 0; so a run of few steps reaches the rate too
#: Factor of the learning rate after a part of the run, which is between 0 and 1.
FACTORS: dict[str, Callable[[float], float]] = {
    "constant": lambda part: 1.0,
    "linear": lambda part: 1 - part,
    "cosine": lambda part: (1 + math.cos(math.pi * part)) / 2,
    "late-linear": lambda part: min(1.0, 2 * (1 - part)),
}


class Recipe(NamedTuple):
    """Choices of training, with the names and values of Settings.

    Attributes:
        times: how t is drawn: "stratified" or "importance".
        objective: the weights of the terms of Eq. 14: "K", "balanced" or "balanced-then-K".
        lr_schedule: "release", "constant", "linear", "cosine" or "late-linear".
        warmup: steps over which the learning rate rises from 0; where it falls to 0 at the end of the run, not more
            than a tenth of the run.
        ema: decay of the averaged weights, or 0 for none.
    """

    times: str = "stratified"
    objective: str = "K"
    lr_schedule: str = "release"
    warmup: int = 0
    ema: float = 0.0

    @property
    def lr_ends(self) -> bool:
        """True if the learning rate depends on the part of the run that is done."""
        return self.lr_schedule not in ("release", "constant")

    def has_ended(self, epoch: float, epochs: int | None, seconds: float, hours: float | None) -> bool:
        """Return True if the learning rate has fallen to 0.

        Args:
            epoch: epochs done.
            epochs: epochs after which the schedule ends, or None.
            seconds: seconds of training.
            hours: hours after which the schedule ends, or None.
        """
        by_epochs = epochs is not None and epoch >= epochs
        return self.lr_ends and (by_epochs or (hours is not None and seconds >= 3600 * hours))

    def time_weights(self, trajectory_length: int) -> TimeWeights | None:
        """Return what draws and weighs the times, or None where they are even and the objective is K."""
        if (self.times, self.objective) == ("stratified", "K"):
            return None
        return TimeWeights(trajectory_length, self.times, self.objective)

    def learning_rate(self, lr: float, step: int, progress: float, variant: Variant) -> float:
        """Return the learning rate of a step.

        Args:
            lr: largest rate, or the first one of the release's schedule.
            step: steps made, since the schedule began.
            progress: part of the schedule that is done, from 0 to 1.
            variant: its rule for a rate below the release's smallest one.
        """
        rise = min(1.0, max((step + 1) / self.warmup, progress / WARMUP_SHARE)) if self.warmup else 1.0
        if self.lr_schedule != "release":
            return lr * rise * FACTORS[self.lr_schedule](progress)
        floor = LEARNING_RATE_FLOOR
        if not variant.learning_rate_floor_raises:
            floor = min(floor, lr)
        return rise * decay_learning_rate(lr, step, floor)


class Average:
    """Exponential moving average of the parameters, from those after the first step on.

    The decay rises as (1 + k) / (10 + k) with the step k up to its value, so the first steps are forgotten early.

    Attributes:
        theta: the average, (size,).
        steps: k.

    Args:
        decay: weight of the previous average.
        theta, steps: the attributes, of a run that is resumed.
    """

    def __init__(self, decay: float, theta: np.ndarray, steps: int = 0) -> None:
        self.decay, self.theta, self.steps = decay, theta, steps

    def update(self, theta: np.ndarray) -> None:
        """Add the parameters after a step."""
        if self.steps == 0:
            self.theta = theta.copy()
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.theta += self.theta.dtype.type(1 - decay) * (theta - self.theta)
