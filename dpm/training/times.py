"""Which times t training draws, and how it weighs the terms of Eq. 14: --times and --objective."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dpm.engines.microbatches import ObjectiveWithTerms
from dpm.optimizers.base import check_state

Array = npt.NDArray[np.float64]

N_BINS = 40
MEMORY = 100  # examples of a bin after which an older one counts 1/e
UNIFORM_SHARE = 0.1  # of p(t): no time has probability 0, and no weight is above 10
#: Parts of the run of --objective balanced-then-K at which the weights begin and end to turn into those of K.
TURN_BEGINS, TURN_ENDS = 0.4, 0.7


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
        edges = np.unique(np.round(np.geomspace(2, trajectory_length + 1, N_BINS + 1)))
        self.times = np.arange(2, trajectory_length + 1)
        self.bins = np.searchsorted(edges, self.times, side="right") - 1
        self.squares, self.counts = np.zeros((2, len(edges) - 1))
        self.not_finite = 0
        self._log_centers = np.log((edges[:-1] + edges[1:] - 1) / 2)

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
        return np.exp(np.interp(np.log(self.times), self._log_centers[known], log_rms))

    def state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint keeps, as a dict of arrays."""
        return {"squares": self.squares, "counts": self.counts, "not_finite": np.array(self.not_finite)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state that :meth:`state` returned. Raises ValueError for one of other bins."""
        check_state(state, {name: (array.shape, array.dtype.kind) for name, array in self.state().items()})
        self.squares, self.counts = (np.array(state[name], dtype=np.float64) for name in ("squares", "counts"))
        self.not_finite = int(state["not_finite"])


class Placed(NamedTuple):
    """Times of examples.

    Attributes:
        t: times, floats (n,).
        weights: w(t) / (p(t) (T - 1)) (n,), by which the terms count in the objective.
        corrections: 1 / (p(t) (T - 1)) (n,), by which they count in K.
    """

    t: Array
    weights: Array
    corrections: Array


class Weighted(NamedTuple):
    """Objective of some examples.

    Attributes:
        value: of the objective of training.
        gradient: of the objective, flat.
        K_cost: -(K - L_null), whatever the objective is.
        t: times, (n,).
        terms: T - 1 times the terms of Eq. 14 at these times, (n,).
    """

    value: float
    gradient: np.ndarray
    K_cost: float
    t: Array
    terms: np.ndarray


class TimeWeights:
    """Draw times t from p(t), and weigh the terms of Eq. 14 so that the expectation is the objective.

    The objective is the sum over t of w(t) times the term of Eq. 14 at t. With `K` all w(t) are 1. With `balanced` they
    are 1 over the root mean square of the terms at t, so that every t counts alike: the terms at large t, which are
    small in K, decide the form of an image. `balanced-then-K` begins with the second and ends with the first.

    With `importance` p(t) is proportional to w(t) times the root mean square, which has the least variance of the
    objective (Nichol and Dhariwal 2021, section 3.3, with independent draws), except for a uniform share. An example at
    t counts w(t) / (p(t) (T - 1)), so the expectation over t is that of evenly drawn times, whatever p is.

    Args:
        trajectory_length: T.
        times: "stratified" or "importance".
        objective: "K", "balanced" or "balanced-then-K".
    """

    def __init__(self, trajectory_length: int, times: str, objective: str) -> None:
        self.sizes = TermSizes(trajectory_length)
        self.times, self.objective = times, objective

    def exponent(self, progress: float) -> float:
        """Return a in w(t) ~ rms(t)^-a after a part of the run: 1 where balanced, 0 where the objective is K."""
        if self.objective != "balanced-then-K":
            return float(self.objective == "balanced")
        return float(np.clip((TURN_ENDS - progress) / (TURN_ENDS - TURN_BEGINS), 0, 1))

    def weights(self, progress: float) -> Array:
        """Return w(t), t = 2..T, (T - 1,), such that w(t) rms(t) has the mean of rms(t)."""
        a = self.exponent(progress)
        if a == 0:
            return np.ones(len(self.sizes.times))
        rms = self.sizes.rms()
        return rms**-a * (rms.mean() / (rms ** (1 - a)).mean())

    def probabilities(self, weights: Array) -> Array:
        """Return p(t), t = 2..T, (T - 1,), for the weights w(t)."""
        n = len(weights)
        if self.times == "stratified":
            return np.full(n, 1 / n)
        sizes = weights * self.sizes.rms()
        return UNIFORM_SHARE / n + (1 - UNIFORM_SHARE) * sizes / sizes.sum()

    def place(self, positions: npt.ArrayLike, progress: float = 0.0) -> Placed:
        """Return the times at positions in [0, 1) of the distribution function of p, and the examples' weights.

        Args:
            positions: (n,); strata of [0, 1) become strata of p.
            progress: part of the run that is done, for `balanced-then-K`.
        """
        w = self.weights(progress)
        p = self.probabilities(w)
        total = np.cumsum(p)
        index = np.searchsorted(total, np.asarray(positions, dtype=np.float64) * total[-1], side="right")
        index = np.minimum(index, len(p) - 1)  # a position that float32 has rounded to 1
        corrections = 1 / (p[index] * len(p))
        return Placed(self.sizes.times[index].astype(np.float64), w[index] * corrections, corrections)

    def evaluate(
        self, function: ObjectiveWithTerms, theta: np.ndarray, inputs: Sequence[np.ndarray], progress: float = 0.0
    ) -> Weighted:
        """Return the objective of training and its gradient for some examples.

        Args:
            function: CompiledModel.objective_with_terms.
            theta: flat parameters.
            inputs: X, positions, N, U and weights, which are all 1 and are replaced; further ones are passed on.
            progress: as in `place`.
        """
        X, positions, N, U, ones, *more = inputs
        placed = self.place(positions, progress)
        shares = ones / ones.dtype.type(len(X))
        t, weights = (a.astype(ones.dtype) for a in (placed.t, placed.weights / len(X)))
        value, gradient, terms, gains = function(theta, X, t, N, U, weights, shares, *more)
        K_cost = np.mean(placed.corrections * terms) - np.mean(gains, dtype=np.float64)
        return Weighted(float(value), gradient, float(K_cost), placed.t, terms)

    def state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint keeps of the sizes, as a dict of arrays."""
        return {f"times/{name}": array for name, array in self.sizes.state().items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state that :meth:`state` returned, among other arrays."""
        own = {name.removeprefix("times/"): array for name, array in state.items() if name.startswith("times/")}
        self.sizes.load_state(own)
