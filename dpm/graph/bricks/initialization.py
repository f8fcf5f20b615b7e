"""Initial values of parameters: constant, normal, orthogonal matrices, and copies of inputs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Initialization(Protocol):
    """Distribution of the initial value of a parameter."""

    def generate(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw a float64 array of that shape."""


@dataclass(frozen=True)
class Constant:
    """All elements equal to `constant`."""

    constant: float

    def generate(self, rng: np.random.Generator | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the constant array; rng is not used and may be None."""
        return np.full(shape, self.constant, dtype=np.float64)


@dataclass(frozen=True)
class IsotropicGaussian:
    """Independent normal elements of deviation `std` and mean `mean`."""

    std: float = 1.0
    mean: float = 0.0

    def generate(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw a float64 array of that shape."""
        return rng.normal(self.mean, self.std, size=shape)


@dataclass(frozen=True)
class Orthogonal:
    """A matrix with orthonormal rows or columns, whichever are fewer, distributed uniformly.

    The Q factor of a normal matrix is uniform once the signs of R's diagonal are divided out (Mezzadri 2007).
    """

    def generate(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw a float64 matrix of shape (rows, columns)."""
        rows, columns = shape
        q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
        q *= np.sign(np.diag(r))
        return q if rows >= columns else q.T


@dataclass(frozen=True)
class Copies:
    """A matrix whose first outputs each copy one input, and whose other outputs are random mixtures of all inputs.

    Output i < number has the weight `gain` on input i and 0 on the others; the weights of the other outputs are
    normal, of deviation 2 gain / sqrt(inputs). Through several layers of saturating units, the copies keep each input
    visible to a linear readout, and the mixtures are large enough to bend.
    """

    number: int
    gain: float

    def generate(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw a float64 matrix of shape (inputs, outputs)."""
        weights = rng.normal(0.0, 2 * self.gain / np.sqrt(shape[0]), size=shape)
        copies = np.arange(min(self.number, *shape))
        weights[:, copies] = 0.0
        weights[copies, copies] = self.gain
        return weights
