"""RMSProp as the 2015 code ran it, on one flat vector."""

import numpy as np

PIECE = 1 << 15  # elements that are worked on at once, so that they stay in the cache


def remove_not_finite(gradient, blocks):
    """The gradient with 0 for each block (a slice, one parameter) that holds a NaN or infinity.

    This is what Blocks' RemoveNotFinite did: the other parameters move as if nothing had happened.
    Returns (gradient, number of blocks zeroed).
    """
    bad = [block for block in blocks if not np.isfinite(gradient[block]).all()]
    if bad:
        gradient = gradient.copy()
        for block in bad:
            gradient[block] = 0
    return gradient, len(bad)


class RMSProp:
    """Divide each step by a running root mean square of the gradient (Tieleman and Hinton 2012).

        m <- decay_rate m + (1 - decay_rate) g^2        from m = 0, without bias correction
        theta <- theta - learning_rate g / max(sqrt(m), 1 / max_scaling)

    size: length of theta; dtype: its float type; decay_rate and max_scaling: the released values by default.
    blocks: None, or the slices of the single parameters. With None a step whose gradient, or its square, is not
    finite is skipped whole: theta and m stay as they are. With blocks the released rule is followed instead:
    the gradient of a parameter that is not finite counts as 0, and a gradient whose square overflows makes m
    infinite, which freezes that element for ever.
    """

    def __init__(self, size, dtype="float32", decay_rate=0.9, max_scaling=1e10, blocks=None):
        self.decay_rate, self.max_scaling, self.blocks = decay_rate, max_scaling, blocks
        self.mean_square = np.zeros(size, dtype=dtype)
        self.skipped_steps = 0

    def step(self, theta, gradient, learning_rate):
        """The new theta, an array of its own; theta and gradient are not changed."""
        if self.blocks is not None:
            gradient, removed = remove_not_finite(gradient, self.blocks)
            self.skipped_steps += bool(removed)
        new, moved, work = np.empty_like(self.mean_square), np.empty_like(theta), np.empty(PIECE, theta.dtype)
        parts = [slice(start, start + PIECE) for start in range(0, len(theta), PIECE)]
        with np.errstate(over="ignore", invalid="ignore"):
            for part in parts:
                piece = np.square(gradient[part], out=new[part])
                piece *= 1 - self.decay_rate
                piece += np.multiply(self.mean_square[part], self.decay_rate, out=work[: len(piece)])
        if self.blocks is None and not np.isfinite(new.max(initial=0)):
            self.skipped_steps += 1
            return theta.copy()
        self.mean_square = new
        for part in parts:
            piece = np.multiply(gradient[part], learning_rate, out=moved[part])
            rms = np.sqrt(new[part], out=work[: len(piece)])
            piece /= np.maximum(rms, 1 / self.max_scaling, out=rms)
            np.subtract(theta[part], piece, out=piece)
        return moved

    def state(self):
        """What a checkpoint keeps: dict of arrays."""
        return {"mean_square": self.mean_square, "skipped_steps": np.array(self.skipped_steps)}

    def load_state(self, state):
        """Go on from `state`, as returned by state()."""
        self.mean_square = np.array(state["mean_square"], dtype=self.mean_square.dtype)
        self.skipped_steps = int(state["skipped_steps"])


def decay_learning_rate(initial, step, floor=1e-4):
    """The released schedule: times 10^(-1/1000) after every 500 steps, and from the first time on never below floor."""
    if step < 500:
        return initial
    return max(initial * 10 ** (-(step // 500) / 1000), floor)
