"""Adam on one flat vector."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dpm.optimizers.rmsprop import PIECE, average_squares, split_pieces

Array = npt.NDArray[Any]


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), with steps of about the learning rate in each direction.

        m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
        theta <- theta - learning_rate (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + epsilon)      at step k = 1, 2, ...

    With `clip_norm` = c, a gradient whose norm is more than c times the root of the sum of v / (1 - b2^(k-1)), which is
    the root mean square of the norms so far, is first scaled to that norm (clipping as in Pascanu et al. 2013, section
    3.2, with a threshold that follows the gradients).

    A step whose gradient, or its square, is not finite is skipped: theta, m and v stay as they are. With `clip_norm`
    this includes the square of the norm.

    Attributes:
        mean: m (size,).
        mean_square: v (size,).
        steps: k, the number of steps that were not skipped.
        skipped_steps: number of steps that were.

    Args:
        size: length of theta.
        dtype: float type of theta.
        b1: weight of the previous m.
        b2: weight of the previous v.
        epsilon: smallest denominator.
        clip_norm: c, or 0 for no clipping.
    """

    def __init__(
        self,
        size: int,
        dtype: npt.DTypeLike = "float32",
        b1: float = 0.9,
        b2: float = 0.999,
        epsilon: float = 1e-8,
        clip_norm: float = 0.0,
    ) -> None:
        self.b1, self.b2, self.epsilon, self.clip_norm = b1, b2, epsilon, clip_norm
        self.mean, self.mean_square = np.zeros((2, size), dtype=dtype)
        self.steps = self.skipped_steps = 0

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> Array:
        """Return theta (size,) after one step, as a new array; theta and gradient are not changed."""
        gradient = self._clip(gradient)
        mean_square = average_squares(self.mean_square, gradient, self.b2)
        if not np.isfinite(mean_square.max(initial=0)):
            self.skipped_steps += 1
            return theta.copy()
        self.steps += 1
        rate = learning_rate / (1 - self.b1**self.steps)
        bias = 1 - self.b2**self.steps
        mean, moved, work = np.empty_like(self.mean), np.empty_like(theta), np.empty(PIECE, theta.dtype)
        for part in split_pieces(len(theta)):
            piece = np.multiply(gradient[part], 1 - self.b1, out=mean[part])
            rms = np.multiply(self.mean[part], self.b1, out=work[: len(piece)])
            piece += rms
            np.divide(mean_square[part], bias, out=rms)
            np.sqrt(rms, out=rms)
            rms += self.epsilon
            step = np.multiply(piece, rate, out=moved[part])
            step /= rms
            np.subtract(theta[part], step, out=step)
        self.mean, self.mean_square = mean, mean_square
        return moved

    def _clip(self, gradient: Array) -> Array:
        """Return the gradient, scaled down if it is too long; NaN if the square of its norm is not finite."""
        if not self.clip_norm:
            return gradient
        with np.errstate(over="ignore", invalid="ignore"):
            squared_norm = np.dot(gradient, gradient)
        if not np.isfinite(squared_norm):
            return np.full_like(gradient, np.nan)
        limit = self.clip_norm**2 * self.mean_square.sum() / (1 - self.b2**self.steps) if self.steps else 0.0
        if not 0 < limit < squared_norm:
            return gradient
        return gradient * gradient.dtype.type(np.sqrt(limit / squared_norm))

    def state(self) -> dict[str, Array]:
        """Return the state that a checkpoint stores, as a dict of arrays."""
        counts = {"steps": np.array(self.steps), "skipped_steps": np.array(self.skipped_steps)}
        return {"mean": self.mean, "mean_square": self.mean_square} | counts

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue from a state that :meth:`state` returned."""
        self.mean, self.mean_square = (np.array(state[name], dtype=self.mean.dtype) for name in ("mean", "mean_square"))
        self.steps, self.skipped_steps = int(state["steps"]), int(state["skipped_steps"])
