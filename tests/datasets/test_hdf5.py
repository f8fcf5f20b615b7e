"""Fuel's HDF5 layout: read as Fuel reads it, written as Fuel writes it, whole or not at all."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.datasets import H5PYDataset, hdf5_writing, write_hdf5
from dpm.errors import InputError

ROOT = Path(__file__).parents[2]
LABELS = {"features": ("batch", "channel", "height", "width"), "targets": ("batch", "index")}


@pytest.fixture
def fuel(golden):
    return golden / "fuel"


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return {
        name: {
            "features": rng.integers(0, 256, (n, 3, 8, 8), np.uint8),
            "targets": rng.integers(0, 10, (n, 1), np.uint8),
        }
        for name, n in (("train", 50), ("test", 7))
    }


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("which", ["train", "test"])
def test_fuels_files_hold_what_fuel_says(fuel, name, which, in_memory):
    expected = np.load(fuel / f"{name}_expected.npz")[which]
    dataset = H5PYDataset(fuel / f"{name}.hdf5", (which,), load_in_memory=in_memory)
    features, targets = dataset.get_data(slice(None))
    assert dataset.provides_sources == dataset.sources == ("features", "targets")
    assert dataset.num_examples == len(expected) == len(targets)
    assert features.dtype == np.uint8
    np.testing.assert_array_equal(features.reshape(expected.shape), expected)
    assert dataset.axis_labels == LABELS
    dataset.close()


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    "request_",
    [
        [3, 0, 3],
        np.array([5, 1, 4, 1]),
        [2],
        [],
        slice(1, 6, 2),
        slice(-2, None),
        slice(4, 1, -1),
        slice(9, 99),
    ],
    ids=str,
)
def test_requests_keep_their_order_and_repeats(fuel, request_, in_memory):
    expected = np.load(fuel / "mnist_expected.npz")["test"]
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",), load_in_memory=in_memory)
    features, targets = dataset.get_data(request_)
    wanted = expected[request_ if isinstance(request_, slice) else np.array(request_, int)]
    np.testing.assert_array_equal(features[:, 0], wanted)
    assert len(targets) == len(wanted)
    dataset.close()


@pytest.mark.parametrize("bad", [3, [6], [-1], [0.5], [True], "train", [[0]], None], ids=repr)
def test_a_request_out_of_range_or_of_another_kind_is_refused(fuel, bad):
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",))
    with pytest.raises(InputError, match="request"):
        dataset.get_data(bad)
    dataset.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_set_given_by_indices_comes_in_increasing_order_as_in_fuel(fuel, in_memory):
    path = fuel / "custom_indices.hdf5"
    with h5py.File(path) as file:
        assert file["valid_idx"][...].tolist() == [8, 1, 5]
        rows = file["features"][...]
    dataset = H5PYDataset(path, ("valid",), load_in_memory=in_memory)
    np.testing.assert_array_equal(dataset.get_data(slice(None))[0], rows[[1, 5, 8]])
    np.testing.assert_array_equal(dataset.get_data([2, 0, 2])[0], rows[[8, 1, 8]])
    dataset.close()


def test_an_unavailable_source_is_not_provided_and_is_refused_by_name(fuel):
    path = fuel / "custom_indices.hdf5"
    assert H5PYDataset(path, ("test",)).provides_sources == ("features",)
    with pytest.raises(InputError, match="'targets'"):
        H5PYDataset(path, ("test",), sources=("targets",))


def test_several_sets_are_joined_each_row_once(fuel):
    dataset = H5PYDataset(fuel / "custom_indices.hdf5", ("train", "valid"), load_in_memory=True)
    with h5py.File(fuel / "custom_indices.hdf5") as file:
        expected = file["features"][[0, 1, 2, 3, 4, 5, 6, 8]]
    np.testing.assert_array_equal(dataset.get_data(slice(None))[0], expected)


def test_sources_come_in_the_order_asked_for(fuel):
    dataset = H5PYDataset(fuel / "mnist.hdf5", "test", sources=("targets", "features"))
    targets, features = dataset.get_data([0])
    assert targets.shape == (1, 1)
    assert features.shape == (1, 1, 28, 28)
    dataset.close()


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("which", ["train", "test"])
def test_examples_of_variable_shape_come_as_an_object_array_of_arrays_as_in_fuel(fuel, which, in_memory):
    dataset = H5PYDataset(fuel / "vlen.hdf5", (which,), load_in_memory=in_memory)
    with h5py.File(fuel / "vlen.hdf5") as file:
        first = {"train": 0, "test": 4}[which]
        shapes = file["image_features_shapes"][...]
        flat = [file["image_features"][row] for row in range(6)]
    request = [*range(dataset.num_examples - 1, -1, -1), 1]
    (images,) = dataset.get_data(request)
    assert images.dtype == object
    for image, row in zip(images, request, strict=True):
        assert image.dtype == np.uint8
        assert image.shape == tuple(shapes[first + row])
        np.testing.assert_array_equal(image.ravel(), flat[first + row])
    assert dataset.axis_labels == {"image_features": ("batch", "channel", "height", "width")}
    assert dataset.shapes == {"image_features": None}
    dataset.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_subset_is_taken_of_the_sets_in_increasing_order(fuel, in_memory):
    expected = np.load(fuel / "mnist_expected.npz")["train"]
    for subset, rows in ((slice(3, 9), range(3, 9)), ([7, 2, 11], [2, 7, 11])):
        dataset = H5PYDataset(fuel / "mnist.hdf5", ("train",), subset, in_memory)
        assert dataset.num_examples == len(rows)
        np.testing.assert_array_equal(dataset.get_data([1, 0])[0][:, 0], expected[[rows[1], rows[0]]])
        dataset.close()


@pytest.mark.parametrize("bad", [slice(0, 9, 2), slice(5, 5), [], [20], [-1], 3, "all"], ids=repr)
def test_a_subset_that_is_none_is_refused(fuel, bad):
    with pytest.raises(InputError, match="subset"):
        H5PYDataset(fuel / "mnist.hdf5", ("train",), bad)


def test_an_unknown_set_is_answered_with_the_known_ones(fuel):
    with pytest.raises(InputError, match=r"'valid'.*its sets: test, train"):
        H5PYDataset(fuel / "mnist.hdf5", ("valid",))


def test_closing_one_leaves_another_of_the_same_file_readable(fuel):
    first, second = (H5PYDataset(fuel / "mnist.hdf5", (which,)) for which in ("train", "test"))
    first.get_data([0])
    before = second.get_data([0])[0]
    first.close()
    np.testing.assert_array_equal(second.get_data([0])[0], before)
    assert first.get_data([0])[0].shape == (1, 1, 28, 28), "a closed data set opens again when it is needed"
    first.close()
    second.close()


def test_an_open_data_set_can_be_sent_to_another_process(fuel):
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",))
    before = dataset.get_data([2, 1])
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.get_data([2, 1])[0], before[0])
    dataset.close()
    copy.close()


FORK = """
import os, sys
import numpy as np
from dpm.datasets.hdf5 import H5PYDataset

