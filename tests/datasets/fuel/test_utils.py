"""A subset is a set of rows; requests within it are requests of those rows."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpm.base.errors import InputError
from dpm.datasets.fuel.config_parser import config
from dpm.datasets.fuel.exceptions import FileNotInPathError
from dpm.datasets.fuel.utils import Subset, do_not_pickle_attributes, find_in_data_path

N = 12
ROWS = st.lists(st.integers(0, N - 1), max_size=N)


@given(ROWS, ROWS, st.data())
def test_subsets_are_those_of_sets(some, more, draw):
    first, second = Subset(some, N), Subset(more, N)
    assert first.get_list_representation() == sorted(set(some))
    assert (first + second).get_list_representation() == sorted({*some, *more})
    assert (first.num_examples, first.is_empty) == (len(set(some)), not some)
    if some:
        inner = draw.draw(st.lists(st.integers(0, first.num_examples - 1), min_size=1))
        rows = sorted(set(some))
        assert first.rows(inner).tolist() == [rows[i] for i in inner]
        part = Subset.subset_of(first, inner)
        assert part.get_list_representation() == [rows[i] for i in sorted(set(inner))]
        letters = list("abcdefghijkl")
        assert first.index_within_subset(letters, inner) == [letters[rows[i]] for i in inner]


@given(st.integers(0, N), st.integers(0, N), st.integers(1, 4))
def test_slices_within_slices(start, stop, step):
    values = np.arange(N) * 10
    subset = Subset(slice(2, 11), N)
    found = subset.index_within_subset(values, slice(start, stop, step))
    np.testing.assert_array_equal(found, values[2:11][start:stop:step])
    translated = subset[slice(start, stop, step)]
    np.testing.assert_array_equal(values[translated], values[2:11][start:stop:step])


def test_neighbors_are_a_slice():
    assert Subset([3, 1, 2], N).list_or_slice == slice(1, 4)
    assert Subset([3, 1], N).list_or_slice == [1, 3]
    assert (Subset([3, 1], N).is_list, Subset(slice(0, 4), N).is_list) == (True, False)
    assert Subset(slice(0, 4), N)[slice(None)] == slice(0, 4)
    assert Subset(slice(4, 8), N)[[3, 0]] == [7, 4]
    assert Subset.slice_to_numerical_args(slice(None, 5), 9) == (0, 5, 1)
    assert Subset.slice_to_numerical_args(slice(2, None, 3), 9) == (2, 9, 3)


def test_arrays_that_take_increasing_positions_are_read_in_any_order():
    class Increasing:
        def __getitem__(self, rows):
            assert (np.diff(rows) > 0).all()
            return np.asarray(rows) * 10

    assert Subset.sorted_fancy_indexing(Increasing(), [5, 1, 5, 2]).tolist() == [50, 10, 50, 20]
    subset = Subset([8, 4, 6], N)
    assert subset.index_within_subset(Increasing(), [2, 0, 2], sort_indices=True).tolist() == [80, 40, 80]
    assert subset.index_within_subset("abcdefghij", 1) == "g"


@pytest.mark.parametrize("bad", [slice(0, 8, 2), [N], [-1], 3, "all", [[0]]], ids=repr)
def test_other_subsets_are_refused(bad):
    with pytest.raises(InputError, match=r"^subset: "):
        Subset(bad, N)
    with pytest.raises(InputError, match=r"^subset: of 12 examples, the other of 5"):
        Subset([1], N) + Subset([1], 5)


def test_a_file_is_found_in_the_first_folder_that_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FUEL_DATA_PATH", f"{tmp_path}/a:~/$PLACE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "b")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "b" / "mnist.hdf5").touch()
    assert find_in_data_path("mnist.hdf5") == str(tmp_path / "b" / "mnist.hdf5")
    (tmp_path / "a" / "mnist.hdf5").touch()
    assert find_in_data_path("mnist.hdf5") == str(tmp_path / "a" / "mnist.hdf5")
    assert config.data_path == [f"{tmp_path}/a", "~/$PLACE"]
    with pytest.raises(FileNotInPathError, match=r"^other\.hdf5: .*/a, .*/b; put it there .*, or set FUEL_DATA_PATH"):
        find_in_data_path("other.hdf5")


@do_not_pickle_attributes("values", "never")
class Lazy:
    loads = 0

    def load(self):
        Lazy.loads += 1
        self.values = list(range(5))


def test_attributes_are_loaded_again_after_unpickling():
    first = Lazy()
    first.kept = 3
    assert first.values == [0, 1, 2, 3, 4]
    copy = pickle.loads(pickle.dumps(first))
    assert "_values" not in vars(copy)
    assert (copy.kept, copy.values, Lazy.loads) == (3, [0, 1, 2, 3, 4], 2)
    with pytest.raises(InputError, match=r"^never: was not set by the method load of Lazy"):
        _ = copy.never
    with pytest.raises(InputError, match=r"^object: has no method load"):
        do_not_pickle_attributes("values")(object)
