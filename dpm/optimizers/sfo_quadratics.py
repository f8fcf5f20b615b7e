"""The quadratics of SFO, one per subfunction, in coordinates of the shared subspace, and their sum."""

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dgemm, dsymv, dsyr
from scipy.linalg.lapack import dgeqrf, dgesdd, dorgqr, dpotrf, dpotrs, dsyevd

ARRAYS = ("positions", "gradients", "values", "counts", "pairs", "S", "Y", "base", "vectors", "weights", "own", "total")

#: Largest difference between s_i' y_j and s_j' y_i, relative and over all pairs together, for which the pairs count as
#: those of one quadratic.
SAME_QUADRATIC = 0.1

Array = npt.NDArray[Any]


def hessian_from_pairs(S: Array, Y: Array, hess_max_dev: float) -> tuple[float, Array, Array] | None:
    """Return the Hessian that fits the history of one subfunction (SFO paper, "Online Hessian approximation").

    It comes from BFGS updates (Nocedal and Wright 2006, eq. 6.19) in the order of the pairs, starting at base * I, so
    that the newest pair satisfies H s = y. base is the smallest singular value of the linear map from s to y: the
    smallest ratio of the lengths of y and s that the pairs allow in their span. Pairs of negative curvature are left
    out, and eigenvalues are raised to at least the largest / hess_max_dev.

    One step is not in the paper: pairs that agree with one quadratic are made conjugate first (:func:`conjugate`),
    and then all of them satisfy H s = y.

    Args:
        S: changes of position (n, K), the newest last.
        Y: changes of the gradient (n, K).
        hess_max_dev: largest ratio of two eigenvalues.

    Returns:
        (base, vectors, weights): H = base * I + vectors' diag(weights) vectors, with orthonormal vectors (r, K),
        r <= 2n; or None if no pair has any curvature.
    """
    # BLAS and LAPACK by name: with so few rows the checks of numpy.linalg take longer than the work.
    n, lengths = len(S), np.sqrt(np.einsum("nk,nk->n", S, S))[:, None]
    pairs = np.concatenate([S / lengths, Y / lengths])
    packed, scales, _, _ = dgeqrf(pairs.T)
    span = dorgqr(packed[:, : len(scales)], scales)[0]
    inside = pairs @ span
    s, y = inside[:n], inside[n:]
    left, lengths, _, _ = dgesdd(s, full_matrices=False)
    significant = lengths > 1e-6 * lengths[0]
    curvatures = dgesdd((left[:, significant] / lengths[significant]).T @ y, compute_uv=False)[1]
    largest = curvatures[0]
    if not (np.isfinite(largest) and largest > 0):
        return None
    base = curvatures[curvatures > largest / hess_max_dev][-1]
    inner = s @ y.T
    if np.linalg.norm(inner - inner.T) < SAME_QUADRATIC * np.linalg.norm(inner + inner.T):
        s, y = conjugate(s, y)
    values, rotation, _ = dsyevd(_bfgs(s, y, base))
    values = np.maximum(values, values[-1] / hess_max_dev)
    return base, (span @ rotation).T, values - base


def _bfgs(s: Array, y: Array, base: float) -> Array:
    """Return base * I after one BFGS update per pair; only the upper triangle is valid."""
    H = np.asfortranarray(base * np.eye(s.shape[1]))
    for a, b in zip(s, y, strict=True):
        curvature = a @ b
        if curvature > 1e-10 * sqrt((a @ a) * (b @ b)):
            Ha = dsymv(1, H, a)
            before = a @ Ha
            if before > 0:  # always, except for rounding
                dsyr(-1 / before, Ha, a=H, overwrite_a=True)
            dsyr(1 / curvature, b, a=H, overwrite_a=True)
    return H


def conjugate(s: Array, y: Array) -> tuple[Array, Array]:
    """Return pairs that are conjugate: a' b = 0 for the a of one pair and the b of another.

    Linear combinations of pairs are pairs of the same quadratic, and BFGS updates with conjugate pairs do not undo each
    other. From each pair its components along all newer ones are subtracted, so the newest stays as it is. A pair that
    nearly repeats newer ones is left out.

    Args:
        s: changes of position (n, K), the newest last.
        y: changes of the gradient (n, K).

    Returns:
        (s, y), each (m, K) with m <= n.
    """
    K = s.shape[1]
    kept, curvatures, n = np.empty((len(s), 2 * K)), np.empty(len(s)), 0
    for pair in np.concatenate([s, y], axis=1)[::-1]:
        pair = pair - (kept[:n, K:] @ pair[:K] / curvatures[:n]) @ kept[:n]
        a, b = pair[:K], pair[K:]
        curvature, square = a @ b, a @ a
        if square > 1e-4 and curvature > 1e-6 * sqrt(square * (b @ b)):
            kept[n], curvatures[n] = pair, curvature
            n += 1
    kept = kept[:n][::-1]
    return kept[:, :K], kept[:, K:]


