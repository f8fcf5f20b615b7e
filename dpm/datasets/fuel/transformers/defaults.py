"""Transformers that data sets apply by default."""

from typing import Any

from dpm.datasets.fuel.transformers.sourcewise import Cast, ScaleAndShift


def uint8_pixels_to_floatX(which_sources: tuple[str, ...]) -> tuple[Any, ...]:
    """Return default transformers from levels 0 .. 255 to values 0 .. 1 in floatX.

    Args:
        which_sources: Names of the sources.
    """
    chosen = {"which_sources": which_sources}
    return (ScaleAndShift, [1 / 255, 0], chosen), (Cast, ["floatX"], chosen)
