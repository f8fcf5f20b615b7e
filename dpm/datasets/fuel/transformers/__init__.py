"""Transformers with Fuel's names: streams that change the data of another stream."""

from dpm.datasets.fuel.transformers.base import (
    AgnosticSourcewiseTransformer,
    AgnosticTransformer,
    ExpectsAxisLabels,
    SourcewiseTransformer,
    Transformer,
)
from dpm.datasets.fuel.transformers.batches import Batch, Cache, Padding, SortMapping, Unpack
from dpm.datasets.fuel.transformers.sources import Filter, FilterSources, Mapping, Merge, Rename
from dpm.datasets.fuel.transformers.sourcewise import Cast, Flatten, ForceFloatX, ScaleAndShift

__all__ = [
    "AgnosticSourcewiseTransformer",
    "AgnosticTransformer",
    "Batch",
    "Cache",
    "Cast",
    "ExpectsAxisLabels",
    "Filter",
    "FilterSources",
    "Flatten",
    "ForceFloatX",
    "Mapping",
    "Merge",
    "Padding",
    "Rename",
    "ScaleAndShift",
    "SortMapping",
    "SourcewiseTransformer",
    "Transformer",
    "Unpack",
]
