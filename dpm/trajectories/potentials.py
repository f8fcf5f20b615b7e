"""Functions r(x) to multiply the model with (section 2.5), and the named ones that sample.py reads from a text."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import ArrayLike

from dpm.base.arguments import parse_literals
from dpm.base.errors import InputError
from dpm.datasets import Scaling

# log r(x) in nats, (n,), of a symbolic x, (n, ...), in scaled units; each example separately.
LogR = Callable[[Any], Any]
EXAMPLE = "gaussian(mean=[0.5, None], sigma=0.1)"


@dataclass(frozen=True)
class Argument:
    """One argument of a named r(x).

    Attributes:
        text: the accepted numbers, in words.
        accepts: function of a number; True if it is accepted.
        array: True if one number per element is accepted too.
        missing: True if None is accepted for an element.
        default: value if the argument is not given; None if it is required.
    """

    text: str
    accepts: Callable[[float], bool]
    array: bool = True
    missing: bool = False
    default: float | None = None


ANY = Argument("a number", lambda v: True)
BIT = Argument("0 or 1", lambda v: v in (0, 1))
# 1 / sigma^2 of a smaller or larger number is outside the range of float32.
DEVIATION = Argument("a number from 1e-15 to 1e15", lambda v: 1e-15 <= v <= 1e15)
NAMED = {
    "gaussian": {"mean": Argument("a number", ANY.accepts, missing=True), "sigma": DEVIATION},
    "bits": {
        "known": BIT,
        "value": BIT,
        "error": Argument("a number above 0 and below 0.5", lambda v: 0 < v < 0.5, array=False, default=1e-3),
    },
    "linear": {"weights": ANY},
}


class Observation:
    """log r of independent Gaussian observations: -precision (x - mean)^2 / 2, summed over the elements.

    Args:
        mean: float64 number, or array of the shape of an example.
        precision: 1 / sigma^2, likewise; 0 where nothing is observed.
    """

    def __init__(self, mean: np.ndarray, precision: np.ndarray) -> None:
        self.mean, self.precision = mean, precision

    def __call__(self, x: pt.TensorVariable) -> pt.TensorVariable:
        """Return log r(x) in nats, (n,)."""
        mean, precision = self._as(x)
        return sum_elements(-0.5 * precision * (x - mean) ** 2)

    def multiply(self, kernel: Any, p: Any, exponent: pt.TensorVariable) -> Any:
        """Return p(x) r(x)^exponent in closed form (2.5.3): Gaussian precisions add.

        Args:
            kernel: kernel of the model.
            p: distribution of the kernel.
            exponent: exponents that broadcast over the elements.
        """
        mean, precision = self._as(exponent)
        return kernel.multiply(p, mean, precision * exponent)

    def _as(self, like: pt.TensorVariable) -> Iterator[np.ndarray]:
        """Yield mean and precision in the float type of a variable; constants of a wider type would widen the graph."""
        return (np.asarray(a, dtype=like.dtype) for a in (self.mean, self.precision))


def gaussian(mean: ArrayLike, sigma: float | np.ndarray) -> Observation:
    """Return log r of independent Gaussian observations of the elements, 0 at the mean.

    Args:
        mean: number or array of the shape of an example, in scaled units; NaN or None where nothing is
            observed.
        sigma: standard deviation, likewise.

    Raises:
        InputError: sigma is not above 0.
    """
    if not np.all(np.asarray(sigma) > 0):
        raise InputError(f"sigma: got {sigma}; expected a number above 0")
    mean, sigma = (np.asarray(a, dtype=np.float64) for a in (mean, sigma))
    missing = np.isnan(mean)
    return Observation(np.where(missing, 0.0, mean), np.where(missing, 0.0, sigma**-2.0))


def bits(known: ArrayLike, value: ArrayLike, error: float = 1e-3) -> LogR:
    """Return log r of bits that are observed with a probability of error, the same for 0 and 1, in nats.

    At rates instead of bits it is the log of the mean of r over independent bits with these rates, which guidance
    "predicted" evaluates.

    Args:
        known: 1 where a bit is observed, else 0, (size,).
        value: the observed bits, (size,).
        error: probability that an observed bit is wrong.

    Raises:
        InputError: error is not between 0 and 0.5.
    """
    if not 0 < error < 0.5:
        raise InputError(f"error: got {error}; expected a number above 0 and below 0.5")

    def log_r(x):
        seen, weight = (np.asarray(a, dtype=x.dtype) for a in (value, known))
        agree = x * seen + (1 - x) * (1 - seen)
        return sum_elements(weight * pt.log(error + (1 - 2 * error) * agree))

    return log_r


def linear(weights: ArrayLike, origin: ArrayLike = 0.0) -> LogR:
    """Return log r = sum of weights (x - origin), an exponential tilt, in nats.

    Args:
        weights: number or array of the shape of an example, in nats per scaled unit.
        origin: likewise, in scaled units.
    """

    def log_r(x):
        slope, zero = (np.asarray(a, dtype=x.dtype) for a in (weights, origin))
        return sum_elements(slope * (x - zero))

    return log_r


def sum_elements(values: pt.TensorVariable) -> pt.TensorVariable:
    """Return the sum over the elements of each example, (n,), of values (n, ...)."""
    return values.sum(axis=tuple(range(1, values.ndim)))


def read(text: str) -> tuple[str, dict[str, Any]]:
    """Read a text such as "gaussian(mean=0.5, sigma=0.1)", whose arguments are Python literals; nothing is executed.

    Returns:
        The name, and the arguments with defaults filled in. `build` checks their values.

    Raises:
        InputError: the name or an argument is unknown, or an argument is missing.
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


def build(
    name: str, arguments: Mapping[str, Any], shape: tuple[int, ...], scaling: Scaling, binary: bool
) -> LogR | Observation:
    """Return the log r that a text names, as a function of x in scaled units.

    Args:
        name, arguments: result of `read`; the arguments are in units of the data.
        shape: shape of an example.
        scaling: the affine map from data units to scaled units.
        binary: True if the data are bits.

    Raises:
        InputError: a value is not accepted.
    """
    if name == "bits" and not binary:
        raise InputError(f"--log-r bits: the model's data are not bits; take {_signature('gaussian')} or linear")
    a = {key: _check(f"--log-r {name}: {key}", value, NAMED[name][key], shape) for key, value in arguments.items()}
    if name == "gaussian":
        return gaussian(scaling.forward(a["mean"]), a["sigma"] * scaling.scale)
    if name == "linear":
        return linear(a["weights"] / scaling.scale, scaling.shift)
    return bits(a["known"], a["value"], float(a["error"]))


def _check(what: str, value: Any, rule: Argument, shape: tuple[int, ...]) -> np.ndarray:
    """Return a value as a float64 array of shape () or of an example, with NaN for None."""
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


def _number(value: Any, rule: Argument) -> float:
    """Return a value as a float, NaN for None; raise ValueError if it is not accepted."""
    if value is None and rule.missing:
        return math.nan
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError
    if not rule.accepts(value):
        raise ValueError
    return float(value)


def _accepted(rule: Argument, shape: tuple[int, ...]) -> str:
    """Describe the accepted values of an argument."""
    many = f", or a list of them of shape {shape}" if rule.array else ""
    return rule.text + many + (", None where nothing is observed" if rule.missing else "")


def _signature(name: str) -> str:
    """Return the arguments of a named r(x) as a call, with their defaults."""
    rules = NAMED[name].items()
    return f"{name}({', '.join(a if rule.default is None else f'{a}={rule.default}' for a, rule in rules)})"


def _short(value: Any) -> str:
    """Return the repr of a value, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
