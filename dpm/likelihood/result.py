"""The bound K in one number with its errors: how it is printed and stored, everywhere alike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpm.base.wording import count, plural

NUMBERS = ("K", "K_minus_L_null", "draws_error", "standard_error", "unit")
HOW = ("split", "n_examples", "times_per_example", "n_times", "seed", "units")


@dataclass(frozen=True)
class Bound:
    """The bound K and its gain over the prior, with standard errors, and how they were estimated.

    Attributes:
        K: lower bound on the log likelihood (Eq. 14), scaled units.
        K_minus_L_null: K less the log likelihood of the prior pi(x), which is what the model has learned.
        draws_error: standard error from the draws of t and noise: what remains for these very examples. NaN for one
            example or one t per example.
        standard_error: standard error with the examples as a sample of the data, draws included. NaN for one example.
        unit: "bits/pixel" or "bits/example".
        n_examples: number of examples.
        times_per_example: number of times t of each example, in strata that are dense where the terms are large; None
            for every t.
        n_times: number of all t, T - 1.
        seed: seed of the draws.
        split: "test", "train", or "" for other examples.
        units: "scaled units", or "" for bits, which are not scaled.
    """

    K: float
    K_minus_L_null: float
    draws_error: float
    standard_error: float
    unit: str
    n_examples: int
    times_per_example: int | None
    n_times: int
    seed: int
    split: str = ""
    units: str = "scaled units"

    @property
    def L_null(self) -> float:
        """Log likelihood of the prior."""
        return self.K - self.K_minus_L_null

    def __str__(self) -> str:
        return f"{format_bound(self.K, self.K_minus_L_null, self.unit)}; {self.describe_errors()}"

    def describe_errors(self) -> str:
        """Return the standard errors and how K was estimated, in words."""
        return f"{format_errors(self.draws_error, self.standard_error)}; {self.describe()}"

    def describe(self) -> str:
        """Return how it was estimated, in words."""
        split = f"{self.split} " if self.split else ""
        examples = f"{self.n_examples:,} {split}{plural(self.n_examples, 'example')}"
        k = self.times_per_example
        many = f"{count(k, 'draw')} from {self.n_times} t" if k and k > self.n_times else f"{k} of {self.n_times} t"
        times = "every t" if k is None else many
        return ", ".join([*filter(None, [examples, self.units]), f"{times} each", f"seed {self.seed}"])

    def as_json(self) -> dict[str, Any]:
        """Return the numbers, and below "evaluation" how they were estimated; an error that does not exist is None."""
        values = {name: getattr(self, name) for name in NUMBERS} | {"L_null": self.L_null}
        return finite_or_none(values) | {"evaluation": {name: getattr(self, name) for name in HOW}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Bound":
        """Return the Bound that `as_json` stored."""
        values: dict[str, Any] = {name: math.nan if content[name] is None else content[name] for name in NUMBERS}
        return cls(**values, **{name: content["evaluation"][name] for name in HOW})


def finite_or_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with None, JSON's null, in place of numbers that are not finite."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


def format_bound(
    K: float, gain: float, unit: str, draws_error: float | None = None, standard_error: float | None = None
) -> str:
    """Return K and K - L_null with their unit and standard errors, in the one form in which they are printed.

    Args:
        K, gain: K and K - L_null.
        unit: of all numbers.
        draws_error, standard_error: as in Bound; None to leave both out. NaN where there is none.
    """
    text = f"K = {K:.4f}, K - L_null = {gain:.4f} {unit}"
    return text if standard_error is None else f"{text}; {format_errors(draws_error, standard_error)}"


def format_references(values: Mapping[str, float], unit: str) -> str:
    """Return the exact values of a toy problem in words, "" if there are none.

    Args:
        values: by "truth" and "ceiling"; NaN where one is not computed.
        unit: of all values.
    """
    names = {"ceiling": "ceiling of K", "truth": "exact log likelihood"}
    return "; ".join(
        f"{names[name]} {values[name]:.4f} {unit}" for name in names if not math.isnan(values.get(name, math.nan))
    )


def format_errors(draws_error: float | None, standard_error: float) -> str:
    """Return the standard errors in words: what the draws leave open, and what the choice of the examples adds."""
    if math.isnan(standard_error):
        return "one example has no standard error"
    draws = "" if draws_error is None or math.isnan(draws_error) else f"{draws_error:.4f} of the draws of t and noise, "
    return f"standard error {draws}{standard_error:.4f} with the examples as a sample"


def format_released(K: float, gain: float, unit: str, error: float, minibatches: int, size: int) -> str:
    """Return K and K - L_null of the released estimator, in the form of `format_bound`.

    Args:
        K, gain, unit: as in `format_bound`.
        error: standard error over minibatches; NaN for a single one.
        minibatches: number of minibatches.
        size: of a minibatch.
    """
    stated = f"standard error {error:.4f}" if math.isfinite(error) else "one minibatch has no standard error"
    return (
        f"{format_bound(K, gain, unit)}; {stated}; as released in 2015: {minibatches:,} "
        f"{plural(minibatches, 'minibatch')} of {size}, each at one random t, KL_t counted T times"
    )
