"""Data sets of fuel-convert, found by the names of their files in the data path (`config.data_path`)."""

from collections.abc import Sequence
from typing import Any

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset
from dpm.datasets.fuel.transformers.defaults import uint8_pixels_to_floatX
from dpm.datasets.fuel.transformers.sourcewise import ScaleAndShift
from dpm.datasets.fuel.utils import find_in_data_path

PIXELS = uint8_pixels_to_floatX(("features",))


class InMemoryDataset(H5PYDataset):
    """Base class of data sets whose file has a known name; the examples are kept in memory by default.

    Args:
        which_sets: Names of the sets.
        **kwargs: Further arguments of H5PYDataset.

    Attributes:
        filename: Name of the file.

    Raises:
        FileNotInPathError, ConfigurationError: As `find_in_data_path`.
        InputError: As H5PYDataset.
    """

    filename: str

    def __init__(self, which_sets: Sequence[str], **kwargs: Any) -> None:
        kwargs.setdefault("load_in_memory", True)
        super().__init__(find_in_data_path(self.filename), which_sets=which_sets, **kwargs)


class Adult(InMemoryDataset):
    """Census records of adult.hdf5."""

    filename = "adult.hdf5"


class CIFAR100(InMemoryDataset):
    """CIFAR-100 of cifar100.hdf5, with the sources features, coarse_labels and fine_labels."""

    filename = "cifar100.hdf5"
    default_transformers = PIXELS


class Iris(InMemoryDataset):
    """The irises of iris.hdf5, one set "all"."""

    filename = "iris.hdf5"


class BinarizedMNIST(H5PYDataset):
    """Digits of 0 and 1 of binarized_mnist.hdf5, with sets train, valid and test."""

    filename = "binarized_mnist.hdf5"

    def __init__(self, which_sets: Sequence[str], load_in_memory: bool = True, **kwargs: Any) -> None:
        super().__init__(
            find_in_data_path(self.filename), which_sets=which_sets, load_in_memory=load_in_memory, **kwargs
        )


class CalTech101Silhouettes(H5PYDataset):
    """Silhouettes of caltech101_silhouettes16.hdf5 or caltech101_silhouettes28.hdf5.

    Args:
        which_sets: Of "train", "valid" and "test".
        size: Pixels of a side, 16 or 28.
        load_in_memory: As H5PYDataset.
        **kwargs: Further arguments of H5PYDataset.
    """

    def __init__(self, which_sets: Sequence[str], size: int = 28, load_in_memory: bool = True, **kwargs: Any) -> None:
        if size not in (16, 28):
            raise InputError(f"size: got {size}; expected 16 or 28")
        self.filename = f"caltech101_silhouettes{size}.hdf5"
        super().__init__(self.data_path, which_sets=which_sets, load_in_memory=load_in_memory, **kwargs)

    @property
    def data_path(self) -> str:
        """Path of the file."""
        return find_in_data_path(self.filename)


class CelebA(H5PYDataset):
    """Faces of celeba_aligned_cropped.hdf5 or celeba_64.hdf5.

    Args:
        which_format: "aligned_cropped" or "64".
        which_sets: Of "train", "valid" and "test".
        **kwargs: Further arguments of H5PYDataset.
    """

    default_transformers = PIXELS

    def __init__(self, which_format: str, which_sets: Sequence[str], **kwargs: Any) -> None:
        self.which_format = which_format
        super().__init__(find_in_data_path(self.filename), which_sets=which_sets, **kwargs)

    @property
    def filename(self) -> str:
        """Name of the file."""
        return f"celeba_{self.which_format}.hdf5"


class DogsVsCats(H5PYDataset):
    """Photographs of different shapes of dogs_vs_cats.hdf5."""

    filename = "dogs_vs_cats.hdf5"
    default_transformers = ((ScaleAndShift, [1 / 255, 0], {"which_sources": ("image_features",)}),)

    def __init__(self, which_sets: Sequence[str], **kwargs: Any) -> None:
        super().__init__(find_in_data_path(self.filename), which_sets=which_sets, **kwargs)


class SVHN(H5PYDataset):
    """House numbers of svhn_format_1.hdf5 or svhn_format_2.hdf5.

    Args:
        which_format: 1 for photographs of different shapes, 2 for single digits.
        which_sets: Of "train", "test" and "extra".
        **kwargs: Further arguments of H5PYDataset.
    """

    default_transformers = PIXELS

    def __init__(self, which_format: int, which_sets: Sequence[str], **kwargs: Any) -> None:
        self.which_format = which_format
        super().__init__(find_in_data_path(self.filename), which_sets=which_sets, **kwargs)

    @property
    def filename(self) -> str:
        """Name of the file."""
        return f"svhn_format_{self.which_format}.hdf5"
