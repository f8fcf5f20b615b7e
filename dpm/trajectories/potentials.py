"""The functions r(x) that sample.py knows by name: gaussian(...), bits(...), linear(...), read and checked."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from dpm.base.arguments import parse_literals
from dpm.base.errors import InputError

EXAMPLE = "gaussian(mean=[0.5, None], sigma=0.1)"


@dataclass(frozen=True)
class Argument:
    """One argument: accepted(number) says which numbers are taken, told by `which`; array: whether there may be one
    number for each element; missing: whether None may stand for an element; default: None where it must be given."""

    which: str
    accepted: Any
    array: bool = True
    missing: bool = False
    default: float | None = None


ANY = Argument("a number", lambda v: True)
BIT = Argument("0 or 1", lambda v: v in (0, 1))
# Beyond, 1 / sigma^2 leaves the numbers of float32.
DEVIATION = Argument("a number from 1e-15 to 1e15", lambda v: 1e-15 <= v <= 1e15)
NAMED = {
    "gaussian": {"mean": Argument("a number", ANY.accepted, missing=True), "sigma": DEVIATION},
    "bits": {
        "known": BIT,
        "value": BIT,
        "error": Argument("a number above 0 and below 0.5", lambda v: 0 < v < 0.5, array=False, default=1e-3),
    },
    "linear": {"weights": ANY},
}


class Observation:
    """log r of independent Gaussian observations: -precision (x - mean)^2 / 2, summed over the elements.

    mean, precision: float64 numbers or arrays of an example's shape.
    """

    def __init__(self, mean, precision):
        self.mean, self.precision = mean, precision

    def __call__(self, x):
        mean, precision = self._as(x)
        return sum_elements(-0.5 * precision * (x - mean) ** 2)

    def multiply(self, kernel, p, exponent):
        """p(x) r(x)^exponent in closed form (2.5.3): Gaussian precisions add; exponent: to broadcast over elements."""
        mean, precision = self._as(exponent)
        return kernel.multiply(p, mean, precision * exponent)

    def _as(self, like):
        """In the float type of a variable: constants of a wider one would widen all that they meet."""
        return (np.asarray(a, dtype=like.dtype) for a in (self.mean, self.precision))


def gaussian(mean, sigma):
    """log r of independent Gaussian observations of the elements, 0 at the mean.

    mean, sigma: numbers or arrays of an example's shape, in scaled units; NaN or None in mean: not observed.
    """
    if not np.all(np.asarray(sigma) > 0):
        raise InputError(f"sigma: {sigma} is not accepted; it is above 0")
    mean, sigma = (np.asarray(a, dtype=np.float64) for a in (mean, sigma))
    missing = np.isnan(mean)
    return Observation(np.where(missing, 0.0, mean), np.where(missing, 0.0, sigma**-2.0))


def bits(known, value, error=1e-3):
    """log r of bits observed with a probability of error, the same for 0 and 1: log of what makes the bits seen so.

    known: (size,) of 0 and 1; value: (size,), the bits seen. Of rates in place of bits it is log of the mean of r over
    independent bits of these rates, as guidance "predicted" does.
    """
    if not 0 < error < 0.5:
        raise InputError(f"error: {error} is not accepted; it is above 0 and below 0.5")

    def log_r(x):
        seen, weight = (np.asarray(a, dtype=x.dtype) for a in (value, known))
        agree = x * seen + (1 - x) * (1 - seen)
        return sum_elements(weight * pt.log(error + (1 - 2 * error) * agree))

    return log_r


def linear(weights, origin=0.0):
    """log r = sum of weights (x - origin), a tilt; weights and origin: numbers or arrays of an example's shape."""

    def log_r(x):
        slope, zero = (np.asarray(a, dtype=x.dtype) for a in (weights, origin))
        return sum_elements(slope * (x - zero))

    return log_r


def sum_elements(values):
    """Over the elements of each example, (n,)."""
    return values.sum(axis=tuple(range(1, values.ndim)))


def read(text):
    """(name, arguments) of a text like "gaussian(mean=0.5, sigma=0.1)", whose arguments are Python literals.

    Nothing in it is run. Raises InputError for another name or other arguments; their values are checked by `build`.
    """
    call = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text, re.DOTALL)
    if not call or call[1] not in NAMED:
        raise InputError(
            f"--log-r: {_short(text)} is not accepted; accepted: {', '.join(map(_signature, NAMED))}; as {EXAMPLE}"
        )
    name = call[1]
    try:
        given = parse_literals(call[2], "mean=[0.5, None], sigma=0.1")
    except InputError as error:
        raise InputError(f"--log-r {name}: {error}") from None
    for argument in given:
        if argument not in NAMED[name]:
            raise InputError(f"--log-r {name}: argument {argument} is unknown; accepted: {_signature(name)}")
    for argument, rule in NAMED[name].items():
        if argument not in given and rule.default is None:
            raise InputError(f"--log-r {name}: {argument} is missing; accepted: {_signature(name)}")
    defaults = {a: rule.default for a, rule in NAMED[name].items() if rule.default is not None}
    return name, defaults | given


def build(name, arguments, shape, scaling, binary):
    """The log r of what `read` returned, for a model of examples of that shape: a function of x in the model's units.

    The arguments are in the units of the data. binary: whether the data are bits. Raises InputError for a value that
    is not accepted.
    """
    if name == "bits" and not binary:
        raise InputError(f"--log-r bits: the model's data are not bits; take {_signature('gaussian')} or linear")
    a = {key: _checked(f"--log-r {name}: {key}", value, NAMED[name][key], shape) for key, value in arguments.items()}
    if name == "gaussian":
        return gaussian(scaling.forward(a["mean"]), a["sigma"] * scaling.scale)
    if name == "linear":
        return linear(a["weights"] / scaling.scale, scaling.shift)
    return bits(a["known"], a["value"], float(a["error"]))


def _checked(what, value, rule, shape):
    """value as a float64 array, () or of that shape, NaN for None."""
    try:
        given = np.array(value, dtype=object)
        numbers = np.array([_number(v, rule) for v in given.ravel()]).reshape(given.shape)
    except (ValueError, OverflowError):
        raise InputError(f"{what}={_short(value)} is not accepted; accepted: {_accepted(rule, shape)}") from None
    if numbers.ndim and rule.array and numbers.shape == shape[1:] and shape[0] == 1:
        numbers = numbers[None]
    if numbers.shape not in (((), shape) if rule.array else ((),)):
        raise InputError(f"{what} has shape {numbers.shape}; accepted: {_accepted(rule, shape)}")
    return numbers


def _number(value, rule):
    """value as a float, NaN for None; raises ValueError where it is not accepted."""
    if value is None and rule.missing:
        return math.nan
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError
    if not rule.accepted(value):
        raise ValueError
    return float(value)


def _accepted(rule, shape):
    """What an argument may be, in words."""
    many = f", or a list of such of shape {shape}" if rule.array else ""
    return rule.which + many + (", None where nothing is known" if rule.missing else "")


def _signature(name):
    rules = NAMED[name].items()
    return f"{name}({', '.join(a if rule.default is None else f'{a}={rule.default}' for a, rule in rules)})"


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
