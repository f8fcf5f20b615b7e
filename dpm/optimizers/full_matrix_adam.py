"""Adam with the full matrix of the second moments, for a few parameters that depend on each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EVERY = 5  # steps between eigenvalue decompositions
OUTLIER = 3.0  # a gradient longer than this many times the root mean square of the last ones is shortened to it


class FullMatrixAdam:
    """Adam whose second moment is a matrix (Duchi, Hazan and Singer 2011, full-matrix AdaGrad, with Adam's averages).

        m <- b1 m + (1 - b1) g,  V <- b2 V + (1 - b2) g g'
        theta <- theta - learning_rate (V / (1 - b2^k) + damping^2 lambda I)^(-1/2) m / (1 - b1^k)

    lambda is the largest eigenvalue of V / (1 - b2^k). The steps do not depend on the coordinates: a narrow valley that
    lies across the axes is followed as fast as one along an axis. A step costs size^2, and every few steps size^3.

    A gradient that is not finite is skipped. In the first `warmup` steps theta stays, while V fills.

    Attributes:
        active: places of theta that move, (size,).
        mean: m, (size,).
        moments: V, (size, size).
        root: the present inverse root of V, (size, size).
        steps: k, the number of steps that were not skipped.
        skipped_steps: number of steps that were.

    Args:
        active: places of theta that move; the gradient of the others is not read.
        b1, b2: weights of the previous m and V.
        damping: of the inverse root: the smallest root of an eigenvalue, as a fraction of the largest.
        warmup: number of first steps without motion.
        limit: largest change of a parameter in a step.
    """

    def __init__(
        self,
        active: Array,
        b1: float = 0.9,
        b2: float = 0.99,
        damping: float = 1e-4,
        warmup: int = 30,
        limit: float = 0.1,
    ) -> None:
        self.active, size = np.asarray(active), len(active)
        self.b1, self.b2, self.damping, self.warmup, self.limit = b1, b2, damping, warmup, limit
        self.mean, self.moments, self.root = np.zeros(size), np.zeros((size, size)), np.eye(size)
        self.steps = self.skipped_steps = 0

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> Array:
        """Return theta after one step, as a new array; theta and gradient are not changed."""
        theta, g = theta.copy(), np.asarray(gradient[self.active], dtype=np.float64)
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.square(g).sum())
        if not finite:
            self.skipped_steps += 1
            return theta
        if self.steps >= self.warmup > 0:
            # One outlier would rule V, and stop all motion, for thousands of steps.
            usual = np.sqrt(np.trace(self.moments) / (1 - self.b2**self.steps))
            g *= min(1.0, OUTLIER * usual / max(np.linalg.norm(g), 1e-300))
        self.mean = self.b1 * self.mean + (1 - self.b1) * g
        self.moments = self.b2 * self.moments + (1 - self.b2) * np.outer(g, g)
        if self.steps % EVERY == 0:
            self.root = self._inverse_root()
        self.steps += 1
        if self.steps > self.warmup:
            change = learning_rate * (self.root @ self.mean) / (1 - self.b1**self.steps)
            theta[self.active] -= change * min(1.0, self.limit / np.abs(change).max(initial=1e-300))
        return theta

    def _inverse_root(self) -> Array:
        """Return (V / (1 - b2^k) + damping^2 lambda I)^(-1/2)."""
        values, vectors = np.linalg.eigh(self.moments / (1 - self.b2 ** (self.steps + 1)))
        values = np.maximum(values, 0)
        values += self.damping**2 * values.max(initial=0) + np.finfo(float).tiny
        return (vectors / np.sqrt(values)) @ vectors.T

    def state(self) -> dict[str, Array]:
        """Return the state that a checkpoint stores, as a dict of arrays."""
        counts = {"steps": np.array(self.steps), "skipped_steps": np.array(self.skipped_steps)}
        return {"mean": self.mean, "moments": self.moments, "root": self.root} | counts

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue from a state that :meth:`state` returned."""
        for name in ("mean", "moments", "root"):
            setattr(self, name, np.array(state[name], dtype=np.float64))
        self.steps, self.skipped_steps = int(state["steps"]), int(state["skipped_steps"])
