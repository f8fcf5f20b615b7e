"""Data sets in Fuel's HDF5 layout are read with Fuel's semantics."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import H5PYDataset
from tests.datasets.conftest import LABELS

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("which", ["train", "test"])
def test_fuels_files_are_read_as_by_fuel(fuel, name, which, in_memory):
    expected = np.load(fuel / f"{name}_expected.npz")[which]
    dataset = H5PYDataset(fuel / f"{name}.hdf5", (which,), load_in_memory=in_memory)
    features, targets = dataset.get_data(request=slice(None))
    assert dataset.provides_sources == dataset.sources == ("features", "targets")
    assert dataset.num_examples == len(expected) == len(targets)
    assert features.dtype == np.uint8
    np.testing.assert_array_equal(features.reshape(expected.shape), expected)
    assert dataset.axis_labels == LABELS
    dataset.close(None)


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
def test_requests_keep_order_and_repeats(fuel, request_, in_memory):
    expected = np.load(fuel / "mnist_expected.npz")["test"]
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",), load_in_memory=in_memory)
    features, targets = dataset.get_data(request=request_)
    wanted = expected[request_ if isinstance(request_, slice) else np.array(request_, int)]
    np.testing.assert_array_equal(features[:, 0], wanted)
    assert len(targets) == len(wanted)
    dataset.close(None)


@pytest.mark.parametrize("bad", [7, -1, True, [6], [-1], [0.5], [True], "train", [[0]], None], ids=repr)
def test_other_requests_are_refused(fuel, bad):
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",))
    with pytest.raises(InputError, match="request"):
        dataset.get_data(request=bad)
    dataset.close(None)


def test_sources_come_in_the_requested_order(fuel):
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",), sources=("targets", "features"))
    targets, features = dataset.get_data(request=[0])
    assert targets.shape == (1, 1)
    assert features.shape == (1, 1, 28, 28)
    dataset.close(None)


@pytest.mark.parametrize("in_memory", [True, False])
def test_subset_is_taken_in_increasing_order(fuel, in_memory):
    expected = np.load(fuel / "mnist_expected.npz")["train"]
    for subset, rows in ((slice(3, 9), range(3, 9)), ([7, 2, 11], [2, 7, 11])):
        dataset = H5PYDataset(fuel / "mnist.hdf5", ("train",), subset, in_memory)
        assert dataset.num_examples == len(rows)
        np.testing.assert_array_equal(dataset.get_data(request=[1, 0])[0][:, 0], expected[[rows[1], rows[0]]])
        dataset.close(None)


@pytest.mark.parametrize("bad", [slice(0, 9, 2), slice(5, 5), [], [20], [-1], 3, "all"], ids=repr)
def test_invalid_subset_is_refused(fuel, bad):
    with pytest.raises(InputError, match="subset"):
        H5PYDataset(fuel / "mnist.hdf5", ("train",), bad)


def test_closing_leaves_another_dataset_of_the_file_readable(fuel):
    first, second = (H5PYDataset(fuel / "mnist.hdf5", (which,)) for which in ("train", "test"))
    first.get_data(request=[0])
    before = second.get_data(request=[0])[0]
    first.close(None)
    np.testing.assert_array_equal(second.get_data(request=[0])[0], before)
    assert first.get_data(request=[0])[0].shape == (1, 1, 28, 28), "a closed data set is opened again when it is needed"
    first.close(None)
    second.close(None)


def test_open_dataset_can_be_pickled(fuel):
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",))
    before = dataset.get_data(request=[2, 1])
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.get_data(request=[2, 1])[0], before[0])
    dataset.close(None)
    copy.close(None)


FORK = """
import os, sys
import numpy as np
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset

dataset = H5PYDataset(sys.argv[1], ("train",))
expected = dataset.get_data(request=slice(None))[0]
mine = dataset._file
children = []
for child in range(2):
    pid = os.fork()
    if pid == 0:
        pairs = [[i % 20, 0] for i in range(1000)]
        good = all(np.array_equal(dataset.get_data(request=pair)[0], expected[pair]) for pair in pairs)
        own = dataset._file is not mine
        os._exit(0 if good and own else 1)
    children.append(pid)
for i in range(20):
    assert np.array_equal(dataset.get_data(request=[i, 0])[0], expected[[i, 0]])
assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0]
assert dataset._file is mine and dataset.get_data(request=[3])[0].shape == (1, 1, 28, 28)
dataset.close(None)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_processes_open_their_own_handles(fuel):
    # In a subprocess: other tests start threads of engines, and processes with threads must not fork.
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
def test_damaged_file_is_a_one_line_error_with_its_name(fuel, tmp_path, spoil):
    path = tmp_path / "mnist.hdf5"
    path.write_bytes(spoil((fuel / "mnist.hdf5").read_bytes()))
    with pytest.raises(InputError) as caught:
        H5PYDataset(path, ("train",))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_other_hdf5_files_are_errors(tmp_path):
    with pytest.raises(InputError, match=r"none\.hdf5: there is no such file"):
        H5PYDataset(tmp_path / "none.hdf5", ("train",))
    with pytest.raises(InputError, match=str(tmp_path)):
        H5PYDataset(tmp_path, ("train",))
    plain = tmp_path / "plain.hdf5"
    with h5py.File(plain, "w") as file:
        file["features"] = np.zeros((3, 1, 2, 2))
    with pytest.raises(InputError, match=r"plain\.hdf5.*'split'"):
        H5PYDataset(plain, ("train",))


