"""From stored pixels to numbers of mean 0 and variance 1, and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dpm.base.errors import InputError

# Values a pass works on at once, so that no second copy of the data is made.
CHUNK_VALUES = 1 << 20
LEVELS = 255
# How far 255 times a value in [0, 1] may be from an 8-bit level.
LEVEL_TOLERANCE = 1e-3


def to_unit_range(array: Any, what: str = "data", dtype: DTypeLike = "float64") -> tuple[np.ndarray, bool]:
    """The values in [0, 1] if they are pixels, else as they are; and whether they are quantized to 8 bits.

    Decide on a whole data set, not on a batch: see `level_factor`, whose errors are raised.

    Args:
        array: numbers or booleans of any shape.
        what: what to call the data in messages.
        dtype: float type of the result.
    """
    data = np.asarray(array)
    factor = level_factor(data, what)
    return unit_values(data, factor, dtype), factor is not None


def level_factor(data: Any, what: str = "data") -> int | None:
    """By what the data are multiplied to be 8-bit levels, 1 or 255; None where they are not quantized.

    Pixels are 8-bit levels: 0..255 in any dtype, or levels / 255 within 1e-3 of a level. Images of nothing but 0 and
    1 are binary: they stay 0 and 1. Other floats are continuous data.

    Args:
        data: an array, or what can be sliced and has a length, shape and dtype as one.
        what: what to call the data in messages.

    Raises InputError if they are none, not numbers, constant, hold NaN or infinity (the first index), or integers
    outside 0..255.
    """
    low, high = value_range(data, what)
    # Scaled by 255 first: 0 and 1 alone are black and white.
    for factor in (LEVELS, 1):
        if _is_levels(data, factor, low, high):
            return factor
    if data.dtype.kind != "f":
        raise InputError(
            f"{what}: integers {low:g}..{high:g}; accepted are 8-bit pixels 0..255, floats 0..1, or "
            "continuous data as floats: rescale or convert them"
        )
    return None


def unit_values(data: Any, factor: int | None, dtype: DTypeLike) -> np.ndarray:
    """level / 255, exactly the same for the same image, where there is a factor (`level_factor`), else the values."""
    result = np.empty(data.shape, dtype)
    for start, part in _parts(data):
        result[start : start + len(part)] = part if factor is None else np.rint(part * factor) / LEVELS
    return result


@dataclass(frozen=True)
class Scaling:
    """The affine map to the model's units: forward(x) = x * scale + shift, as Fuel's ScaleAndShift."""

    scale: float
    shift: float

    @classmethod
    def fit(cls, train: Any, what: str = "training data") -> "Scaling":
        """The scaling that gives all values of `train` together mean 0 and variance 1.

        Two passes in float64 over an array, or over what can be sliced as one. The 2015 code took one random
        minibatch; pass that minibatch to do the same.
        Raises InputError if `train` is empty, constant, not finite or of a variance that float64 cannot hold.
        """
        data = train if hasattr(train, "shape") else np.asarray(train)
        value_range(data, what)
        count, mean, squares = 0, 0.0, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for _, part in _parts(data):
                # Chan, Golub & LeVeque (1983): the means and squares of two samples joined.
                size, center = part.size, part.mean()
                apart, total = center - mean, count + size
                squares += ((part - center) ** 2).sum() + apart**2 * count * size / total
                mean += apart * size / total
                count = total
            deviation = float(np.sqrt(squares / count))
        if not (np.isfinite(deviation) and deviation > 0):
            raise InputError(f"{what}: its standard deviation is {deviation:g}; rescale the data")
        return cls(1 / deviation, float(-mean / deviation))

    @classmethod
    def fit_levels(cls, counts: np.ndarray, units: np.ndarray, what: str = "training data") -> "Scaling":
        """As `fit`, for data of few values: counts[k] of them are units[k]."""
        units = units.astype(np.float64)
        mean = counts @ units / counts.sum()
        deviation = float(np.sqrt(counts @ (units - mean) ** 2 / counts.sum()))
        if not deviation > 0:
            raise InputError(f"{what}: every value is {mean:g}; accepted are data that vary")
        return cls(1 / deviation, float(-mean / deviation))

    def forward(self, x: Any) -> Any:
        """Data units to model units, elementwise."""
        return x * self.scale + self.shift

    def inverse(self, x: Any) -> Any:
        """Model units to data units, elementwise; undoes `forward` up to rounding."""
        return (x - self.shift) / self.scale


def _parts(data: Any) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, float64 rows) along the first axis."""
    rows = max(1, CHUNK_VALUES // max(1, data.size // len(data)))
    for start in range(0, len(data), rows):
        yield start, data[start : start + rows].astype(np.float64)


def value_range(data: Any, what: str) -> tuple[float, float]:
    """Lowest and highest value of data that are usable at all; raises InputError where they are not."""
    if data.dtype.kind not in "biuf" or data.ndim == 0:
        raise InputError(f"{what}: shape {data.shape} of {data.dtype}; accepted are arrays of numbers or booleans")
    if data.size == 0:
        raise InputError(f"{what}: is empty, its shape is {data.shape}; give at least one image")
    low, high = np.inf, -np.inf
    for start, part in _parts(data):
        least, most = float(part.min()), float(part.max())
        if not (np.isfinite(least) and np.isfinite(most)):
            first = np.argwhere(~np.isfinite(part))[0]
            index = (start + int(first[0]), *map(int, first[1:]))
            raise InputError(f"{what}: the value at index {index} is {part[tuple(first)]}; remove or mend it")
        low, high = min(low, least), max(high, most)
    if low == high:
        raise InputError(f"{what}: every value is {low:g}; accepted are data that vary")
    return low, high


def _is_levels(data: Any, factor: int, low: float, high: float) -> bool:
    tolerance = 0.0
    if factor != 1 and data.dtype.kind == "f":
        # Half precision cannot hold level / 255 more closely than this.
        tolerance = max(LEVEL_TOLERANCE, LEVELS * float(np.finfo(data.dtype).eps) / 2)
    if low < -tolerance / factor or high > (LEVELS + tolerance) / factor:
        return False
    if data.dtype.kind != "f":
        return True
    return all((np.abs(part * factor - np.rint(part * factor)) <= tolerance).all() for _, part in _parts(data))
