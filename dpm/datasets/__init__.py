"""Data sets: find, download, draw, read, scale and divide them into minibatches, independently of any model."""

from dpm.datasets.from_arrays import image_data_from_arrays
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset
from dpm.datasets.fuel.schemes import SequentialScheme, ShuffledScheme
from dpm.datasets.fuel.streams import DataStream
from dpm.datasets.fuel.writing import write_hdf5
from dpm.datasets.images import ImageData
from dpm.datasets.scaling import Scaling, to_unit_range
from dpm.datasets.search import NAMES, load
from dpm.datasets.streams import FuelStream, ShuffledStream, WindowScheme, WindowStream

__all__ = [
    "NAMES",
    "DataStream",
    "FuelStream",
    "H5PYDataset",
    "ImageData",
    "Scaling",
    "SequentialScheme",
    "ShuffledScheme",
    "ShuffledStream",
    "WindowScheme",
    "WindowStream",
    "image_data_from_arrays",
    "load",
    "to_unit_range",
    "write_hdf5",
]
