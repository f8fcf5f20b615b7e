"""Evaluate a run: K term by term (Eq. 14), K as in 2015, or log p(x_0) of single examples (Eq. 9)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.base.wording import plural
from dpm.engines.device_arrays import choose_rows
from dpm.graph.diffusion import Diffusion
from dpm.likelihood import bound as bounds
from dpm.likelihood import importance
from dpm.likelihood.result import Bound, format_released
from dpm.likelihood.times import bin_edges
from dpm.likelihood.units import Units
from dpm.runs.loading import Run

DRAWS = 10_000
SINGLE_EXAMPLES = 10
DRAWS_LABEL, SAMPLE_LABEL = "standard error: draws of t and noise", "standard error: examples as a sample"

#: Number of times t of each example; "all" for every t once; None for the number at which training evaluates.
TimesPerExample = int | Literal["all"] | None


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
        line: K and K - L_null in one line; "" for log p(x_0).
        bound: K and K - L_null in one object; None for the other estimators.
    """

    values: dict[str, float]
    errors: dict[str, float]
    notes: list[str]
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    rows: list[tuple[Any, ...]]
    units: Units
    line: str = ""
    bound: Bound | None = None

    def bits(self, key: str = "K") -> float:
        """Return a value in bits per pixel, or per vector."""
        return self.values[key] * self.units.factors()["bits/pixel"]


def bound(
    run: Run,
    X: np.ndarray | None = None,
    t_per_example: TimesPerExample = None,
    seed: int | None = None,
    quiet: bool = False,
) -> Bound:
    """Estimate the bound K (Eq. 14) of a trained model on scaled examples.

    Without further arguments it is the number in the last row of log.csv and in result.json.

    Args:
        run: a trained model.
        X: scaled examples, (n, ...), such as `data.test`; by default the test examples of the run.
        t_per_example: times t of each example, more where the terms of K are large; "all" for every t once; None for
            the number at which training evaluates.
        seed: seed of the draws; that of the run by default.
        quiet: show no progress.

    Returns:
        K and K - L_null with standard errors, in bits per pixel (all channels of a pixel together) or, for vectors,
        bits per example.

    Raises:
        InputError: the examples are not accepted by the kernel, or the data of the run are not found.

    Example:
        >>> print(dpm.bound(run, data.test[:10], t_per_example=5))  # doctest: +ELLIPSIS
        K = ..., K - L_null = ... bits/pixel; standard error ... with the examples as a sample; 10 examples, ...
    """
    result = evaluate(run, X, t_per_example=t_per_example, seed=seed, quiet=quiet).bound
    assert result is not None
    return result


