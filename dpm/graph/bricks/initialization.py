"""How parameters start. Each has `generate(rng, shape)`, which returns a float64 array."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Constant:
    """All elements equal."""

    constant: float

    def generate(self, rng, shape):
        return np.full(shape, self.constant, dtype=np.float64)


@dataclass(frozen=True)
class IsotropicGaussian:
    """Independent normal elements of deviation std and the given mean."""

    std: float = 1.0
    mean: float = 0.0

    def generate(self, rng, shape):
        return rng.normal(self.mean, self.std, size=shape)


@dataclass(frozen=True)
class Orthogonal:
    """A matrix with orthonormal rows or columns, whichever are fewer, distributed uniformly.

    The Q factor of a normal matrix is uniform once the signs of R's diagonal are divided out (Mezzadri 2007).
    """

    def generate(self, rng, shape):
        rows, columns = shape
        q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
        q *= np.sign(np.diag(r))
        return q if rows >= columns else q.T
