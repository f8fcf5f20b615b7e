"""One quadratic for each subfunction, in coordinates of the shared subspace, and their sum."""

from math import sqrt

import numpy as np
from scipy.linalg.blas import dgemm, dsymv, dsyr
from scipy.linalg.lapack import dgeqrf, dgesdd, dorgqr, dsyevd

ARRAYS = ("positions", "gradients", "values", "counts", "pairs", "S", "Y", "base", "vectors", "weights", "own", "total")


#: How far s_i' y_j may be from s_j' y_i, all pairs together, for the pairs to count as those of one quadratic.
SAME_QUADRATIC = 0.1


def hessian_from_pairs(S, Y, hess_max_dev):
    """The Hessian that the history of one subfunction tells (SFO paper, "Online Hessian approximation").

    S, Y: (n, K), changes of position and of gradient, the newest last. BFGS updates (Nocedal and Wright 2006,
    eq. 6.19) in this order on base * I, so the newest pair has H s = y. base is the least |y| / |s| that the pairs
    allow in their span: the smallest singular value of the linear map from s to y. Pairs of negative curvature
    are left out; eigenvalues below the largest / hess_max_dev are raised to that.
    One thing is not in the paper: pairs that agree with one quadratic are made conjugate first, see `conjugate`, and
    then all of them have H s = y.

    Returns (base, vectors, weights): H = base * I + vectors' diag(weights) vectors, vectors (r, K) orthonormal,
    r <= 2n; or None where no pair has any curvature.
    """
    # BLAS and LAPACK by name: with so few rows the checks of numpy.linalg take longer than the work.
    n, lengths = len(S), np.sqrt(np.einsum("nk,nk->n", S, S))[:, None]
    pairs = np.concatenate([S / lengths, Y / lengths])
    packed, scales, _, _ = dgeqrf(pairs.T)
    span = dorgqr(packed[:, : len(scales)], scales)[0]
    inside = pairs @ span
    s, y = inside[:n], inside[n:]
    left, lengths, _, _ = dgesdd(s, full_matrices=False)
    seen = lengths > 1e-6 * lengths[0]
    curvatures = dgesdd((left[:, seen] / lengths[seen]).T @ y, compute_uv=False)[1]
    largest = curvatures[0]
    if not (np.isfinite(largest) and largest > 0):
        return None
    base = curvatures[curvatures > largest / hess_max_dev][-1]
    inner = s @ y.T
    if np.linalg.norm(inner - inner.T) < SAME_QUADRATIC * np.linalg.norm(inner + inner.T):
        s, y = conjugate(s, y)
    H = np.asfortranarray(base * np.eye(len(scales)))
    for a, b in zip(s, y, strict=True):
        curvature = a @ b
        if curvature > 1e-10 * sqrt((a @ a) * (b @ b)):
            Ha = dsymv(1, H, a)
            before = a @ Ha
            if before > 0:  # always, but for rounding
                dsyr(-1 / before, Ha, a=H, overwrite_a=True)
            dsyr(1 / curvature, b, a=H, overwrite_a=True)
    values, turn, _ = dsyevd(H)
    values = np.maximum(values, values[-1] / hess_max_dev)
    return base, (span @ turn).T, values - base


