"""RMSProp of the 2015 code on one flat vector, and its learning rate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

PIECE = 1 << 15  # elements per piece, so that a piece stays in the cache

Array = npt.NDArray[Any]


def remove_not_finite(gradient: Array, blocks: Sequence[slice]) -> tuple[Array, int]:
    """Return the gradient with 0 in place of each block that holds a NaN or an infinity.

    This is RemoveNotFinite of Blocks: the other parameters move as usual.

    Args:
        gradient: (size,); not changed.
        blocks: one slice per parameter.

    Returns:
        (gradient, number of blocks set to 0).
    """
    bad = [block for block in blocks if not np.isfinite(gradient[block]).all()]
    if bad:
        gradient = gradient.copy()
        for block in bad:
            gradient[block] = 0
    return gradient, len(bad)


def split_pieces(size: int) -> list[slice]:
    """Return slices of PIECE elements that cover a vector of this size."""
    return [slice(start, start + PIECE) for start in range(0, size, PIECE)]


def average_squares(mean_square: Array, gradient: Array, decay: float) -> Array:
    """Return decay m + (1 - decay) g^2 as a new array, which is infinite or NaN where the square is.

    Args:
        mean_square: m, (size,).
        gradient: g, (size,).
        decay: weight of m.
    """
    new, work = np.empty_like(mean_square), np.empty(PIECE, mean_square.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in split_pieces(len(new)):
            piece = np.square(gradient[part], out=new[part])
            piece *= 1 - decay
            piece += np.multiply(mean_square[part], decay, out=work[: len(piece)])
    return new


class RMSProp:
    """RMSProp: gradients divided by their running root mean square (Tieleman and Hinton 2012).

        m <- decay_rate m + (1 - decay_rate) g^2        from m = 0, without bias correction
        theta <- theta - learning_rate g / max(sqrt(m), 1 / max_scaling)

    Without blocks a step whose gradient, or its square, is not finite is skipped: theta and m stay as they are. With
    blocks the released rule is followed: the gradient of a parameter that is not finite counts as 0, and a gradient
    whose square overflows makes m infinite, after which that element never moves again.

    Attributes:
        mean_square: m (size,).
        skipped_steps: number of steps that were skipped, or in which a gradient was set to 0.

    Args:
        size: length of theta.
        dtype: float type of theta.
        decay_rate: weight of the previous m; as released by default.
        max_scaling: largest factor by which a gradient is scaled up; as released by default.
        blocks: None, or one slice per parameter.
    """

    def __init__(
        self,
        size: int,
        dtype: npt.DTypeLike = "float32",
        decay_rate: float = 0.9,
        max_scaling: float = 1e10,
        blocks: Sequence[slice] | None = None,
    ) -> None:
        self.decay_rate, self.max_scaling, self.blocks = decay_rate, max_scaling, blocks
        self.mean_square = np.zeros(size, dtype=dtype)
        self.skipped_steps = 0

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> Array:
        """Return theta (size,) after one step, as a new array; theta and gradient are not changed."""
        if self.blocks is not None:
            gradient, removed = remove_not_finite(gradient, self.blocks)
            self.skipped_steps += bool(removed)
        new = average_squares(self.mean_square, gradient, self.decay_rate)
        if self.blocks is None and not np.isfinite(new.max(initial=0)):
            self.skipped_steps += 1
            return theta.copy()
        self.mean_square = new
        moved, work = np.empty_like(theta), np.empty(PIECE, theta.dtype)
        for part in split_pieces(len(theta)):
            piece = np.multiply(gradient[part], learning_rate, out=moved[part])
            rms = np.sqrt(new[part], out=work[: len(piece)])
            piece /= np.maximum(rms, 1 / self.max_scaling, out=rms)
            np.subtract(theta[part], piece, out=piece)
        return moved

    def state(self) -> dict[str, Array]:
        """Return the state that a checkpoint stores, as a dict of arrays."""
        return {"mean_square": self.mean_square, "skipped_steps": np.array(self.skipped_steps)}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue from a state that :meth:`state` returned."""
        self.mean_square = np.array(state["mean_square"], dtype=self.mean_square.dtype)
        self.skipped_steps = int(state["skipped_steps"])


def decay_learning_rate(initial: float, step: int, floor: float = 1e-4) -> float:
    """Return the learning rate of the released schedule.

    It is multiplied by 10^(-1/1000) after every 500 steps, and from the first time on is at least `floor`.

    Args:
        initial: learning rate of the first 500 steps.
        step: number of steps made.
        floor: smallest learning rate after them.

    Example:
        >>> round(decay_learning_rate(1e-3, 1000), 10)
        0.0009954054
    """
    if step < 500:
        return initial
    return max(initial * 10 ** (-(step // 500) / 1000), floor)
