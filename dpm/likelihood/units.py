"""The bound in the units that papers state it in: nats and bits, of an example, a pixel or a dimension; of the data."""

from typing import NamedTuple

import numpy as np

LEVELS = 255  # steps from black to white of 8-bit pixels, which are 0 to 1 in the units of the data
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
# How often ln of the scale is added on the way to the data's units: a log density gains it, an entropy loses it.
GAIN = {"forward_T": -1, "forward_1": -1, "prior": -1, "L_null": 1, "K": 1, "K_eq12": 1, "log_p": 1}


class Units(NamedTuple):
    """What an example is.

    dimensions: its numbers, a pixel of three colors having three; pixels: 1 for vectors; scale: the model's units are
    scale * x + shift of the data's; None for bits, whose probability has no units.
    """

    dimensions: int
    pixels: int
    scale: float | None

    def factors(self):
        """What nats an example are multiplied by, for each unit."""
        parts = {"example": 1, "pixel": self.pixels, "dimension": self.dimensions}
        nats = {f"nats/{part}": 1 / n for part, n in parts.items()}
        return nats | {f"bits/{part}": 1 / n / np.log(2) for part, n in parts.items()}

    def shown(self):
        """The units that differ from one another: those of pixels are left out where a pixel is a whole or a number."""
        left_out = "/pixel" if self.pixels in (1, self.dimensions) else None
        return [name for name in self.factors() if not (left_out and name.endswith(left_out))]

    def all(self, nats):
        """nats an example in every unit: a dict; None for NaN."""
        return {unit: None if np.isnan(nats) else float(nats * factor) for unit, factor in self.factors().items()}

    def in_data(self, key, nats):
        """A quantity of NAMES, nats an example, in the units of the data: densities change by the scale."""
        if self.scale is None:
            return nats
        return nats + GAIN.get(key, 0) * self.dimensions * np.log(self.scale)

    def bits_of_levels(self, nats):
        """Bits a dimension that 8-bit levels cost by a bound on their log density, nats an example in the data's units.

        Uniform noise fills the levels, 1/255 apart: by Jensen log P(level) >= the mean of log (p(x + u) / 255) (Theis,
        van den Oord & Bethge, 2016, Eq. 3 to 5).
        """
        return float(-nats / self.dimensions / np.log(2) + np.log2(LEVELS))


def no_levels(quantized, noise, scale):
    """Why the data or the model have no bits of 8-bit levels, a text; None where they have.

    quantized: whether the data are levels / 255; noise: the width of the model's uniform noise, in its units.
    """
    if not quantized:
        return "the data are not 8-bit levels"
    level = scale / LEVELS
    if not np.isclose(noise, level, rtol=1e-6):
        return f"the model's uniform noise is {noise:.4g} wide and a gray level {level:.4g}"
    return None


def number(value, digits=4):
    """A number as it is printed; "none" for NaN or None."""
    return "none" if value is None or np.isnan(value) else f"{value:.{digits}f}"
