"""Data sets with Fuel's names."""

from dpm.datasets.fuel.datasets.base import Dataset, IndexableDataset, IterableDataset
from dpm.datasets.fuel.datasets.cifar10 import CIFAR10
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset
from dpm.datasets.fuel.datasets.mnist import MNIST
from dpm.datasets.fuel.datasets.named import (
    CIFAR100,
    SVHN,
    Adult,
    BinarizedMNIST,
    CalTech101Silhouettes,
    CelebA,
    DogsVsCats,
    Iris,
)
from dpm.datasets.fuel.datasets.text import TextFile

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "SVHN",
    "Adult",
    "BinarizedMNIST",
    "CalTech101Silhouettes",
    "CelebA",
    "Dataset",
    "DogsVsCats",
    "H5PYDataset",
    "IndexableDataset",
    "Iris",
    "IterableDataset",
    "TextFile",
]
