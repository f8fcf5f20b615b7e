"""CIFAR-10 as a file of fuel-convert."""

from dpm.datasets.fuel.datasets.named import PIXELS, InMemoryDataset


class CIFAR10(InMemoryDataset):
    """The images of cifar10.hdf5: sets train (50,000) and test (10,000), images 3 x 32 x 32 in uint8."""

    filename = "cifar10.hdf5"
    default_transformers = PIXELS