dataset = H5PYDataset(sys.argv[1])
expected = dataset.get_data(slice(None))[0]
mine = dataset._file
children = []
for child in range(2):
    pid = os.fork()
    if pid == 0:
        pairs = [[i % 20, 0] for i in range(100)]
        good = all(np.array_equal(dataset.get_data(pair)[0], expected[pair]) for pair in pairs)
        own = dataset._file is not mine
        os._exit(0 if good and own else 1)
    children.append(pid)
for i in range(20):
    assert np.array_equal(dataset.get_data([i, 0])[0], expected[[i, 0]])
assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0]
assert dataset._file is mine and dataset.get_data([3])[0].shape == (1, 1, 28, 28)
dataset.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_each_of_two_forked_readers_opens_its_own_handle(fuel):
    # In a process of its own: engines loaded by other tests have threads, which a fork must not meet.
    command = [sys.executable, "-c", FORK, str(fuel / "mnist.hdf5")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[:100],
        lambda whole: b"<!DOCTYPE html><title>403 Forbidden</title>",
        lambda whole: whole.replace(b"features", b"factures", 1),
    ],
    ids=["empty", "half", "one byte short", "header only", "html", "source missing"],
)
def test_a_damaged_file_is_refused_by_name_in_one_line(fuel, tmp_path, spoil):
    path = tmp_path / "mnist.hdf5"
    path.write_bytes(spoil((fuel / "mnist.hdf5").read_bytes()))
    with pytest.raises(InputError) as caught:
        H5PYDataset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_a_plain_hdf5_file_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"none\.hdf5: there is no such file"):
        H5PYDataset(tmp_path / "none.hdf5")
    with pytest.raises(InputError, match=str(tmp_path)):
        H5PYDataset(tmp_path)
    plain = tmp_path / "plain.hdf5"
    with h5py.File(plain, "w") as file:
        file["features"] = np.zeros((3, 1, 2, 2))
    with pytest.raises(InputError, match=r"plain\.hdf5.*'split'"):
        H5PYDataset(plain)


