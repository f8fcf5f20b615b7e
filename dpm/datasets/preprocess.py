"""From stored pixels to numbers of mean 0 and variance 1, and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dpm.errors import InputError

# Values a pass works on at once, so that no second copy of the data is made.
CHUNK_VALUES = 1 << 20
LEVELS = 255
# How far 255 times a value in [0, 1] may be from an 8-bit level.
LEVEL_TOLERANCE = 1e-3


def to_unit_range(array: Any, what: str = "data", dtype: DTypeLike = "float64") -> tuple[np.ndarray, bool]:
    """The values in [0, 1] if they are pixels, else as they are; and whether they are quantised to 8 bits.

    Pixels are 8-bit levels: 0..255 in any dtype, or levels / 255 within 1e-3 of a level. All of these give
    level / 255, exactly the same for the same images, and True. Images of nothing but 0 and 1 are binary:
    they stay 0 and 1. Other floats are continuous data and are kept, with False. Decide on a whole data set,
    not on a batch.

    Args:
        array: numbers or booleans of any shape.
        what: what to call the data in messages.
        dtype: float type of the result.

    Raises InputError if the array is empty, not of numbers, constant, holds NaN or infinity (the first
    index), or integers outside 0..255.
    """
    data = np.asarray(array)
    low, high = _range(data, what)
    # Scaled by 255 first: 0 and 1 alone are black and white.
    for factor in (LEVELS, 1):
        if _is_levels(data, factor, low, high):
            return _convert(data, dtype, lambda part, factor=factor: np.rint(part * factor) / LEVELS), True
    if data.dtype.kind != "f":
        raise InputError(
            f"{what}: integers {low:g}..{high:g}; accepted are 8-bit pixels 0..255, floats 0..1, or "
            "continuous data as floats: rescale or convert them"
        )
    return _convert(data, dtype, lambda part: part), False


@dataclass(frozen=True)
class Scaling:
    """The affine map to the model's units: forward(x) = x * scale + shift, as Fuel's ScaleAndShift."""

    scale: float
    shift: float

    @classmethod
    def fit(cls, train: Any, what: str = "training data") -> "Scaling":
        """The scaling that gives all values of `train` together mean 0 and variance 1.

        One pass in float64. The 2015 code took one random minibatch; pass that minibatch to do the same.
        Raises InputError if `train` is empty, constant, not finite or of a variance that float64 cannot hold.
        """
        data = np.asarray(train)
        _range(data, what)
        count, mean, squares = 0, 0.0, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for _, part in _parts(data):
                # Chan, Golub & LeVeque (1983): the means and squares of two samples joined.
                size, centre = part.size, part.mean()
                apart, total = centre - mean, count + size
                squares += ((part - centre) ** 2).sum() + apart**2 * count * size / total
                mean += apart * size / total
                count = total
            deviation = float(np.sqrt(squares / count))
        if not (np.isfinite(deviation) and deviation > 0):
            raise InputError(f"{what}: its standard deviation is {deviation:g}; rescale the data")
        return cls(1 / deviation, float(-mean / deviation))

    def forward(self, x: Any) -> Any:
        """Data units to model units, elementwise."""
        return x * self.scale + self.shift

    def inverse(self, x: Any) -> Any:
        """Model units to data units, elementwise; undoes `forward` up to rounding."""
        return (x - self.shift) / self.scale


def _parts(data: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, float64 rows) along the first axis."""
    rows = max(1, CHUNK_VALUES // max(1, data[0].size))
    for start in range(0, len(data), rows):
        yield start, data[start : start + rows].astype(np.float64)


def _range(data: np.ndarray, what: str) -> tuple[float, float]:
    """Lowest and highest value of data that are usable at all."""
    if data.dtype.kind not in "biuf" or data.ndim == 0:
        raise InputError(f"{what}: shape {data.shape} of {data.dtype}; accepted are arrays of numbers or booleans")
    if data.size == 0:
        raise InputError(f"{what}: is empty, its shape is {data.shape}; give at least one image")
    if data.dtype.kind == "f":
        for start, part in _parts(data):
            if not np.isfinite(part).all():
                first = np.argwhere(~np.isfinite(part))[0]
                index = (start + int(first[0]), *map(int, first[1:]))
                raise InputError(f"{what}: the value at index {index} is {part[tuple(first)]}; remove or mend it")
    low, high = float(data.min()), float(data.max())
    if low == high:
        raise InputError(f"{what}: every value is {low:g}; accepted are data that vary")
    return low, high


def _is_levels(data: np.ndarray, factor: int, low: float, high: float) -> bool:
    tolerance = 0.0
    if factor != 1 and data.dtype.kind == "f":
        # Half precision cannot hold level / 255 more closely than this.
        tolerance = max(LEVEL_TOLERANCE, LEVELS * float(np.finfo(data.dtype).eps) / 2)
    if low < -tolerance / factor or high > (LEVELS + tolerance) / factor:
        return False
    return all((np.abs(part * factor - np.rint(part * factor)) <= tolerance).all() for _, part in _parts(data))


def _convert(data: np.ndarray, dtype: DTypeLike, function: Any) -> np.ndarray:
    result = np.empty(data.shape, dtype)
    for start, part in _parts(data):
        result[start : start + len(part)] = function(part)
    return result
