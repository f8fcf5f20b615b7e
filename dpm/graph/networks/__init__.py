"""Networks that give the reverse kernel p(x_{t-1} | x_t), for vectors and images, and the interface of a new one."""

from dpm.graph.networks.base import ReverseNetwork
from dpm.graph.networks.vectors import (
    BitsOfX0,
    HiddenLayers,
    MeanVariance,
    NormalizedRBF,
    PlainRates,
    PosteriorVariance,
    Rates,
    Sigmoid,
    Tanh,
    WithInputs,
)

__all__ = [
    "BitsOfX0",
    "HiddenLayers",
    "MeanVariance",
    "NormalizedRBF",
    "PlainRates",
    "PosteriorVariance",
    "Rates",
    "ReverseNetwork",
    "Sigmoid",
    "Tanh",
    "WithInputs",
]
