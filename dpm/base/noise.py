"""Random numbers of training, evaluation and sampling: functions of a seed, a purpose and a position.

No state is kept between calls, so that a resumed run, another engine or another split into batches has the same draws.
Values are drawn in double precision and rounded by the caller.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np

N_PREFETCHED = 1_000_000  # numbers that ExampleNoise draws at once, 8 MB

#: Draws of a kernel's noise: functions of a Generator and a shape.
DRAWS: dict[str, Callable[[np.random.Generator, Sequence[int]], np.ndarray]] = {
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
    SIZES,
) = range(15)

Times = Callable[[np.random.Generator, int, int], np.ndarray]


def generator(seed: int, purpose: int, *position: int) -> np.random.Generator:
    """Return the numpy Generator of a purpose (one of the constants above) at a position."""
    return np.random.default_rng([seed, purpose, *position])


def device_key(seed: int, purpose: int, *position: int) -> np.ndarray:
    """Return the key from which a device draws the numbers of a purpose at a position, two uint32 words (2,)."""
    return np.random.SeedSequence([seed, purpose, *position]).generate_state(2)


def single_time(rng: np.random.Generator, n: int, trajectory_length: int) -> np.ndarray:
    """Draw one time for all n examples, uniform over 2..T, as the released code does. Floats, shape (n,)."""
    return np.full(n, 1 + np.floor(rng.uniform(1, trajectory_length)))


def stratified_times(rng: np.random.Generator, n: int, trajectory_length: int) -> np.ndarray:
    """Draw a time for each of n examples, each uniform over 2..T, spread evenly together. Floats, shape (n,).

    The k-th of n equal parts of the range goes to a random example. The mean over the examples then varies much less
    than with independent draws, and is still unbiased.
    """
    times: np.ndarray = 2 + np.floor(stratified_positions(rng, n) * (trajectory_length - 1))
    return times


def stratified_positions(rng: np.random.Generator, n: int, trajectory_length: int | None = None) -> np.ndarray:
    """Draw a number of [0, 1) for each of n examples, each uniform, spread evenly together. Floats, shape (n,)."""
    positions: np.ndarray = (rng.permutation(n) + rng.random(n)) / n
    return positions


def minibatch_noise(
    rng: np.random.Generator, shape: Sequence[int], trajectory_length: int, kind: str, times: Times = stratified_times
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the random numbers of one minibatch, in this order.

    Args:
        rng: their Generator.
        shape: shape of the minibatch, (n, ...).
        trajectory_length: T.
        kind: noise of the kernel, a key of DRAWS.
        times: draws the times.

    Returns:
        Times (n,), the kernel's noise and uniform [0, 1) noise, each of the minibatch's shape.
    """
    t = times(rng, shape[0], trajectory_length)
    return t, DRAWS[kind](rng, shape), rng.random(shape)


def draw_examples(
    rng: np.random.Generator, X: np.ndarray, n: int, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw n examples of X with noise: without replacement if X has n of them.

    Args:
        rng: Generator of the draws.
        X: examples that can be indexed, (N, ...).
        n: number of examples.
        kind: noise of the kernel, a key of DRAWS.

    Returns:
        Examples, the kernel's noise and uniform [0, 1) noise, each (n, ...).
    """
    examples = X[rng.choice(len(X), n, replace=n > len(X))]
    return examples, DRAWS[kind](rng, examples.shape), rng.random(examples.shape)


def draw_corners(rng: np.random.Generator, n: int, sides: Sequence[int], side: int) -> list[np.ndarray]:
    """Draw the first row and the first column of a square in each of n images, (n,) each.

    Args:
        rng: Generator of the places.
        n: number of images.
        sides: height and width of the images, at least `side`.
        side: side of the squares, in pixels.
    """
    return [rng.integers(0, length - side + 1, n) for length in sides]


def draw_crops(rng: np.random.Generator, X: np.ndarray, side: int) -> np.ndarray:
    """Cut a square at a uniformly drawn place out of each image, shape (n, c, side, side).

    Args:
        rng: Generator of the places.
        X: images (n, c, h, w).
        side: as in `draw_corners`.
    """
    rows, columns = draw_corners(rng, len(X), X.shape[2:], side)
    return cut_crops(X, rows, columns, side)


def cut_crops(X: np.ndarray, rows: np.ndarray, columns: np.ndarray, side: int) -> np.ndarray:
    """Cut a square out of each image (n, c, h, w), whose corner is at its row and column; return (n, c, side, side)."""
    squares = [x[:, i : i + side, j : j + side] for x, i, j in zip(X, rows, columns, strict=True)]
    return np.stack(squares) if squares else np.empty((0, X.shape[1], side, side), X.dtype)


def example_noise(
    seed: int, purpose: int, indices: Iterable[int], shape: Sequence[int], kind: str, draw: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the noise of single examples, which depends only on the index of the example.

    Args:
        seed: seed of the run.
        purpose: one of the constants above.
        indices: positions in the data set.
        shape: shape of one example.
        kind: noise of the kernel, a key of DRAWS.
        draw: 0, 1, ... for further noise of the same examples.

    Returns:
        The kernel's noise and uniform [0, 1) noise, each (len(indices), *shape).
    """
    draws = []
    for index in indices:
        rng = generator(seed, purpose, draw, int(index))
        draws.append((DRAWS[kind](rng, shape), rng.random(shape)))
    kernel_noise, uniform = zip(*draws, strict=True)
    return np.stack(kernel_noise), np.stack(uniform)


class ExampleNoise:
    """Stream of the kernel's noise for each example of a sample, which depends only on the example's number.

    Args:
        seed: seed of the sample.
        first: number of the first example.
        n: number of examples.
        kind: noise of the kernel, a key of DRAWS.

    Attributes:
        seed, first, n, kind: the arguments, which determine the draws on a device too.
    """

    def __init__(self, seed: int, first: int, n: int, kind: str = "normal") -> None:
        self.seed, self.first, self.n, self.kind = seed, first, n, kind
        self._draw = DRAWS[kind]
        self._prefetched = iter(np.empty((0, 0)))

    @cached_property
    def _generators(self) -> list[np.random.Generator]:
        return [generator(self.seed, SAMPLING, i) for i in range(self.first, self.first + self.n)]

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        """Return the next draw, of shape (n, ...).

        Raises:
            ValueError: the shape is not that of the draws before.
        """
        draw = next(self._prefetched, None)
        if draw is None:
            # Many at once, the same numbers as one by one: a call for each example and step would take longer than a
            # step of a small model.
            count = max(1, N_PREFETCHED // int(np.prod(shape)))
            parts = [self._draw(rng, (count, *shape[1:])) for rng in self._generators]
            self._prefetched = iter(np.stack(parts, axis=1))
            draw = next(self._prefetched)
        if draw.shape != tuple(shape):
            raise ValueError(f"shape: got {tuple(shape)}; expected {draw.shape}, that of the draws before")
        return draw