def evaluate(
    run: Run,
    X: np.ndarray | None = None,
    estimator: str = "exact",
    *,
    t_per_example: TimesPerExample = None,
    draws: int = DRAWS,
    trajectories: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    quiet: bool = False,
    split: str = "",
) -> Evaluation:
    """Evaluate a trained model on scaled examples.

    Args:
        run: a trained model.
        X: scaled examples, (n, ...); by default the test examples of the run.
        estimator: "exact": K as the sum over t (Eq. 14); "reference-2015": as the released code printed it.
        t_per_example: exact: as in dpm.bound.
        draws: reference-2015: minibatches, each at one random t.
        trajectories: instead of K: log p(x_0) of each example by that many forward trajectories (Eq. 9).
        batch_size: examples (trajectories) computed at once, or the minibatch of reference-2015.
        seed: seed of the draws; that of the run by default.
        quiet: show no progress.
        split: name of the examples X, "test" or "train", for the description; "test" for the run's own.

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
    if run.run_data is not None and X is run.run_data.test:
        split = "test"
    seed = default_seed(run) if seed is None else seed
    units = units_of(run)
    if trajectories is not None:
        return _evaluate_trajectories(run, X, units, trajectories, batch_size, seed, quiet)
    if estimator == "reference-2015":
        return _evaluate_reference(run, X, units, draws, batch_size, seed, quiet)
    return _evaluate_terms(run, X, units, count_times(run.model, t_per_example), batch_size, seed, quiet, split)


def exact_references(run: Run, quiet: bool = False) -> dict[str, float]:
    """Return what is known of a toy problem, {} for other runs.

    Args:
        run: a trained model.
        quiet: show no progress.

    Returns:
        "truth", the exact log likelihood, and "ceiling", the largest K under the schedule of the run, in the unit of
        the model.
    """
    toy = run.settings.toy if run.settings else None
    if toy is None:
        return {}
    arguments, beta = run.model.arguments or {}, np.asarray(run.compiled.beta(run.theta), dtype=np.float64)
    with Progress(desc="exact log likelihood", quiet=quiet):
        truth = toy.log_likelihood(arguments)
    with Progress(total=len(beta) - 1, unit="step", desc="ceiling of K under this schedule", quiet=quiet) as bar:
        return {"truth": truth, "ceiling": toy.ceiling(arguments, beta, progress=bar.update)}


def default_seed(run: Run) -> int:
    """Return the seed of an evaluation: that of the run, or 0 for a model.pkl of 2015."""
    return run.settings.seed if run.settings else 0


def count_times(model: Diffusion, t_per_example: TimesPerExample) -> int | None:
    """Return the number of times per example, or None for every t. Raises InputError for a number below 1."""
    if t_per_example == "all":
        return None
    k = bounds.default_times(model) if t_per_example is None else t_per_example
    if k < 1:
        raise InputError(f"--t-per-example: got {k}; expected 1 or more, or all")
    return k


def units_of(run: Run) -> Units:
    """Return the conversion of nats per example of a model."""
    model = run.model
    scale = None if model.kernel.binary else run.scaling.scale
    return Units(int(np.prod(model.example_shape)), model.n_pixels, scale)


def _evaluate_terms(
    run: Run,
    X: np.ndarray,
    units: Units,
    k: int | None,
    batch_size: int | None,
    seed: int,
    quiet: bool,
    split: str,
) -> Evaluation:
    """Compute K as the sum over t (Eq. 14), from k times per example, or every t if k is None."""
    compiled, theta, T = run.compiled, run.theta, run.model.trajectory_length
    with Progress(total=len(X) * (k or T - 1), unit="term", unit_scale=True, quiet=quiet, desc="K") as bar:
        terms = bounds.terms(compiled, theta, X, seed, k, bar.update, batch_size)
    with Progress(desc="K by Eq. 12", quiet=quiet):
        correction = bounds.edge_correction(compiled, theta, X)
    with Progress(total=T - 1, unit="step", desc="bounds of Eq. 23", quiet=quiet) as bar:
        gaps = bounds.bounds_apart(compiled, theta, X, bar.update)
    K, null = terms.K.mean(), terms.L_null.mean()
    values = {
        "sum_kl": terms.sum_kl.mean(),
        "forward_T": terms.forward_T.mean(),
        "forward_1": terms.forward_1.mean(),
        "prior": terms.prior.mean(),
        "L_null": null,
        "K": K,
        "K_minus_L_null": K - null,
        "K_eq12": K + correction.mean(),
    }
    errors = {SAMPLE_LABEL: terms.error, DRAWS_LABEL: terms.draws_error}
    notes = ["K by Eq. 12 has means of log pi where Eq. 14 puts the prior's entropy: a bound for any examples."]
    means = terms.by_time(bin_edges(T) if k else None)
    gap = np.add.reduceat(gaps, means.first - 2) / (means.last - means.first + 1)
    rows = [("first_t", "last_t", "kl_nats_per_example", "standard_error", "draws", "bounds_apart_nats_per_example")]
    rows += list(zip(*means, gap, strict=True))
    arrays = {"times": terms.times, "kl": terms.kl, "weights": terms.weights}
    arrays |= {"forward_T": terms.forward_T, "forward_1": terms.forward_1}
    arrays |= {"prior": terms.prior, "K": terms.K, "K_eq12": terms.K + correction}
    found = bounds.summarize(compiled, terms, seed, k, split)
    return Evaluation(values, errors, notes, {"bound": found.as_json()}, arrays, rows, units, str(found), found)


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
        f"as released in 2015: {draws} {plural(draws, 'minibatch')} of {size}, each at one random t; KL_t, a mean over "
        f"T - 1 = {T - 1} times, is counted {T} times, which "
        f"subtracts {kl * per_pixel:.5f} bits/pixel: counted {T - 1} times K - L_null is "
        f"{(gain - (T - 1) * kl) * per_pixel:.5f}.",
    ]
    facts = {"draws": draws, "minibatch": size, "counted_once_too_often": units.in_all_units(kl)}
    K, gain = (values[key] * per_pixel for key in ("K", "K_minus_L_null"))
    line = format_released(K, gain, model.unit, T * error * per_pixel, draws, size)
    return Evaluation(values, {"standard error": T * error}, notes, facts, {}, [], units, line)


def _evaluate_trajectories(
    run: Run, X: np.ndarray, units: Units, n: int, batch_size: int | None, seed: int, quiet: bool
) -> Evaluation:
    """Compute log p(x_0) of each example by Eq. 9, next to its K."""
    compiled, T = run.compiled, run.model.trajectory_length
    block = min(batch_size or choose_rows(compiled, n, compiled.microbatch_size(bounds.BLOCK)), n)
    with Progress(total=len(X) * n * T, unit="step", unit_scale=True, quiet=quiet, desc="Eq. 9") as bar:
        results = importance.log_likelihoods(compiled, run.theta, X, seed, n, block, bar.update)
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
        f"{n} forward {plural(n, 'trajectory')} per example; their mean log weight is K (Eq. 12), the log of their "
        f"mean weight an estimate of log p(x_0) that is too low on average. The fewest effective "
        f"trajectories are {least:.1f} of {n}" + advice,
    ]
    rows: list[tuple[Any, ...]] = [("example", "log_p_nats", "bootstrap_error", "effective_trajectories", "K_nats")]
    rows += list(zip(map(str, range(len(value))), value, error, effective, K, strict=True))
    arrays = {"log_p": value, "log_p_error": error, "effective": effective, "K": K}
    return Evaluation(values, errors, notes, {"trajectories": n}, arrays, rows, units)
