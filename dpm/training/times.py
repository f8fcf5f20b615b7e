"""Which times t training draws, and how it weighs the terms of Eq. 14: --times and --objective."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dpm.engines.microbatches import ObjectiveWithTerms
from dpm.likelihood.times import TermSizes, find_indices, mix_uniform

Array = npt.NDArray[np.float64]

#: Parts of the run of --objective balanced-then-K at which the weights begin and end to turn into those of K.
TURN_BEGINS, TURN_ENDS = 0.4, 0.7


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
        return mix_uniform(weights * self.sizes.rms())

    def place(self, positions: npt.ArrayLike, progress: float = 0.0) -> Placed:
        """Return the times at positions in [0, 1) of the distribution function of p, and the examples' weights.

        Args:
            positions: (n,); strata of [0, 1) become strata of p.
            progress: part of the run that is done, for `balanced-then-K`.
        """
        w = self.weights(progress)
        p = self.probabilities(w)
        index = find_indices(p, positions)
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
