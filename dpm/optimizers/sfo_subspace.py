"""The subspace that all subfunctions share: every position and gradient becomes a few coordinates."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.blas import dtrsv


class Subspace:
    """An orthonormal basis P of the directions met so far, grown by gradients.

    SFO paper, "A shared, adaptive, low-dimensional representation".

    size: number of parameters M; capacity: most directions K; dtype: float type of the vectors; number: subfunctions.

    P is never formed. The rows B (K, M) are nearly the vectors as they came, and the lower triangle L, the Cholesky
    factor of B B', makes P = L^-1 B orthonormal. So a vector costs one product with B, and a position another one;
    Gram-Schmidt in the large space would cost two more. Where a vector lies almost in the span, B B' would lose too
    many digits, and its residual is formed after all.
    Where capacity >= size the coordinates are the vectors themselves.
    """

    def __init__(self, size, capacity, dtype, number):
        self.size, self.dtype = size, np.dtype(dtype)
        self.full = capacity >= size
        self.capacity = size if self.full else capacity
        self.dim = size if self.full else 0
        rows = 0 if self.full else capacity
        self.rows = np.empty((rows, size), self.dtype)
        self.factor = np.eye(rows)
        # The last gradient of each subfunction, as it came.
        self.last, self.seen = np.empty((0 if self.full else number, size), self.dtype), np.zeros(number, bool)
        eps = float(np.finfo(self.dtype).eps)
        # Squares of residual / length: below `near` the residual is formed, below `within` the vector adds nothing.
        self.near, self.within = 100 * eps**0.5, (1e4 * eps) ** 2

    def gradient(self, i, vector, before):
        """Coordinates (capacity,) of the new gradient of subfunction i; `before` are those of its last one.

        The change since then is projected: late in a run the gradients themselves lie almost in the span, and what
        is new in them would drown in rounding.
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

    def project(self, vector):
        """Coordinates (capacity,) of the vector, in float64; the basis grows where the vector sticks out of it."""
        if self.full:
            return vector.astype(float)
        norm = float(np.linalg.norm(vector))
        if norm == 0:
            return np.zeros(self.capacity)
        k = self.dim
        c = self._inside(vector) / norm
        rest, overlap, row, length = 1 - c @ c, c, vector, norm
        if rest < self.near:
            row = vector - self.combine(c * norm)
            length = float(np.linalg.norm(row))
            if length**2 <= self.within * norm**2:
                rest = 0.0
            else:
                overlap = self._inside(row) / length
                c = c + overlap * (length / norm)
                rest = (length / norm) ** 2 * (1 - overlap @ overlap)
        if rest > 0:
            np.multiply(row, self.dtype.type(1 / length), out=self.rows[k])
            self.factor[k, :k], self.factor[k, k] = overlap[:k], np.sqrt(1 - overlap @ overlap)
            c[k] = np.sqrt(rest)
            self.dim += 1
        return c * norm

    def _inside(self, vector):
        """Coordinates (capacity,) of the part of the vector that lies in the span."""
        products = np.zeros(self.capacity)
        products[: self.dim] = self.rows[: self.dim] @ vector
        # Beyond the dimensions in use the factor is the identity: the whole of it needs no copy.
        return dtrsv(self.factor.T, products, trans=True)

    def combine(self, coordinates):
        """The vector (size,) that has these coordinates."""
        if self.full:
            return coordinates.astype(self.dtype)
        weights = dtrsv(self.factor.T, coordinates)[: self.dim]
        return weights.astype(self.dtype) @ self.rows[: self.dim]

    def room(self):
        """Whether one more direction fits in."""
        return self.full or self.dim < self.capacity

    def collapse(self, kept):
        """Turn the basis to the columns of `kept` (dim, k), orthonormal, and forget what is outside of them.

        Returns (dim, k): old coordinates times this are the new ones. It is `kept` but for the rounding that has piled
        up in the basis, which ends here: each collapse would multiply it.
        """
        k, new = self.dim, kept.shape[1]
        weights = solve_triangular(self.factor[:k, :k], kept, lower=True, trans=1, check_finite=False)
        weights = np.ascontiguousarray(weights.T.astype(self.dtype))
        products = np.zeros((new, new))
        # In place, a stretch of the parameters at a time: a second basis would double the memory.
        stretch = 1 << 16
        for begin in range(0, self.size, stretch):
            columns = slice(begin, begin + stretch)
            turned = weights @ self.rows[:k, columns]
            self.rows[:new, columns] = turned
            products += turned @ turned.T
        self.factor[:] = np.eye(self.capacity)
        self.factor[:new, :new] = np.linalg.cholesky(products)
        self.dim = new
        return kept @ self.factor[:new, :new]