def test_a_conversion_that_stopped_before_the_pixels_is_refused(tmp_path, sets):
    path = tmp_path / "half.hdf5"
    write_hdf5(path, sets)
    with h5py.File(path, "a") as file:
        del file["features"]
        file.create_dataset("features", (57, 3, 8, 8), np.uint8)
    with pytest.raises(InputError, match="'features' was never written"):
        H5PYDataset(path)


def test_a_split_beyond_the_data_is_refused(tmp_path, sets):
    path = tmp_path / "short.hdf5"
    write_hdf5(path, sets)
    with h5py.File(path, "a") as file:
        split = file.attrs["split"]
        split["stop"] += 1
        file.attrs["split"] = split
    with pytest.raises(InputError, match=r"rows 50\.\.57 of 57"):
        H5PYDataset(path, ("test",))


def test_what_is_written_is_read_back(tmp_path, sets):
    path = tmp_path / "set.hdf5"
    write_hdf5(path, sets, axis_labels=LABELS, attributes={"source": "a test"})
    for which, members in sets.items():
        dataset = H5PYDataset(path, (which,), load_in_memory=True)
        features, targets = dataset.get_data(slice(None))
        np.testing.assert_array_equal(features, members["features"])
        np.testing.assert_array_equal(targets, members["targets"])
        assert dataset.axis_labels == LABELS
    with h5py.File(path) as file:
        assert file["features"].compression == "gzip"
        assert file.attrs["source"] == "a test"
        assert not [name for name in file.attrs if "fuel_convert" in name]


def test_the_attributes_have_exactly_fuels_types(tmp_path, fuel, sets):
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


def test_a_source_that_a_set_lacks_is_marked_unavailable(tmp_path, sets):
    del sets["test"]["targets"]
    path = tmp_path / "set.hdf5"
    write_hdf5(path, sets)
    assert H5PYDataset(path, ("train",)).provides_sources == ("features", "targets")
    assert H5PYDataset(path, ("test",)).provides_sources == ("features",)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, sets, monkeypatch, error):
    path = tmp_path / "set.hdf5"
    write_hdf5(path, sets)
    before = path.read_bytes()

    def stop(*_):
        raise error("stopped")

    monkeypatch.setattr(hdf5_writing, "_split_array", stop)
    with pytest.raises(InputError if error is OSError else error):
        write_hdf5(path, sets)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.hdf5"]
    assert path.read_bytes() == before


def test_a_written_file_can_be_read_by_whom_the_umask_lets(tmp_path, sets):
    path = tmp_path / "set.hdf5"
    mask = os.umask(0o022)
    try:
        write_hdf5(path, sets)
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_missing_folder_is_refused_by_name(tmp_path, sets):
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
def test_sets_that_do_not_fit_together_are_refused_and_nothing_is_written(tmp_path, sets, change, named):
    change(sets)
    with pytest.raises(InputError, match=named):
        write_hdf5(tmp_path / "set.hdf5", sets)
    assert not list(tmp_path.iterdir())


def test_labels_and_attributes_that_the_layout_cannot_take_are_refused(tmp_path, sets):
    with pytest.raises(InputError, match="axis_labels"):
        write_hdf5(tmp_path / "set.hdf5", sets, axis_labels={"features": ("batch", "channel")})
    with pytest.raises(InputError, match="fuel_convert_version"):
        write_hdf5(tmp_path / "set.hdf5", sets, attributes={"fuel_convert_version": "0.2"})
    assert not list(tmp_path.iterdir())