def make_solver(H: Array) -> Callable[[Array], Array]:
    """Return a function that solves H x = b for a symmetric H (K, K); directions without curvature get no step."""
    factor, failed = dpotrf(H.T, lower=True, clean=False)
    if not failed:
        return lambda b: dpotrs(factor, b, lower=True)[0]
    values, vectors = np.linalg.eigh(H)
    good = values > 1e-14 * abs(values).max()
    inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
    return lambda b: inverse @ b


class Quadratics:
    """Quadratics g_i(z) = f_i + (z - z_i)' f_i' + 1/2 (z - z_i)' H_i (z - z_i), i = 0 ... N-1.

    SFO paper, "Approximating functions". z are coordinates (K,) in the shared subspace, z_i those of the last
    evaluation of f_i. H_i comes from the history of f_i, which has at most `terms` pairs. A subfunction without a
    history uses the average of the other H, and hessian_init * I if there is none.

    Attributes:
        positions: z_i (N, K).
        gradients: f_i' (N, K).
        values: f_i (N,).
        counts: evaluations of each f_i (N,).
        pairs: pairs in each history (N,).
        S: histories of positions (N, terms, K), the newest last.
        Y: histories of gradients (N, terms, K).
        own: True for each H_i that comes from a history (N,).
        total: sum of these H_i (K, K).

    Args:
        number: N.
        capacity: K.
        terms: largest number of pairs in a history.
        hess_max_dev: largest ratio of two eigenvalues of an H_i.
        hessian_init: curvature assumed before any is measured.
    """

    def __init__(self, number: int, capacity: int, terms: int, hess_max_dev: float, hessian_init: float) -> None:
        self.number, self.capacity, self.terms = number, capacity, terms
        self.hess_max_dev, self.hessian_init = hess_max_dev, hessian_init
        N, K, h = number, capacity, terms
        self.positions, self.gradients, self.values = np.zeros((N, K)), np.zeros((N, K)), np.zeros(N)
        self.counts, self.pairs = np.zeros(N, int), np.zeros(N, int)
        self.S, self.Y = np.zeros((N, h, K)), np.zeros((N, h, K))
        self.own, self.base = np.zeros(N, bool), np.zeros(N)
        self.vectors, self.weights = np.zeros((N, 2 * h, K)), np.zeros((N, 2 * h))
        # Kept up to date instead of summed at each step, as each step changes one H_i.
        self.total = np.zeros((K, K))

    def record(self, i: int, position: Array, value: float, gradient: Array, least_step: float) -> None:
        """Move the quadratic of f_i to a new evaluation, and add the change to its history.

        Args:
            i: the subfunction.
            position: z (K,).
            value: f_i at z.
            gradient: f_i' at z (K,).
            least_step: changes of position up to this length are not added.
        """
        if self.counts[i]:
            self.add_pair(i, position - self.positions[i], gradient - self.gradients[i], least_step)
        self.positions[i], self.values[i], self.gradients[i] = position, value, gradient
        self.counts[i] += 1

    def add_pair(self, i: int, s: Array, y: Array, least_step: float) -> None:
        """Add the pair s, y (K,) to the history of f_i if s is longer than least_step, and rebuild H_i."""
        if np.sqrt(s @ s) <= least_step:
            return
        n = self.pairs[i]
        if n == self.terms:
            self.S[i, :-1], self.Y[i, :-1] = self.S[i, 1:].copy(), self.Y[i, 1:].copy()
            n -= 1
        self.S[i, n], self.Y[i, n] = s, y
        self.pairs[i] = n + 1
        self._rebuild(i)

    def _rebuild(self, i: int) -> None:
        """Compute H_i from its history, and update the total."""
        n = self.pairs[i]
        hessian = hessian_from_pairs(self.S[i, :n], self.Y[i, :n], self.hess_max_dev) if n else None
        if self.own[i]:
            self._add_to_total(i, -1)
        self.own[i] = hessian is not None
        self.vectors[i], self.weights[i], self.base[i] = 0, 0, 0
        if hessian is not None:
            base, vectors, weights = hessian
            self.base[i], self.vectors[i, : len(vectors)], self.weights[i, : len(weights)] = base, vectors, weights
            self._add_to_total(i, 1)

    def _add_to_total(self, i: int, sign: int) -> None:
        V = self.vectors[i]
        # In place: a symmetric matrix is its transpose.
        total = dgemm(sign, V.T * self.weights[i], V.T, 1, self.total.T, trans_b=True, overwrite_c=True)
        self.total = total.T
        self.total.flat[:: self.capacity + 1] += sign * self.base[i]

    def recompute_total(self) -> None:
        """Compute the sum of Hessians from all of them, so that rounding does not accumulate."""
        V = self.vectors.reshape(-1, self.capacity)
        self.total = (V.T * self.weights.ravel()) @ V
        self.total.flat[:: self.capacity + 1] += self.base.sum()

    def average_hessian(self) -> Array:
        """Return the Hessian (K, K) of a subfunction without a history."""
        if not self.own.any():
            return self.hessian_init * np.eye(self.capacity)
        return self.total / self.own.sum()

    def hessian(self, i: int) -> Array:
        """Return H_i as a matrix (K, K); used by tests only."""
        if not self.own[i]:
            return self.average_hessian()
        return self.base[i] * np.eye(self.capacity) + (self.vectors[i].T * self.weights[i]) @ self.vectors[i]

    def _project(self, D: Array) -> Array:
        """Return D (N, K), one change per subfunction, along the vectors of its Hessian: (N, 2 * terms)."""
        return np.matmul(self.vectors, D[:, :, None])[:, :, 0]

    def distances(self, z: Array) -> Array:
        """Return (z - z_i)' H_i (z - z_i) of all subfunctions (N,) at z (K,)."""
        D = z - self.positions
        squares = self.base * np.einsum("nk,nk->n", D, D) + np.einsum("nh,nh->n", self.weights, self._project(D) ** 2)
        new = ~self.own
        if new.any():
            squares[new] = np.einsum("nk,nk->n", D[new], D[new] @ self.average_hessian())
        return squares

    def value(self, i: int, z: Array) -> float:
        """Return g_i at z (K,)."""
        d = z - self.positions[i]
        inside = self.vectors[i] @ d
        curved = self.base[i] * (d @ d) + (inside * self.weights[i]) @ inside
        if not self.own[i]:
            curved = d @ self.average_hessian() @ d
        return self.values[i] + self.gradients[i] @ d + 0.5 * curved

    def sum_at(self, z: Array) -> tuple[Array, Array]:
        """Return the gradient (K,) and Hessian (K, K) at z (K,) of the sum of g_i over the evaluated subfunctions."""
        D = z - self.positions
        inside = self.weights * self._project(D)
        gradient = self.gradients.sum(0) + self.base @ D + inside.ravel() @ self.vectors.reshape(-1, self.capacity)
        evaluated = self.counts > 0
        new = evaluated & ~self.own
        if new.any():
            gradient += D[new].sum(0) @ self.average_hessian()
        number, own = evaluated.sum(), self.own.sum()
        return gradient, self.total * (number / own) if own else number * self.average_hessian()

    def select_basis(self, dim: int, most: int, last: Array) -> Array:
        """Return a basis of the vectors to keep when the subspace is full.

        `last` and the latest gradients and positions of all evaluated subfunctions come first, then the newest pairs
        of the histories until there are `most` columns.

        Args:
            dim: number of coordinates in use.
            most: number of columns after which no more pairs are added.
            last: further vectors to keep (n, K).

        Returns:
            Orthonormal columns (dim, k).
        """
        known = self.counts > 0
        blocks = [last, self.gradients[known], self.positions[known]]
        necessary = sum(map(len, blocks))
        for back in range(1, self.terms + 1):
            have = np.flatnonzero(self.pairs >= back)
            blocks += [self.Y[have, self.pairs[have] - back], self.S[have, self.pairs[have] - back]]
        vectors = np.concatenate(blocks)[:, :dim]
        lengths = np.sqrt(np.einsum("nk,nk->n", vectors, vectors))
        columns, k = np.empty((dim, dim)), 0
        for n in np.flatnonzero(lengths):
            if k == dim or (k >= most and n >= necessary):
                break
            rest = vectors[n] / lengths[n]
            for _ in range(2):
                rest = rest - (columns[:k] @ rest) @ columns[:k]
            size = np.sqrt(rest @ rest)
            if size > 1e-12:
                columns[k] = rest / size
                k += 1
        return columns[:k].T

    def collapse(self, kept: Array) -> None:
        """Change all coordinates to a smaller basis; H_i becomes kept' H_i kept.

        The part of a history's pair outside of the new basis is lost. A pair that loses most of its position no longer
        measures the curvature and is dropped.

        Args:
            kept: orthonormal columns (dim, k), in the old coordinates.
        """
        dim, k = kept.shape
        lengths = np.einsum("nhk,nhk->nh", self.S, self.S)
        for name in ("positions", "gradients", "S", "Y", "vectors"):
            array = getattr(self, name)
            array[..., :k] = array[..., :dim] @ kept
            array[..., k:] = 0
        good = np.einsum("nhk,nhk->nh", self.S, self.S) > 0.5 * lengths
        for i in np.flatnonzero(self.pairs):
            n, keep = self.pairs[i], np.flatnonzero(good[i, : self.pairs[i]])
            if len(keep) < n:
                self.S[i, : len(keep)], self.Y[i, : len(keep)] = self.S[i, keep], self.Y[i, keep]
                self.pairs[i] = len(keep)
        self.recompute_total()

    def state(self) -> dict[str, Array]:
        """Return copies of all arrays."""
        return {name: getattr(self, name).copy() for name in ARRAYS}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue from a state that :meth:`state` returned."""
        for name in ARRAYS:
            setattr(self, name, np.array(state[name], dtype=getattr(self, name).dtype))
