"""Data sets of fuel-convert are found under the names of their files."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import write_hdf5
from dpm.datasets.fuel.datasets import named
from dpm.datasets.fuel.schemes import SequentialScheme
from dpm.datasets.fuel.streams import DataStream

DATASETS = [
    (named.Adult, (), "adult.hdf5", True),
    (named.BinarizedMNIST, (), "binarized_mnist.hdf5", True),
    (named.CIFAR100, (), "cifar100.hdf5", True),
    (named.CalTech101Silhouettes, (), "caltech101_silhouettes28.hdf5", True),
    (named.CelebA, ("64",), "celeba_64.hdf5", False),
    (named.CelebA, ("aligned_cropped",), "celeba_aligned_cropped.hdf5", False),
    (named.DogsVsCats, (), "dogs_vs_cats.hdf5", False),
    (named.Iris, (), "iris.hdf5", True),
    (named.SVHN, (2,), "svhn_format_2.hdf5", False),
]


@pytest.mark.parametrize(("kind", "formats", "filename", "in_memory"), DATASETS)
def test_a_data_set_reads_its_file(tmp_path, monkeypatch, kind, formats, filename, in_memory):
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), np.uint8)
    source = "image_features" if kind is named.DogsVsCats else "features"
    write_hdf5(tmp_path / filename, {"train": {source: images}})
    dataset = kind(*formats, which_sets=("train",))
    assert (dataset.filename, dataset.load_in_memory) == (filename, in_memory)
    scheme = SequentialScheme(dataset.num_examples, 5)
    (batch,) = next(DataStream.default_stream(dataset, iteration_scheme=scheme).get_epoch_iterator())
    np.testing.assert_array_equal(batch, images * (1 / 255) if kind.default_transformers else images)


def test_silhouettes_have_two_sizes(tmp_path, monkeypatch):
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path))
    write_hdf5(tmp_path / "caltech101_silhouettes16.hdf5", {"valid": {"features": np.eye(3)}})
    assert named.CalTech101Silhouettes(("valid",), size=16).num_examples == 3
    with pytest.raises(InputError, match=r"^size: got 20; expected 16 or 28"):
        named.CalTech101Silhouettes(("valid",), size=20)
