"""The subspace that all subfunctions of SFO share: positions and gradients as a few coordinates."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.linalg.blas import dtrsv

Array = npt.NDArray[Any]


def minimum_subspace(N: int, terms: int) -> int:
    """Return the smallest number of dimensions that hold N gradients and positions, and one full history."""
    return max(2 * N + 2, 2 * terms + 2)


def default_subspace(N: int, terms: int = 10) -> int:
    """Return the number of dimensions that SFO uses by default; each is a vector of theta's size in memory.

    Args:
        N: number of subfunctions.
        terms: pairs per history.
    """
    return max(3 * N, minimum_subspace(N, terms))


class Subspace:
    """Orthonormal basis P of the directions met so far, extended by new gradients.

    SFO paper, "A shared, adaptive, low-dimensional representation".

    P is never formed. The rows B (K, M) are nearly the vectors as they came, and the lower triangle L, the Cholesky
    factor of B B', makes P = L^-1 B orthonormal. A vector then costs one product with B, and a position another one;
    Gram-Schmidt in the large space would cost two more. If a vector is almost in the span, B B' would lose too many
    digits, and its residual is formed explicitly.

    If capacity >= size the coordinates are the vectors themselves.

    Attributes:
        dim: number of directions in use.
        rows: B (capacity, M), the first `dim` rows in use.
        factor: L (capacity, capacity); the identity beyond `dim`.

    Args:
        size: number of parameters M.
        capacity: largest number of directions K.
        dtype: float type of the vectors.
        number: number of subfunctions.
    """

    def __init__(self, size: int, capacity: int, dtype: npt.DTypeLike, number: int) -> None:
        self.size = size
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.full = capacity >= size
        self.capacity = size if self.full else capacity
        self.dim = size if self.full else 0
        rows = 0 if self.full else capacity
        self.rows = np.empty((rows, size), self.dtype)
        self.factor = np.eye(rows)
        # The last gradient of each subfunction, unprojected.
        self.last, self.seen = np.empty((0 if self.full else number, size), self.dtype), np.zeros(number, bool)
        eps = float(np.finfo(self.dtype).eps)
        # Squares of residual / length: below `near` the residual is formed, below `within` the vector adds nothing.
        self.near, self.within = 100 * eps**0.5, (1e4 * eps) ** 2

    def project_gradient(self, i: int, vector: Array, before: Array) -> Array:
        """Return the coordinates of a new gradient of subfunction i.

        The change since the last gradient is projected: late in a run the gradients themselves are almost in the span,
        and their new part would be lost to rounding.

        Args:
            i: the subfunction.
            vector: its gradient (size,).
            before: coordinates (capacity,) of its last gradient.

        Returns:
            Coordinates (capacity,), float64.
        """
        if self.full:
            return vector.astype(float)
        last, seen = self.last[i], self.seen[i]
        self.seen[i] = True
        if not seen:
            last[:] = vector
            return self.project(last)
        change = vector - last
        last[:] = vector
        return before + self.project(change)

    def project(self, vector: Array) -> Array:
        """Return the float64 coordinates (capacity,) of a vector (size,); a part outside the span extends the basis."""
        if self.full:
            return vector.astype(float)
        norm = float(np.linalg.norm(vector))
        if norm == 0:
            return np.zeros(self.capacity)
        k = self.dim
        c = self._project_onto_span(vector) / norm
        rest, overlap, row, length = float(1 - c @ c), c, vector, norm
        if rest < self.near:
            row = vector - self.combine(c * norm)
            length = float(np.linalg.norm(row))
            if length**2 <= self.within * norm**2:
                rest = 0.0
            else:
                overlap = self._project_onto_span(row) / length
                c = c + overlap * (length / norm)
                rest = float((length / norm) ** 2 * (1 - overlap @ overlap))
        if rest > 0:
            np.multiply(row, self.dtype.type(1 / length), out=self.rows[k])
            self.factor[k, :k], self.factor[k, k] = overlap[:k], np.sqrt(1 - overlap @ overlap)
            c[k] = np.sqrt(rest)
            self.dim += 1
        return c * norm

    def _project_onto_span(self, vector: Array) -> Array:
        """Return the coordinates (capacity,) of the part of the vector in the span."""
        products = np.zeros(self.capacity)
        products[: self.dim] = self.rows[: self.dim] @ vector
        # Beyond the dimensions in use the factor is the identity: solving with all of it needs no copy.
        return dtrsv(self.factor.T, products, trans=True)

    def combine(self, coordinates: Array) -> Array:
        """Return the vector (size,) with these coordinates (capacity,)."""
        if self.full:
            return coordinates.astype(self.dtype)
        weights = dtrsv(self.factor.T, coordinates)[: self.dim]
        return weights.astype(self.dtype) @ self.rows[: self.dim]

    def has_room(self) -> bool:
        """Return True if the basis can take one more direction."""
        return self.full or self.dim < self.capacity

    def collapse(self, kept: Array) -> Array:
        """Replace the basis by the columns of a matrix and drop everything outside of them.

        Args:
            kept: orthonormal columns (dim, k), in the old coordinates.

        Returns:
            (dim, k): old coordinates times this are the new ones. It equals `kept` up to the rounding that has
            accumulated in the basis, which is removed here: every collapse would multiply it.
        """
        k, new = self.dim, kept.shape[1]
        weights = solve_triangular(self.factor[:k, :k], kept, lower=True, trans=1, check_finite=False)
        weights = np.ascontiguousarray(weights.T.astype(self.dtype))
        products = np.zeros((new, new))
        # In place, one stretch of the parameters at a time: a second basis would double the memory.
        stretch = 1 << 16
        for begin in range(0, self.size, stretch):
            columns = slice(begin, begin + stretch)
            rotated = weights @ self.rows[:k, columns]
            self.rows[:new, columns] = rotated
            products += rotated @ rotated.T
        self.factor[:] = np.eye(self.capacity)
        self.factor[:new, :new] = np.linalg.cholesky(products)
        self.dim = new
        return kept @ self.factor[:new, :new]
