"""The bound in the units that papers use: nats or bits, per example, pixel or dimension, of scaled or original data."""

from typing import NamedTuple

import numpy as np

from dpm.graph.diffusion import Diffusion

LEVELS = 255  # steps from black to white of 8-bit pixels, which are 0 to 1 in units of the data
NAMES = {
    "sum_kl": "sum of KL_t",
    "forward_T": "H_q(X_T | X_0)",
    "forward_1": "H_q(X_1 | X_0)",
    "prior": "H_p(X_T)",
    "L_null": "L_null",
    "K": "K",
    "K_minus_L_null": "K - L_null",
    "K_eq12": "K by Eq. 12",
    "log_p": "log p(x_0)",
}
# Number of times that ln(scale) is added to convert to units of the data: a log density gains it, an entropy loses it.
GAIN = {"forward_T": -1, "forward_1": -1, "prior": -1, "L_null": 1, "K": 1, "K_eq12": 1, "log_p": 1}


class Units(NamedTuple):
    """Size and scale of an example.

    Attributes:
        dimensions: number of elements of an example; a pixel of three colors counts as three.
        pixels: number of pixels; 1 for vectors.
        scale: scaled data are scale * x + shift; None for bits, whose probability does not depend on units.
    """

    dimensions: int
    pixels: int
    scale: float | None

    def factors(self) -> dict[str, float]:
        """Return the factor that converts nats per example to each unit, such as "bits/pixel"."""
        parts = {"example": 1, "pixel": self.pixels, "dimension": self.dimensions}
        nats = {f"nats/{part}": 1 / n for part, n in parts.items()}
        return nats | {f"bits/{part}": 1 / n / np.log(2) for part, n in parts.items()}

    def distinct_units(self) -> list[str]:
        """Return the units that differ: without those per pixel if a pixel is an example or a dimension."""
        left_out = "/pixel" if self.pixels in (1, self.dimensions) else None
        return [name for name in self.factors() if not (left_out and name.endswith(left_out))]

    def in_all_units(self, nats: float) -> dict[str, float | None]:
        """Convert nats per example to every unit; NaN becomes None."""
        return {unit: None if np.isnan(nats) else float(nats * factor) for unit, factor in self.factors().items()}

    def in_data_units(self, key: str, nats: float) -> float:
        """Convert a quantity of NAMES, in nats per example, from scaled data to the original data.

        Densities change by the scale: p(x_data) = p(x_scaled) scale^dimensions.
        """
        if self.scale is None:
            return nats
        return nats + GAIN.get(key, 0) * self.dimensions * np.log(self.scale)

    def bits_of_levels(self, nats: float) -> float:
        """Return the bits per dimension that 8-bit levels cost, from a bound on their log density in data units.

        Uniform noise fills the levels, which are 1/255 apart: by Jensen's inequality log P(level) is at least the mean
        of log(p(x + u) / 255) (Theis, van den Oord & Bethge, 2016, Eq. 3 to 5).

        Args:
            nats: the bound, in nats per example.
        """
        return float(-nats / self.dimensions / np.log(2) + np.log2(LEVELS))


def why_no_levels(quantized: bool, noise: float, scale: float) -> str | None:
    """Return the reason why a bound is not one on the log probability of 8-bit levels, or None if it is one.

    Args:
        quantized: True if the data are levels / 255.
        noise: width of the model's uniform noise, in scaled units.
        scale: as in Units.
    """
    if not quantized:
        return "the data are not 8-bit levels"
    level = scale / LEVELS
    if not np.isclose(noise, level, rtol=1e-6):
        return f"the model's uniform noise is {noise:.4g} wide and a gray level {level:.4g}"
    return None


def describe_scale(model: Diffusion) -> str:
    """Return the units of a likelihood under the model, "scaled units", or "" for bits, which are not scaled."""
    return "" if model.kernel.binary else "scaled units"


def format_number(value: float | None, digits: int = 4) -> str:
    """Format a number for printing; NaN and None become "none"."""
    return "none" if value is None or np.isnan(value) else f"{value:.{digits}f}"
