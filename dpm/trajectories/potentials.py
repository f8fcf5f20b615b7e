"""The functions r(x) that sample.py knows by name: gaussian(...), bits(...), linear(...), read and checked."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpm.base.arguments import parse_literals
from dpm.base.errors import InputError
from dpm.trajectories import products as posterior

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
        return posterior.gaussian(scaling.forward(a["mean"]), a["sigma"] * scaling.scale)
    if name == "linear":
        return posterior.linear(a["weights"] / scaling.scale, scaling.shift)
    return posterior.bits(a["known"], a["value"], float(a["error"]))


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
