"""Data sets are written in Fuel's layout, atomically."""

import os

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import H5PYDataset, write_hdf5
from dpm.datasets.fuel import writing
from tests.datasets.conftest import LABELS


def test_written_data_are_read_back(tmp_path, sets):
    path = tmp_path / "set.hdf5"
    write_hdf5(path, sets, axis_labels=LABELS, attributes={"source": "a test"})
    for which, members in sets.items():
        dataset = H5PYDataset(path, (which,), load_in_memory=True)
        features, targets = dataset.get_data(request=slice(None))
        np.testing.assert_array_equal(features, members["features"])
        np.testing.assert_array_equal(targets, members["targets"])
        assert dataset.axis_labels == LABELS
    with h5py.File(path) as file:
        assert file["features"].compression == "gzip"
        assert file.attrs["source"] == "a test"
        assert not [name for name in file.attrs if "fuel_convert" in name]


def test_attributes_have_exactly_fuels_types(tmp_path, fuel, sets):
    path = tmp_path / "set.hdf5"
    write_hdf5(path, sets, axis_labels=LABELS)
    with h5py.File(path) as ours, h5py.File(fuel / "mnist.hdf5") as theirs:
        for name in ("split", "h5py_interface_version"):
            assert ours.attrs.get_id(name).get_type() == theirs.attrs.get_id(name).get_type()
            assert ours.attrs.get_id(name).shape == theirs.attrs.get_id(name).shape
        texts = [f.attrs.get_id("h5py_interface_version").get_type() for f in (ours, theirs)]
        assert texts[0].get_cset() == texts[1].get_cset()
        assert ours.attrs["h5py_interface_version"] == theirs.attrs["h5py_interface_version"]
        for source in LABELS:
            kinds = [f[source].attrs.get_id("DIMENSION_LABELS").get_type() for f in (ours, theirs)]
            assert kinds[0] == kinds[1]


def test_missing_source_of_a_set_is_marked_unavailable(tmp_path, sets):
    del sets["test"]["targets"]
    path = tmp_path / "set.hdf5"
    write_hdf5(path, sets)
    assert H5PYDataset(path, ("train",)).provides_sources == ("features", "targets")
    assert H5PYDataset(path, ("test",)).provides_sources == ("features",)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
def test_interrupted_write_leaves_only_the_old_file(tmp_path, sets, monkeypatch, error):
    path = tmp_path / "set.hdf5"
    write_hdf5(path, sets)
    before = path.read_bytes()

    def stop(*_):
        raise error("stopped")

    monkeypatch.setattr(writing, "split_array", stop)
    with pytest.raises(InputError if error is OSError else error):
        write_hdf5(path, sets)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.hdf5"]
    assert path.read_bytes() == before


def test_permissions_follow_the_umask(tmp_path, sets):
    path = tmp_path / "set.hdf5"
    mask = os.umask(0o022)
    try:
        write_hdf5(path, sets)
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644


def test_missing_folder_is_an_error(tmp_path, sets):
    with pytest.raises(InputError, match=r"nowhere/set\.hdf5: cannot be written"):
        write_hdf5(tmp_path / "nowhere" / "set.hdf5", sets)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda sets: sets["test"].update(features=np.zeros((7, 1, 8, 8), np.uint8)), "test/features"),
        (lambda sets: sets["test"].update(features=np.zeros((7, 3, 8, 8))), "float64"),
        (lambda sets: sets["test"].update(targets=np.zeros((6, 1), np.uint8)), "differ in length"),
        (lambda sets: sets["test"].update(features=np.zeros((0, 3, 8, 8), np.uint8)), "test/features"),
        (lambda sets: sets["test"].update(features=np.array([{}, {}])), "object"),
        (lambda sets: sets.clear(), "nothing to write"),
    ],
)
def test_inconsistent_sets_are_refused_and_nothing_is_written(tmp_path, sets, change, named):
    change(sets)
    with pytest.raises(InputError, match=named):
        write_hdf5(tmp_path / "set.hdf5", sets)
    assert not list(tmp_path.iterdir())


def test_invalid_labels_and_reserved_attributes_are_refused(tmp_path, sets):
    with pytest.raises(InputError, match="axis_labels"):
        write_hdf5(tmp_path / "set.hdf5", sets, axis_labels={"features": ("batch", "channel")})
    with pytest.raises(InputError, match="fuel_convert_version"):
        write_hdf5(tmp_path / "set.hdf5", sets, attributes={"fuel_convert_version": "0.2"})
    assert not list(tmp_path.iterdir())
