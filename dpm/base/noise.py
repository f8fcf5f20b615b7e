"""Random numbers for training, evaluation and sampling: each is a function of a seed and a position.

Nothing here keeps a state between calls, so that a resumed run, another engine or another split into batches
sees the same draws. Values are drawn in double precision and rounded by the caller.
"""

import numpy as np

N_PREFETCHED = 1_000_000  # numbers, 8 MB

# What the noise of a kernel is drawn by: functions of a Generator and a shape.
DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.random(shape),
}

(
    ORDER,
    TRAINING,
    EVALUATION,
    SAMPLING,
    START,
    LIKELIHOOD,
    DROPOUT,
    REFIT,
    ENTROPY,
    SUBFUNCTION,
    OPTIMIZER,
    TERMS,
    FORWARD,
    BASELINE,
) = range(14)


def generator(seed, purpose, *position):
    """The numpy Generator of one purpose at one position (integers)."""
    return np.random.default_rng([seed, purpose, *position])


def single_time(rng, n, trajectory_length):
    """One time for all n pictures, uniform over 2..T: what the released code draws a minibatch. Floats (n,)."""
    return np.full(n, 1 + np.floor(rng.uniform(1, trajectory_length)))


def stratified_times(rng, n, trajectory_length):
    """A time for each of n pictures, each uniform over 2..T, all of them spread evenly. Floats (n,).

    The k-th of n equal parts of the range is given to a random picture. The mean over the pictures then varies
    much less than with independent draws, and is as unbiased.
    """
    parts = (rng.permutation(n) + rng.random(n)) / n
    return 2 + np.floor(parts * (trajectory_length - 1))


def minibatch_noise(rng, shape, trajectory_length, kind, times=stratified_times):
    """Times (n,), the kernel's noise and uniform [0, 1) noise (shape = (n, ...)), drawn in this order.

    kind: what noise the kernel takes, a key of DRAWS.
    """
    t = times(rng, shape[0], trajectory_length)
    return t, DRAWS[kind](rng, shape), rng.random(shape)


def draw_examples(rng, X, n, kind):
    """n examples of X, each once where there are as many, with the kernel's and uniform noise: three of (n, ...).

    kind: a key of DRAWS.
    """
    examples = X[rng.choice(len(X), n, replace=n > len(X))]
    return examples, DRAWS[kind](rng, examples.shape), rng.random(examples.shape)


def draw_crops(rng, X, side):
    """A square piece of each picture, (n, c, side, side), at a place drawn evenly. X: (n, c, h, w), h and w >= side."""
    rows, columns = (rng.integers(0, length - side + 1, len(X)) for length in X.shape[2:])
    return np.stack([x[:, i : i + side, j : j + side] for x, i, j in zip(X, rows, columns, strict=True)])


def example_noise(seed, purpose, indices, shape, kind, draw=0):
    """The kernel's and uniform noise of single pictures: a picture's draw depends on its index alone.

    indices: positions in the data set; shape: (c, h, w); kind: a key of DRAWS; draw: 0, 1, ... for further noise of
    the same picture. Returns two arrays (len(indices), c, h, w).
    """
    draws = []
    for index in indices:
        rng = generator(seed, purpose, draw, int(index))
        draws.append((DRAWS[kind](rng, shape), rng.random(shape)))
    kernel_noise, uniform = zip(*draws, strict=True)
    return np.stack(kernel_noise), np.stack(uniform)


class ExampleNoise:
    """A stream of the kernel's noise for each picture of a sample, by its number; kind: a key of DRAWS.

    Picture i gets the same noise however many others are drawn with it. All draws have one shape.
    """

    def __init__(self, seed, first, n, kind="normal"):
        self._draw = DRAWS[kind]
        self._generators = [generator(seed, SAMPLING, i) for i in range(first, first + n)]
        self._ahead = iter(())

    def __call__(self, shape):
        """The next draw of shape (n, c, h, w)."""
        draw = next(self._ahead, None)
        if draw is None:
            # Many at once, the same numbers as one after the other: a call for each picture and step would take longer
            # than a step of a small model.
            count = max(1, N_PREFETCHED // int(np.prod(shape)))
            parts = [self._draw(rng, (count, *shape[1:])) for rng in self._generators]
            self._ahead = iter(np.stack(parts, axis=1))
            draw = next(self._ahead)
        if draw.shape != tuple(shape):
            raise ValueError(f"shape: {tuple(shape)}, but the draws before were {draw.shape}; they must be alike")
        return draw
