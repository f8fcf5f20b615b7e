"""Evaluate a run: K term by term (Eq. 14), K as in 2015, or log p(x_0) of single examples (Eq. 9)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.likelihood import bound as bounds
from dpm.likelihood import importance
from dpm.likelihood.units import Units
from dpm.runs.loading import Run

DRAWS = 10_000
SINGLE_EXAMPLES = 10
T_PER_EXAMPLE = 20


@dataclass(frozen=True)
class Bound:
    """The bound K and its gain over the prior, with standard errors.

    Attributes:
        K: lower bound on the log likelihood (Eq. 14).
        K_minus_L_null: K less the log likelihood of the prior pi(x), which is what the model has learned.
        standard_error: standard error of K as the mean over a sample of the data.
        draws_error: the part of it that comes from the draws of x_t and t.
        unit: "bits/pixel" or "bits/example".
        n_examples: number of examples.
    """

    K: float
    K_minus_L_null: float
    standard_error: float
    draws_error: float
    unit: str
    n_examples: int

    def __str__(self) -> str:
        return (
            f"K = {self.K:.4f} +- {self.standard_error:.4f} {self.unit}, "
            f"K - L_null = {self.K_minus_L_null:.4f} ({self.n_examples:,} examples, scaled units)"
        )


@dataclass(frozen=True)
class Evaluation:
    """Result of an estimator.

    Attributes:
        values: nats per example in scaled units, by the keys of dpm.likelihood.units.NAMES.
        errors: standard errors in nats per example, by their names.
        notes: sentences on how the figures are to be read.
        facts: further facts, as JSON can hold them.
        arrays: arrays of single examples.
        rows: a table, the first row being its header; empty for some estimators.
        units: conversion of nats per example.
    """

    values: dict[str, float]
    errors: dict[str, float]
    notes: list[str]
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    rows: list[tuple[Any, ...]]
    units: Units

    def bits(self, key: str = "K") -> float:
        """Return a value in bits per pixel, or per vector."""
        return self.values[key] * self.units.factors()["bits/pixel"]


def bound(
    run: Run, X: np.ndarray | None = None, t_per_example: int | None = T_PER_EXAMPLE, seed: int = 0, quiet: bool = True
) -> Bound:
    """Estimate the bound K (Eq. 14) of a trained model on scaled examples.

    Args:
        run: a trained model.
        X: scaled examples, (n, ...), such as `data.test`; by default the test examples of the run.
        t_per_example: times t of each example, one in each of that many equal parts of 2..T; None for every t.
        seed: seed of the draws.
        quiet: show no progress bar.

    Returns:
        K and K - L_null with standard errors, in bits per pixel (all channels of a pixel together) or, for vectors,
        bits per example.

    Raises:
        InputError: the examples are not accepted by the kernel, or the data of the run are not found.

    Example:
        >>> print(dpm.bound(run, data.test[:10], t_per_example=5))  # doctest: +ELLIPSIS
        K = ... +- ... bits/pixel, K - L_null = ... (10 examples, scaled units)
    """
    if t_per_example is not None:
        t_per_example = min(t_per_example, run.model.trajectory_length - 1)
    result = evaluate(run, X, t_per_example=t_per_example, seed=seed, quiet=quiet)
    bits = result.units.factors()["bits/pixel"]
    error, draws = (value * bits for value in result.errors.values())
    n = len(result.arrays["K"])
    return Bound(result.bits("K"), result.bits("K_minus_L_null"), error, draws, run.model.unit, n)


def evaluate(
    run: Run,
    X: np.ndarray | None = None,
    estimator: str = "exact",
    *,
    t_per_example: int | None = None,
    draws: int = DRAWS,
    trajectories: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> Evaluation:
    """Evaluate a trained model on scaled examples.

    Args:
        run: a trained model.
        X: scaled examples, (n, ...); by default the test examples of the run.
        estimator: "exact": K as the sum over t (Eq. 14); "reference-2015": as the released code printed it.
        t_per_example: exact: times t of each example, in equal parts of 2..T; None for every t.
        draws: reference-2015: minibatches, each at one random t.
        trajectories: instead of K: log p(x_0) of each example by that many forward trajectories (Eq. 9).
        batch_size: examples (trajectories) computed at once, or the minibatch of reference-2015.
        seed: seed of the draws.
        quiet: show no progress bar.

    Returns:
        An Evaluation: every part of K in nats per example, with standard errors and the terms by t.

    Raises:
        InputError: the examples are not accepted by the kernel, or an argument is out of range.

    Example:
        >>> result = dpm.evaluate(run, data.test[:10])
        >>> sorted(result.values)
        ['K', 'K_eq12', 'K_minus_L_null', 'L_null', 'forward_1', 'forward_T', 'prior', 'sum_kl']
        >>> bool(np.isclose(result.values["K"] - result.values["L_null"], result.values["K_minus_L_null"]))
        True
    """
    X = run.data() if X is None else X
    units = units_of(run)
    if trajectories is not None:
        return _evaluate_trajectories(run, X, units, trajectories, batch_size, seed, quiet)
    if estimator == "reference-2015":
        return _evaluate_reference(run, X, units, draws, batch_size, seed, quiet)
    return _evaluate_terms(run, X, units, t_per_example, batch_size, seed, quiet)


def units_of(run: Run) -> Units:
    """Return the conversion of nats per example of a model."""
    model = run.model
    scale = None if model.kernel.binary else run.scaling.scale
    return Units(int(np.prod(model.example_shape)), model.n_pixels, scale)


def _evaluate_terms(
    run: Run, X: np.ndarray, units: Units, t_per_example: int | None, batch_size: int | None, seed: int, quiet: bool
) -> Evaluation:
    """Compute K as the sum over t (Eq. 14)."""
    compiled, theta, T = run.compiled, run.theta, run.model.trajectory_length
    k = t_per_example or T - 1
    if k > T - 1:
        raise InputError(
            f"--t-per-example: {k} is more than there are, t = 2..{T}; take up to {T - 1}, or leave it out"
        )
    with Progress(total=len(X) * k, unit="term", unit_scale=True, quiet=quiet, desc="K") as bar:
        terms = bounds.terms(compiled, theta, X, seed, t_per_example, bar.update, batch_size)
    with Progress(desc="K by Eq. 12, and the bounds of Eq. 23", quiet=quiet):
        correction, gaps = bounds.edge_correction(compiled, theta, X), bounds.bounds_apart(compiled, theta, X)
    K, null = terms.K.mean(), terms.L_null.mean()
    values = {
        "sum_kl": (T - 1) * terms.kl.mean(dtype=np.float64),
        "forward_T": terms.forward_T.mean(),
        "forward_1": terms.forward_1.mean(),
        "prior": terms.prior.mean(),
        "L_null": null,
        "K": K,
        "K_minus_L_null": K - null,
        "K_eq12": K + correction.mean(),
    }
    errors = {"standard error of K": terms.error, "of it from draws": terms.draws_error}
    times = (
        f"every t from 2 to {T}" if k == T - 1 else f"{k} of the {T - 1} times t per example, one in each equal part"
    )
    notes = [
        f"{times}, one draw of x_t each. The standard error is that of the examples as a sample of the data; the part "
        "from draws is what remains for K of these very examples.",
        "K by Eq. 12 has means of log pi where Eq. 14 puts the prior's entropy: a bound for any examples.",
    ]
    t, mean, error, count = terms.by_time()
    rows = [("t", "kl_nats_per_example", "standard_error", "draws", "bounds_apart_nats_per_example")]
    rows += list(zip(t, mean, error, count, gaps, strict=True))
    arrays = {"times": terms.times, "kl": terms.kl, "forward_T": terms.forward_T, "forward_1": terms.forward_1}
    arrays |= {"prior": terms.prior, "K": terms.K, "K_eq12": terms.K + correction}
    return Evaluation(values, errors, notes, {"times_per_example": k}, arrays, rows, units)


def _evaluate_reference(
    run: Run, X: np.ndarray, units: Units, draws: int, batch_size: int | None, seed: int, quiet: bool
) -> Evaluation:
    """Compute K as the released code printed it: minibatches at a single t each, KL_t counted T times."""
    compiled, theta, model = run.compiled, run.theta, run.model
    T = model.trajectory_length
    default = run.settings.batch_size if run.settings else 512
    size = min(batch_size or default, len(X))
    estimates = bounds.reference_likelihood(compiled, theta, X, seed, size, draws)
    estimate = bounds.Estimate(np.nan, np.nan)
    for estimate in Progress(estimates, total=draws, unit="minibatch", quiet=quiet, desc="K as in 2015"):  # noqa: B007
        pass  # the last one has all draws
    forward_T, forward_1, prior = (a.mean() for a in bounds.entropies(compiled, theta, X))
    gain = forward_T - forward_1
    per_pixel = units.factors()["bits/pixel"]
    # The model may count KL_t T - 1 times, as it should.
    kl = (gain - estimate.value / per_pixel) / model.n_terms
    error = estimate.standard_error / per_pixel / model.n_terms
    values = {"sum_kl": T * kl, "forward_T": forward_T, "forward_1": forward_1, "prior": prior, "L_null": -prior}
    values |= {"K": gain - T * kl - prior, "K_minus_L_null": gain - T * kl}
    notes = [
        f"as released in 2015: {draws} minibatches of {size}, each at one random t; KL_t, a mean over T - 1 = {T - 1} "
        f"times, is counted {T} times, which subtracts {kl * per_pixel:.5f} bits/pixel: counted {T - 1} times "
        f"K - L_null is {(gain - (T - 1) * kl) * per_pixel:.5f}.",
    ]
    facts = {"draws": draws, "minibatch": size, "counted_once_too_often": units.in_all_units(kl)}
    return Evaluation(values, {"standard error": T * error}, notes, facts, {}, [], units)


def _evaluate_trajectories(
    run: Run, X: np.ndarray, units: Units, n: int, batch_size: int | None, seed: int, quiet: bool
) -> Evaluation:
    """Compute log p(x_0) of each example by Eq. 9, next to its K."""
    compiled, T = run.compiled, run.model.trajectory_length
    results = []
    with Progress(total=len(X) * n * T, unit="step", unit_scale=True, quiet=quiet, desc="Eq. 9") as bar:
        for example, x in enumerate(X):
            block = min(batch_size or compiled.microbatch_size(bounds.BLOCK), n)
            results.append(importance.log_likelihood(compiled, run.theta, x, seed, n, block, bar.update, example))
    value, error, effective, K = np.array(results).T
    null = run.model.kernel.prior_entropy() * units.dimensions
    values = {"L_null": -null, "K_eq12": K.mean(), "log_p": value.mean()}
    errors = {
        "standard error over examples": bounds.estimate(value).standard_error,
        "of it by bootstrap": float(np.sqrt((error**2).sum()) / len(value)),
    }
    least = effective.min()
    advice = ": the estimates depend on a few; take more trajectories." if least < max(10, n / 100) else "."
    notes = [
        f"{n} forward trajectories per example; their mean log weight is K (Eq. 12), the log of their mean weight an "
        f"estimate of log p(x_0) that is too low on average. The fewest effective trajectories are {least:.1f} of {n}"
        + advice,
    ]
    rows: list[tuple[Any, ...]] = [("example", "log_p_nats", "bootstrap_error", "effective_trajectories", "K_nats")]
    rows += list(zip(map(str, range(len(value))), value, error, effective, K, strict=True))
    arrays = {"log_p": value, "log_p_error": error, "effective": effective, "K": K}
    return Evaluation(values, errors, notes, {"trajectories": n}, arrays, rows, units)