def test_calls_of_a_program_with_a_state(fuel):
    """open, get_data, reset, next_epoch and close as a stream calls them."""
    expected = np.load(fuel / "mnist_expected.npz")["test"]
    dataset = H5PYDataset(file_or_path=str(fuel / "mnist.hdf5"), which_sets=("test",))
    state = dataset.open()
    np.testing.assert_array_equal(dataset.get_data(state, slice(1, 3))[0][:, 0], expected[1:3])
    state = dataset.next_epoch(dataset.reset(state))
    features, targets = dataset.get_data(state=state, request=4)
    np.testing.assert_array_equal(features[0], expected[4])
    assert targets.shape == (1,)
    assert dataset.close(state) is None
    memory = H5PYDataset(fuel / "mnist.hdf5", ("test",), load_in_memory=True)
    with pytest.raises(InputError, match=r"^state: got 3"):
        memory.get_data(3, [0])
    np.testing.assert_array_equal(memory.data_sources[0][:, 0], expected)
    assert dataset.data_sources is None


def test_an_open_file_is_used_and_stays_open(fuel):
    with h5py.File(fuel / "cifar10.hdf5") as file:
        dataset = H5PYDataset(file, ("train",), sources=("targets",))
        first = dataset.get_data(dataset.open(), [3])
        dataset.close(None)
        assert file.id.valid
        copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.get_data(request=[3])[0], first[0])  # from the path
    copy.close(None)


def test_pickles_have_no_data(fuel):
    dataset = H5PYDataset(fuel / "cifar10.hdf5", ("train",), load_in_memory=True)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < dataset.data_sources[0].nbytes / 4
    for before, after in zip(dataset.data_sources, pickle.loads(pickled).data_sources, strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("driver", [None, "sec2", "stdio", "core"])
def test_drivers_read_the_same(fuel, driver):
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",), driver=driver)
    np.testing.assert_array_equal(
        dataset.get_data(request=[2])[0][0, 0], np.load(fuel / "mnist_expected.npz")["test"][2]
    )
    dataset.close(None)


def test_lists_that_are_not_sorted_are_refused_on_request(fuel):
    dataset = H5PYDataset(fuel / "mnist.hdf5", ("test",), sort_indices=False)
    assert len(dataset.get_data(request=[0, 2, 5])[0]) == 3
    for request in ([2, 0], [1, 1]):
        with pytest.raises(InputError, match=r"^request: is not increasing"):
            dataset.get_data(request=request)
    dataset.close(None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"which_sets": "train"}, r"^which_sets: got 'train'"),
        ({"which_sets": (1,)}, r"^which_sets: got \(1,\)"),
        ({"driver": "family"}, r"^driver: got 'family'; expected None, 'sec2', 'stdio', 'core'"),
        (
            {"sources": ("pixels",)},
            r"mnist\.hdf5: sources \('pixels',\) are not available in train; available: features, t",
        ),
        ({"sources": ()}, r"^sources: got \(\); available: features, targets"),
    ],
)
def test_other_arguments_are_refused(fuel, arguments, words):
    with pytest.raises(InputError, match=words):
        H5PYDataset(fuel / "mnist.hdf5", **{"which_sets": ("train",)} | arguments)


def test_an_open_file_is_described(fuel):
    with h5py.File(fuel / "custom_indices.hdf5") as file:
        assert H5PYDataset.get_all_splits(file) == ("train", "valid", "test")
        assert H5PYDataset.get_all_sources(file) == ("features", "targets")
        assert H5PYDataset.get_provided_sources(file, "test") == ("features",)
        assert H5PYDataset.get_axis_labels(file) == LABELS
        assert H5PYDataset.get_vlen_sources(file) == []
        (rows,) = H5PYDataset.get_subsets(file, ("valid", "test"), ("features",))
        assert rows.get_list_representation() == [1, 5, 7, 8, 9]
    with h5py.File(fuel / "vlen.hdf5") as file:
        assert H5PYDataset.get_vlen_sources(file) == ["image_features"]


def test_a_file_written_with_the_split_array_is_read(tmp_path):
    path = tmp_path / "made.hdf5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"], file["rows"] = np.arange(6), np.arange(4), [4, 1]
        sets = {"train": {"x": (0, 4), "y": (0, 4)}, "some": {"x": (0, 6, file["rows"].ref, "few")}}
        file.attrs["split"] = H5PYDataset.create_split_array(sets)
        table = file.attrs["split"]
    assert table["available"].tolist() == [True, True, True, False]
    assert table["comment"].tolist() == [b".", b".", b"few", b"."]
    some = H5PYDataset(path, ("some",), load_in_memory=True)
    assert some.get_data(request=slice(None))[0].tolist() == [1, 4]
    both = H5PYDataset(path, ("some", "train"), load_in_memory=True)
    assert both.sources == ("x",)
    assert both.get_data(request=slice(None))[0].tolist() == [0, 1, 2, 3, 4]
