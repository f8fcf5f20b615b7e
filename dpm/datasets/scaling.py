"""Scale stored pixels to [0, 1], then to mean 0 and variance 1, and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dpm.base.errors import InputError

# Number of values per step, so that no second copy of the data is made.
CHUNK_VALUES = 1 << 20
LEVELS = 255
# Tolerance of 255 times a value in [0, 1] from an 8-bit level.
LEVEL_TOLERANCE = 1e-3


def to_unit_range(
    array: Any, what: str = "data", dtype: DTypeLike = "float64", varying: bool = True
) -> tuple[np.ndarray, bool]:
    """Map 8-bit pixels to [0, 1]; return continuous data unchanged.

    The decision of `level_factor` is made on all values: call this for a whole data set, not for a batch.

    Args:
        array: Numbers or booleans of any shape.
        what: Name of the data for error messages.
        dtype: Float type of the result.
        varying: Refuse data that have one value everywhere, from which no scale can be computed.

    Returns:
        The values, and True if they are quantized to 8 bits.

    Raises:
        InputError: As `level_factor`.
    """
    data = np.asarray(array)
    factor = level_factor(data, what, varying)
    return unit_values(data, factor, dtype), factor is not None


def level_factor(data: Any, what: str = "data", varying: bool = True) -> int | None:
    """Return the factor that maps the data to 8-bit levels.

    Pixels are 8-bit levels: 0..255 in any dtype, or levels / 255 within 1e-3 of a level. Images with only 0 and 1
    are binary and stay 0 and 1. Other floats are continuous data.

    Args:
        data: An array, or an object with its length, shape, dtype and slices.
        what: Name of the data for error messages.
        varying: Refuse data that are constant.

    Returns:
        1 for levels 0..255, 255 for levels / 255, None for continuous data.

    Raises:
        InputError: If the data are empty, not numbers, constant, contain NaN or infinity (the message gives the first
            index), or contain integers outside 0..255.
    """
    low, high = value_range(data, what, varying)
    # Test 255 first: images of 0 and 1 are black and white.
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
    """Return level / 255, bit-exact for equal images, or the values themselves where `factor` is None.

    Args:
        data: An array, or an object with its shape and slices.
        factor: Result of `level_factor`.
        dtype: Float type of the result.
    """
    result = np.empty(data.shape, dtype)
    for start, part in _parts(data):
        result[start : start + len(part)] = part if factor is None else np.rint(part * factor) / LEVELS
    return result


@dataclass(frozen=True)
class Scaling:
    """Affine map from data units to model units, Fuel's ScaleAndShift: x * scale + shift.

    Fitted to training data it gives them mean 0 and variance 1, over all pixels together.

    Example:
        >>> import numpy as np
        >>> scaling = Scaling.fit(np.array([0.0, 2.0]))
        >>> scaling
        Scaling(scale=1.0, shift=-1.0)
        >>> scaling.inverse(scaling.forward(0.5))
        0.5

    Attributes:
        scale: Inverse standard deviation of the data that it was fitted to.
        shift: Minus their mean, in model units.
    """

    scale: float
    shift: float

    @classmethod
    def fit(cls, train: Any, what: str = "training data") -> "Scaling":
        """Fit the scaling that gives all values together mean 0 and variance 1.

        Mean and variance are computed in float64, in chunks. The 2015 code used one random minibatch: pass that
        minibatch to reproduce it.

        Args:
            train: An array, or an object with its shape, dtype and slices.
            what: Name of the data for error messages.

        Raises:
            InputError: If the data are empty, constant or not finite, or if float64 cannot hold their variance.
        """
        data = train if hasattr(train, "shape") else np.asarray(train)
        value_range(data, what)
        count, mean, squares = 0, 0.0, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for _, part in _parts(data):
                # Chan, Golub & LeVeque (1983): combine the means and sums of squares of two samples.
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
        """Fit the scaling to data with few distinct values.

        Args:
            counts: Number of occurrences of each value, (k,).
            units: The values in data units, (k,).
            what: Name of the data for error messages.

        Raises:
            InputError: If all data have the same value.
        """
        units = units.astype(np.float64)
        mean = counts @ units / counts.sum()
        deviation = float(np.sqrt(counts @ (units - mean) ** 2 / counts.sum()))
        if not deviation > 0:
            raise InputError(f"{what}: every value is {mean:g}; accepted are data that vary")
        return cls(1 / deviation, float(-mean / deviation))

    def forward(self, x: Any) -> Any:
        """Map data units to model units, elementwise."""
        return x * self.scale + self.shift

    def inverse(self, x: Any) -> Any:
        """Map model units to data units, elementwise; the inverse of `forward` up to rounding."""
        return (x - self.shift) / self.scale


def value_range(data: Any, what: str, varying: bool = True) -> tuple[float, float]:
    """Return the lowest and the highest value.

    Args:
        data: An array, or an object with its length, shape, dtype and slices.
        what: Name of the data for error messages.
        varying: Refuse data that are constant.

    Raises:
        InputError: If the data are empty, not numbers, not finite or, with `varying`, constant.
    """
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
            raise InputError(f"{what}: the value at index {index} is {part[tuple(first)]}; remove or replace it")
        low, high = min(low, least), max(high, most)
    if varying and low == high:
        raise InputError(f"{what}: every value is {low:g}; accepted are data that vary")
    return low, high


def _parts(data: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, float64 rows) along the first axis."""
    rows = max(1, CHUNK_VALUES // max(1, data.size // len(data)))
    for start in range(0, len(data), rows):
        yield start, data[start : start + rows].astype(np.float64)


def _is_levels(data: Any, factor: int, low: float, high: float) -> bool:
    tolerance = 0.0
    if factor != 1 and data.dtype.kind == "f":
        # Rounding error of level / 255 in half precision.
        tolerance = max(LEVEL_TOLERANCE, LEVELS * float(np.finfo(data.dtype).eps) / 2)
    if low < -tolerance / factor or high > (LEVELS + tolerance) / factor:
        return False
    if data.dtype.kind != "f":
        return True
    return all((np.abs(part * factor - np.rint(part * factor)) <= tolerance).all() for _, part in _parts(data))
