"""Adam on one flat vector."""

import numpy as np


class Adam:
    """Steps of about the learning rate in each direction (Kingma and Ba 2015, algorithm 1).

        m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
        theta <- theta - learning_rate (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + epsilon)      at the k-th step

    size: length of theta; dtype: its float type. A step whose gradient, or its square, is not finite is skipped
    whole: theta, m and v stay as they are.
    """

    def __init__(self, size, dtype="float32", b1=0.9, b2=0.999, epsilon=1e-8):
        self.b1, self.b2, self.epsilon = b1, b2, epsilon
        self.mean, self.mean_square = np.zeros((2, size), dtype=dtype)
        self.steps = self.skipped_steps = 0

    def step(self, theta, gradient, learning_rate):
        """The new theta, an array of its own; theta and gradient are not changed."""
        with np.errstate(over="ignore", invalid="ignore"):
            square = gradient**2
        if not np.isfinite(square.sum(dtype=np.float64)):
            self.skipped_steps += 1
            return theta.copy()
        self.steps += 1
        self.mean = self.b1 * self.mean + (1 - self.b1) * gradient
        self.mean_square = self.b2 * self.mean_square + (1 - self.b2) * square
        rate = learning_rate / (1 - self.b1**self.steps)
        rms = np.sqrt(self.mean_square / (1 - self.b2**self.steps))
        return (theta - rate * self.mean / (rms + self.epsilon)).astype(theta.dtype, copy=False)

    def state(self):
        """What a checkpoint keeps: dict of arrays."""
        counts = {"steps": np.array(self.steps), "skipped_steps": np.array(self.skipped_steps)}
        return {"mean": self.mean, "mean_square": self.mean_square} | counts

    def load_state(self, state):
        """Go on from `state`, as returned by state()."""
        self.mean, self.mean_square = (np.array(state[name], dtype=self.mean.dtype) for name in ("mean", "mean_square"))
        self.steps, self.skipped_steps = int(state["steps"]), int(state["skipped_steps"])
