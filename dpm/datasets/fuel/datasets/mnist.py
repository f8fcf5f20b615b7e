"""MNIST as a file of fuel-convert."""

from dpm.datasets.fuel.datasets.named import PIXELS, InMemoryDataset


class MNIST(InMemoryDataset):
    """The digits of mnist.hdf5: sets train (60,000) and test (10,000), images 1 x 28 x 28 in uint8."""

    filename = "mnist.hdf5"
    default_transformers = PIXELS
