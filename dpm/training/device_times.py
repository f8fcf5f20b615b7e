"""TimeWeights (dpm/training/times.py) and TermSizes as graphs: which times t a step draws, and how it weighs them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from dpm.graph import Tensor
from dpm.likelihood.times import MEMORY, UNIFORM_SHARE
from dpm.training.times import TimeWeights

SQUARES, COUNTS, NOT_FINITE = "times/squares", "times/counts", "times/not_finite"


class PlacedGraph(NamedTuple):
    """Graphs of dpm.training.times.Placed: times, weights in the objective and in K, (n,) each."""

    t: Tensor
    weights: Tensor
    corrections: Tensor


def weigh_times(weights: TimeWeights, sizes: Mapping[str, Tensor], positions: Tensor, exponent: Tensor) -> PlacedGraph:
    """Return the graph of TimeWeights.place.

    Args:
        weights: names the times and the objective, and has the bins of t.
        sizes: the state of its TermSizes, by name.
        positions: numbers of [0, 1), (n,).
        exponent: TimeWeights.exponent at this step, a scalar.
    """
    n, dtype = len(weights.sizes.times), positions.dtype
    rms = root_mean_squares(weights, sizes)
    if weights.objective == "K":
        w = pt.ones_like(rms)
    else:
        w = rms**-exponent * (rms.mean() / (rms ** (1 - exponent)).mean())
    p = pt.full_like(rms, 1 / n)
    if weights.times != "stratified":
        product = w * rms
        p = UNIFORM_SHARE / n + (1 - UNIFORM_SHARE) * product / product.sum()
    # As find_indices: the number of sums that are not above the position.
    total = pt.cumsum(p)
    index = pt.cast((total[None, :] <= (positions * total.max())[:, None]).sum(axis=1), "int32")
    index = pt.minimum(index, np.int32(n - 1))
    corrections = 1 / (p[index] * np.asarray(n, dtype))
    return PlacedGraph(pt.cast(index + np.int32(2), dtype), w[index] * corrections, corrections)


def root_mean_squares(weights: TimeWeights, sizes: Mapping[str, Tensor]) -> Tensor:
    """Return the graph of TermSizes.rms, (T - 1,).

    A bin without terms is first given the value that interpolation between its neighbors has at its center; the line
    through all bins is then the line through those that have terms.
    """
    squares, counts = sizes[SQUARES], sizes[COUNTS]
    dtype, centers = squares.dtype, weights.sizes.log_centers
    known = pt.and_(counts > 0, squares > 0)
    log_rms = pt.log(pt.switch(known, squares / pt.maximum(counts, np.asarray(1e-30, dtype)), 1)) / 2
    log_rms = pt.switch(known.any(), _fill(known, log_rms, centers, dtype), 0)
    place = np.interp(np.log(weights.sizes.times), centers, np.arange(len(centers)))
    left = np.minimum(place.astype(np.int32), len(centers) - 2)
    share = (place - left).astype(dtype)
    return pt.exp(log_rms[left] * (1 - share) + log_rms[left + 1] * share)


def _fill(known: Tensor, values: Tensor, centers: np.ndarray, dtype: str) -> Tensor:
    """Return values at the centers with those that are not known interpolated, or taken from the nearest known one."""
    m = len(centers)
    index = np.arange(m, dtype=np.int32)
    earlier = np.tril(np.ones((m, m), bool))
    before = pt.max(pt.switch(pt.and_(known[None, :], earlier), index[None, :], np.int32(-1)), axis=1)
    after = pt.min(pt.switch(pt.and_(known[None, :], earlier.T), index[None, :], np.int32(m)), axis=1)
    low, high = pt.switch(before < 0, after, before), pt.switch(after >= m, before, after)
    low, high = (pt.clip(place, np.int32(0), np.int32(m - 1)) for place in (low, high))
    x = pt.constant(centers.astype(dtype))
    width = x[high] - x[low]
    share = pt.switch(width > 0, (x - x[low]) / pt.switch(width > 0, width, 1), 0)
    return values[low] * (1 - share) + values[high] * share


def sum_terms(weights: TimeWeights, t: Tensor, terms: Tensor, valid: Tensor) -> list[Tensor]:
    """Return what the terms of a step add to the sizes: number and sum of squares in each bin, and how many not finite.

    Args:
        weights: has the bins of t.
        t: times of the examples, (n,).
        terms: their terms, (n,).
        valid: 1 for a real example, 0 for a copy that fills the minibatch, (n,).
    """
    dtype = terms.dtype
    bins = pt.constant(weights.sizes.bins.astype(np.int32))[pt.cast(t, "int32") - np.int32(2)]
    is_finite = pt.isfinite(terms)
    counted = pt.cast(is_finite, dtype) * valid
    member = pt.cast(pt.eq(bins[:, None], np.arange(len(weights.sizes.counts), dtype=np.int32)[None, :]), dtype)
    squares = (member * pt.switch(is_finite, pt.sqr(terms), 0)[:, None] * valid[:, None]).sum(axis=0)
    return [(member * counted[:, None]).sum(axis=0), squares, ((1 - pt.cast(is_finite, dtype)) * valid).sum()]


def update_sizes(sizes: Mapping[str, Tensor], counts: Tensor, squares: Tensor, not_finite: Tensor) -> dict[str, Tensor]:
    """Return the state of the sizes after TermSizes.update, by name.

    Args:
        sizes: as in `weigh_times`.
        counts, squares, not_finite: from `sum_terms`, of all examples.
    """
    kept = pt.exp(-counts / MEMORY)
    return {
        SQUARES: kept * sizes[SQUARES] + squares,
        COUNTS: kept * sizes[COUNTS] + counts,
        NOT_FINITE: sizes[NOT_FINITE] + not_finite,
    }
