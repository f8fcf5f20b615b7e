"""Which times t estimates of Eq. 14 draw: more where its terms are large, with weights that keep the sum exact."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from dpm.base.noise import stratified_positions
from dpm.optimizers.base import check_state

Array = npt.NDArray[np.float64]

N_BINS = 40
MEMORY = 100  # examples of a bin after which an older one counts 1/e
UNIFORM_SHARE = 0.1  # of p(t): no time has probability 0, and no weight is above 10


def bin_edges(trajectory_length: int) -> npt.NDArray[np.int64]:
    """Return where bins of t = 2..T of geometric width begin, and T + 1, (bins + 1,)."""
    return np.unique(np.round(np.geomspace(2, trajectory_length + 1, N_BINS + 1)).astype(np.int64))


class TermSizes:
    """Running root mean square of the terms of Eq. 14 by t, from the terms that training computes.

    The times 2..T are in bins of geometric width, as the terms are roughly a power of t.

    Attributes:
        squares: sum of the squared terms of each bin, older ones counting less, (bins,).
        counts: the number of terms in these sums, (bins,).
        not_finite: how many terms were not finite; they are left out of the sums.

    Args:
        trajectory_length: T.
    """

    def __init__(self, trajectory_length: int) -> None:
        edges = bin_edges(trajectory_length)
        self.times = np.arange(2, trajectory_length + 1)
        self.bins = np.searchsorted(edges, self.times, side="right") - 1
        self.squares, self.counts = np.zeros((2, len(edges) - 1))
        self.not_finite = 0
        self.log_centers = np.log((edges[:-1] + edges[1:] - 1) / 2)

    def update(self, t: npt.ArrayLike, terms: npt.ArrayLike) -> None:
        """Add the terms of some examples at their times t, both (n,)."""
        values = np.asarray(terms, dtype=np.float64)
        finite = np.isfinite(values)
        self.not_finite += int((~finite).sum())
        bins = self.bins[np.asarray(t, dtype=np.int64)[finite] - 2]
        new = np.bincount(bins, minlength=len(self.counts))
        kept = np.exp(-new / MEMORY)
        self.squares = kept * self.squares + np.bincount(bins, values[finite] ** 2, len(self.counts))
        self.counts = kept * self.counts + new

    def rms(self) -> Array:
        """Return the root mean square at t = 2..T, (T - 1,); between the bins by a power of t, 1 before any update."""
        known = (self.counts > 0) & (self.squares > 0)
        if not known.any():
            return np.ones(len(self.times))
        log_rms = np.log(self.squares[known] / self.counts[known]) / 2
        return np.exp(np.interp(np.log(self.times), self.log_centers[known], log_rms))

    def state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint keeps, as a dict of arrays."""
        return {"squares": self.squares, "counts": self.counts, "not_finite": np.array(self.not_finite)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state that :meth:`state` returned. Raises ValueError for one of other bins."""
        check_state(state, {name: (array.shape, array.dtype.kind) for name, array in self.state().items()})
        self.squares, self.counts = (np.array(state[name], dtype=np.float64) for name in ("squares", "counts"))
        self.not_finite = int(state["not_finite"])


def mix_uniform(sizes: npt.ArrayLike) -> Array:
    """Return p(t), (n,), proportional to sizes (n,), except for a uniform share: the density of importance sampling.

    An estimate of sum_t f(t) by f(t) / p(t), t drawn from p, has no bias whatever p is. Its variance is least if p is
    proportional to the root mean square of f(t) (Nichol and Dhariwal 2021, section 3.3).
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    p: Array = UNIFORM_SHARE / len(sizes) + (1 - UNIFORM_SHARE) * sizes / sizes.sum()
    return p


def find_indices(p: npt.ArrayLike, positions: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the indices of p (n,) at positions in [0, 1) of its distribution function, in the shape of positions.

    Strata of [0, 1) become strata of p.
    """
    total = np.cumsum(p)
    index = np.searchsorted(total, np.asarray(positions, dtype=np.float64) * total[-1], side="right")
    return np.minimum(index, len(total) - 1)  # a position that float32 has rounded to 1


def draw_positions(rng: np.random.Generator, n: int, k: int) -> Array:
    """Draw k positions in [0, 1) for each of n examples, (n, k), in strata of two kinds.

    The j-th position of an example is in the j-th of k equal parts, and the n positions in a part are in its n equal
    parts, in random order. So all n k strata have one position each, and each position alone is uniform in its part.
    """
    shares = np.stack([stratified_positions(rng, n) for _ in range(k)], axis=1)
    positions: Array = (np.arange(k) + shares) / k
    return positions