def conjugate(s, y):
    """The pairs (n, K) with the part of all newer ones taken off: a' b = 0 for a of one and b of another.

    Combinations of pairs are pairs of the same quadratic, and BFGS updates with conjugate ones do not spoil each
    other. The newest stays as it is. A pair that nearly repeats newer ones is left out.
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


class Quadratics:
    """g_i(z) = f_i + (z - z_i)' f_i' + 1/2 (z - z_i)' H_i (z - z_i) for i = 0 ... N-1.

    SFO paper, "Approximating functions".

    z are coordinates in the shared subspace (K,), z_i where f_i was evaluated last. H_i comes from its own history of
    at most `terms` pairs; a subfunction that has none yet has the average of the others' H, and hessian_init * I
    where nobody has any.
    """

    def __init__(self, number, capacity, terms, hess_max_dev, hessian_init):
        self.number, self.capacity, self.terms = number, capacity, terms
        self.hess_max_dev, self.hessian_init = hess_max_dev, hessian_init
        N, K, h = number, capacity, terms
        self.positions, self.gradients, self.values = np.zeros((N, K)), np.zeros((N, K)), np.zeros(N)
        self.counts, self.pairs = np.zeros(N, int), np.zeros(N, int)
        self.S, self.Y = np.zeros((N, h, K)), np.zeros((N, h, K))
        self.own, self.base = np.zeros(N, bool), np.zeros(N)
        self.vectors, self.weights = np.zeros((N, 2 * h, K)), np.zeros((N, 2 * h))
        # The sum of the H_i that are their own's, kept up to date: one subfunction changes a step.
        self.total = np.zeros((K, K))

    def record(self, i, position, value, gradient, least_step):
        """f_i was evaluated: its quadratic moves there; the change is a pair of its history if long enough."""
        if self.counts[i]:
            self.add_pair(i, position - self.positions[i], gradient - self.gradients[i], least_step)
        self.positions[i], self.values[i], self.gradients[i] = position, value, gradient
        self.counts[i] += 1

    def add_pair(self, i, s, y, least_step):
        """One more pair in the history of f_i; its Hessian is built again."""
        if np.sqrt(s @ s) <= least_step:
            return
        n = self.pairs[i]
        if n == self.terms:
            self.S[i, :-1], self.Y[i, :-1] = self.S[i, 1:].copy(), self.Y[i, 1:].copy()
            n -= 1
        self.S[i, n], self.Y[i, n] = s, y
        self.pairs[i] = n + 1
        self._rebuild(i)

    def _rebuild(self, i):
        n = self.pairs[i]
        built = hessian_from_pairs(self.S[i, :n], self.Y[i, :n], self.hess_max_dev) if n else None
        if self.own[i]:
            self._add(i, -1)
        self.own[i] = built is not None
        self.vectors[i], self.weights[i], self.base[i] = 0, 0, 0
        if built is not None:
            base, vectors, weights = built
            self.base[i], self.vectors[i, : len(vectors)], self.weights[i, : len(weights)] = base, vectors, weights
            self._add(i, 1)

    def _add(self, i, sign):
        V = self.vectors[i]
        # In place: of a symmetric matrix the transpose is the same.
        total = dgemm(sign, V.T * self.weights[i], V.T, 1, self.total.T, trans_b=True, overwrite_c=True)
        self.total = total.T
        self.total.flat[:: self.capacity + 1] += sign * self.base[i]

    def refresh(self):
        """The sum of Hessians computed anew, so that rounding does not pile up."""
        V = self.vectors.reshape(-1, self.capacity)
        self.total = (V.T * self.weights.ravel()) @ V
        self.total.flat[:: self.capacity + 1] += self.base.sum()

    def average(self):
        """(K, K) Hessian of a subfunction that has no history of its own."""
        if not self.own.any():
            return self.hessian_init * np.eye(self.capacity)
        return self.total / self.own.sum()

    def hessian(self, i):
        """H_i as a matrix (K, K), for tests and for the curious; nothing here needs it."""
        if not self.own[i]:
            return self.average()
        return self.base[i] * np.eye(self.capacity) + (self.vectors[i].T * self.weights[i]) @ self.vectors[i]

    def _inside(self, D):
        """D (N, K), one change for each subfunction, along the vectors of its Hessian: (N, 2 * terms)."""
        return np.matmul(self.vectors, D[:, :, None])[:, :, 0]

    def distances(self, z):
        """(z - z_i)' H_i (z - z_i) of all subfunctions (N,)."""
        D = z - self.positions
        squares = self.base * np.einsum("nk,nk->n", D, D) + np.einsum("nh,nh->n", self.weights, self._inside(D) ** 2)
        new = ~self.own
        if new.any():
            squares[new] = np.einsum("nk,nk->n", D[new], D[new] @ self.average())
        return squares

    def value(self, i, z):
        """g_i(z)."""
        d = z - self.positions[i]
        inside = self.vectors[i] @ d
        curved = self.base[i] * (d @ d) + (inside * self.weights[i]) @ inside
        if not self.own[i]:
            curved = d @ self.average() @ d
        return self.values[i] + self.gradients[i] @ d + 0.5 * curved

    def summed(self, z):
        """(gradient, Hessian) of the sum of g_i over the subfunctions evaluated: (K,), (K, K)."""
        D = z - self.positions
        inside = self.weights * self._inside(D)
        gradient = self.gradients.sum(0) + self.base @ D + inside.ravel() @ self.vectors.reshape(-1, self.capacity)
        evaluated = self.counts > 0
        new = evaluated & ~self.own
        if new.any():
            gradient += D[new].sum(0) @ self.average()
        number, own = evaluated.sum(), self.own.sum()
        return gradient, self.total * (number / own) if own else number * self.average()

    def span(self, dim, most, last):
        """Orthonormal columns (dim, k) that hold what must not be lost when the subspace is full.

        The latest gradients and positions of all evaluated subfunctions, and `last` (n, K), come first, then the
        newest pairs of the histories until there are `most` columns. dim: how many coordinates are in use.
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

    def collapse(self, kept):
        """All coordinates in the basis `kept` (dim, k), columns orthonormal; H_i becomes kept' H_i kept.

        What a pair of the history had outside of the new basis is lost: a pair that loses most of its position
        tells nothing true any more and goes.
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
        self.refresh()

    def state(self):
        """dict of arrays, copies."""
        return {name: getattr(self, name).copy() for name in ARRAYS}

    def load_state(self, state):
        """Go on from `state`, as state() gave it."""
        for name in ARRAYS:
            setattr(self, name, np.array(state[name], dtype=getattr(self, name).dtype))
