"""Search order, accepted file names, error messages and image layout of load."""

import os
import struct
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets import NAMES, load, search, write_hdf5

LABELS = {"features": ("batch", "channel", "height", "width")}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("FUEL_DATA_PATH", raising=False)


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """An empty folder for own data sets, without the embedded digits."""
    folder = tmp_path / "own" / "dpm"
    folder.mkdir(parents=True)
    monkeypatch.setattr(search, "EMBEDDED", tmp_path / "none.hdf5")
    monkeypatch.setattr(search, "CHECKOUT_FOLDER", tmp_path / "none")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder.parent))
    return folder


def images(value, n=3, shape=(1, 4, 4)):
    pixels = np.full((n, *shape), value, np.uint8)
    pixels[0] = 0
    return pixels


def write_set(path, value, shape=(1, 4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    sets = {"train": {"features": images(value, 3, shape)}, "test": {"features": images(value, 2, shape)}}
    write_hdf5(path, sets, axis_labels=LABELS)
    return path


def write_idx(folder, value, dash="-", parts=("train", "t10k")):
    folder.mkdir(parents=True, exist_ok=True)
    for n, part in zip((3, 2), parts, strict=False):
        content = bytes([0, 0, 8, 3]) + struct.pack(">3I", n, 4, 4) + images(value, n).tobytes()
        (folder / f"{part}-images{dash}idx3-ubyte").write_bytes(content)
    return folder


def write_cifar(folder, value):
    folder.mkdir(parents=True, exist_ok=True)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        (folder / name).write_bytes(b"\1" + bytes([value]) * 3072)
    return folder


def mark(data):
    return int(data.train.max())


def test_load_reads_a_file_written_by_fuel(golden):
    data = load("CIFAR10", golden / "fuel")
    expected = np.load(golden / "fuel" / "cifar10_expected.npz")
    np.testing.assert_array_equal(data.train.reshape(20, -1), expected["train"])
    np.testing.assert_array_equal(data.test.reshape(4, -1), expected["test"])
    assert (data.name, data.path, data.note) == ("CIFAR10", golden / "fuel" / "cifar10.hdf5", "")
    assert data.train.shape == (20, 3, 32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_an_hdf5_file(tmp_path, name):
    path = write_set(tmp_path / f"{name.lower()}.hdf5", 9)
    data = load(name, tmp_path)
    assert (data.name, data.path, mark(data)) == (name, path, 9)


@pytest.mark.parametrize("name", ["fashion-mnist", "Fashion_MNIST", "FASHIONMNIST", "fashion_mnist"])
def test_name_ignores_case_hyphens_and_underscores(tmp_path, name):
    write_set(tmp_path / "fashion_mnist.hdf5", 9)
    assert load(name, tmp_path).name == "FASHION_MNIST"


@pytest.mark.parametrize(("name", "meant"), [("MNITS", "MNIST"), ("CIFAR", "CIFAR10"), ("image-nt", "IMAGENET")])
def test_unknown_name_suggests_the_nearest(name, meant):
    with pytest.raises(InputError, match=rf"'{name}' .*did you mean {meant}\?.*MNIST, FASHION_MNIST"):
        load(name)


def test_unknown_name_without_a_near_one_lists_the_names():
    with pytest.raises(InputError, match=f"accepted are {', '.join(NAMES)}") as caught:
        load("xyz")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("as_text", [True, False])
def test_data_path_may_be_a_file_with_any_name(tmp_path, as_text):
    path = write_set(tmp_path / "my.images", 7)
    data = load("MNIST", str(path) if as_text else path)
    assert (data.path, mark(data)) == (path, 7)


def test_folders_of_the_environment_are_searched_in_order_and_first(tmp_path, monkeypatch, bare):
    write_set(bare / "cifar10.hdf5", 1)
    assert mark(load("CIFAR10")) == 1
    monkeypatch.setenv("FUEL_DATA_PATH", os.pathsep.join(str(tmp_path / name) for name in ("none", "b", "a")))
    write_set(tmp_path / "a" / "cifar10.hdf5", 2)
    assert mark(load("CIFAR10")) == 2
    write_set(tmp_path / "b" / "cifar10.hdf5", 3)
    assert mark(load("CIFAR10")) == 3


def test_data_path_replaces_the_environment_and_may_be_several_folders(tmp_path, monkeypatch, bare):
    monkeypatch.setenv("FUEL_DATA_PATH", str(write_set(tmp_path / "env" / "mnist.hdf5", 1).parent))
    write_set(tmp_path / "a" / "mnist.hdf5", 2)
    write_set(tmp_path / "b" / "mnist.hdf5", 3)
    several = os.pathsep.join(str(tmp_path / name) for name in ("none", "b", "a"))
    assert mark(load("MNIST", several)) == 3
    assert mark(load("MNIST")) == 1


def test_file_in_the_environment_is_not_used_for_every_name(tmp_path, monkeypatch, bare):
    monkeypatch.setenv("FUEL_DATA_PATH", str(write_set(tmp_path / "mnist.hdf5", 1)))
    with pytest.raises(InputError, match="no CIFAR10 found"):
        load("CIFAR10")


def test_existing_folder_with_a_separator_in_its_name_is_not_split(tmp_path):
    folder = tmp_path / f"a{os.pathsep}b"
    write_set(folder / "mnist.hdf5", 5)
    assert mark(load("MNIST", folder)) == 5


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_set(tmp_path / "data" / "mnist.hdf5", 5)
    assert mark(load("MNIST", f"none{os.pathsep}~/data")) == 5


@pytest.mark.parametrize("sub", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("dash", ["-", "."])
def test_mnist_idx_files_are_found_in_the_usual_subfolders(tmp_path, monkeypatch, sub, dash):
    write_idx(tmp_path / sub, 6, dash)
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path))
    data = load("MNIST")
    assert (data.path, mark(data), data.note) == (tmp_path / sub, 6, "")
    assert (data.train.shape, data.test.shape) == ((3, 1, 4, 4), (2, 1, 4, 4))


@pytest.mark.parametrize("sub", ["fashion-mnist", "FashionMNIST/raw"])
def test_fashion_mnist_idx_files_are_found_in_folders_named_after_it(tmp_path, monkeypatch, sub):
    write_idx(tmp_path / sub, 6)
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path))
    assert load("FASHION_MNIST").path == tmp_path / sub


def test_mnist_and_fashion_mnist_are_not_confused(tmp_path, monkeypatch, bare):
    write_idx(tmp_path / "plain", 1)
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path / "plain"))
    with pytest.raises(InputError, match="no FASHION_MNIST found"):
        load("FASHION_MNIST")
    assert mark(load("FASHION_MNIST", tmp_path / "plain")) == 1, "the user decides about a folder that is given"
    write_idx(tmp_path / "MNIST" / "raw", 2)
    with pytest.raises(InputError, match="no FASHION_MNIST found"):
        load("FASHION_MNIST", tmp_path / "MNIST" / "raw")
    write_idx(tmp_path / "fashion-mnist", 3)
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path / "fashion-mnist"))
    with pytest.raises(InputError, match="no MNIST found"):
        load("MNIST")


def test_path_of_one_idx_file_selects_its_folder(tmp_path):
    write_idx(tmp_path, 4)
    assert mark(load("MNIST", tmp_path / "train-images-idx3-ubyte")) == 4


def test_missing_idx_test_images_are_an_error(tmp_path):
    write_idx(tmp_path, 4, parts=("train",))
    with pytest.raises(InputError, match=r"lacks t10k-images-idx3-ubyte\(\.gz\)"):
        load("MNIST", tmp_path)


@pytest.mark.parametrize("where", ["", "cifar-10-batches-bin"])
def test_cifar10_folder_is_found_by_its_path_or_its_parent(tmp_path, where):
    write_cifar(tmp_path / "cifar-10-batches-bin", 8)
    data = load("CIFAR10", tmp_path / where)
    assert (mark(data), data.train.shape, data.test.shape) == (8, (5, 3, 32, 32), (1, 3, 32, 32))


@pytest.mark.parametrize("given", ["", "cifar-10-binary.tar.gz"])
def test_cifar10_archive_is_found_by_its_path_or_its_folder(tmp_path, given):
    folder = write_cifar(tmp_path / "unpacked", 8)
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-bin")
    data = load("cifar-10", tmp_path / given)
    assert (mark(data), data.path) == (8, path)


def test_embedded_digits_replace_missing_mnist_with_a_note(tmp_path, monkeypatch):
    for value in (None, "", str(tmp_path / "none")):
        if value is not None:
            monkeypatch.setenv("FUEL_DATA_PATH", value)
        data = load("mnist")
        assert (data.train.shape, data.test.shape) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
        assert data.path == search.EMBEDDED
        places = ([value] if value else []) + [str(search.own_folder())]
        assert data.note == (
            f"MNIST: no full data set in {', '.join(places)}; using the embedded 4,000 + 1,000 digits "
            "(--data-path FOLDER names another folder)"
        )


@pytest.mark.parametrize(("name", "recipe"), [("BARK", "BARK_LIKE"), ("DEAD_LEAVES", "DEAD_LEAVES")])
def test_recipe_replaces_missing_files_with_a_note(bare, name, recipe):
    data = load(name, first=(2, 1))
    assert (data.name, len(data.train), len(data.test)) == (recipe, 2, 1)
    assert data.note.startswith(f"{name}: no {name.lower()}.hdf5 in {bare}; using 2 + 1 images")


def test_own_folder_is_datasets_in_a_checkout():
    assert search.own_folder() == Path(__file__).parents[2] / "datasets"
    assert search.data_folder() == search.own_folder()


@pytest.mark.parametrize("variable", ["", None, "shared"], ids=["empty", "unset", "set"])
def test_own_folder_of_an_installation_is_the_users_data_folder(tmp_path, monkeypatch, variable):
    """Another package called datasets may be next to an installed wheel."""
    (tmp_path / "site-packages" / "datasets").mkdir(parents=True)
    (tmp_path / "site-packages" / "datasets" / "__init__.py").write_text("")
    monkeypatch.setattr(search, "CHECKOUT_FOLDER", tmp_path / "site-packages" / "datasets")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if variable is not None:
        monkeypatch.setenv("XDG_DATA_HOME", variable and str(tmp_path / variable))
    expected = tmp_path / "shared" / "dpm" if variable else tmp_path / ".local" / "share" / "dpm"
    assert search.own_folder() == expected
    assert search.data_folder() == expected


def test_other_files_and_folders_are_refused_with_the_way_to_convert_them(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"x\.npy': is not an HDF5 file; convert it: .* convert arrays --input"):
        load(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"is not an HDF5 file; convert it: .* convert images --input"):
        load(tmp_path)


def test_relative_xdg_data_home_is_ignored(tmp_path, monkeypatch):
    """XDG Base Directory Specification 0.8: all paths set in these variables must be absolute, others are ignored."""
    monkeypatch.setattr(search, "CHECKOUT_FOLDER", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert search.own_folder() == tmp_path / ".local" / "share" / "dpm"


def test_data_folder_is_the_first_folder_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FUEL_DATA_PATH", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert search.data_folder() == tmp_path / "a"


def test_name_may_be_a_path_object(tmp_path):
    path = write_set(tmp_path / "mine.hdf5", 7)
    data = load(path)
    assert (data.name, data.path, mark(data)) == ("mine", path, 7)


def test_idx_files_cannot_stay_on_the_disk(tmp_path):
    write_idx(tmp_path, 4)
    with pytest.raises(InputError, match=r"only \.hdf5 files are read in batches"):
        load("MNIST", tmp_path, in_memory=False)


@pytest.mark.parametrize("name", ["MNIST", "FASHION_MNIST", "CIFAR10", "IMAGENET"])
def test_missing_data_error_lists_folders_file_names_and_a_source(tmp_path, monkeypatch, bare, name):
    places = [tmp_path / "a", tmp_path / "b"]
    places[1].mkdir()
    monkeypatch.setenv("FUEL_DATA_PATH", os.pathsep.join(map(str, places)))
    with pytest.raises(InputError) as caught:
        load(name)
    message = str(caught.value)
    assert "\n" not in message
    assert f"in order: {places[0]} (does not exist), {places[1]}, {bare};" in message
    assert f"{name.lower()}.hdf5" in message
    assert search.ORIGIN[name] in message
    assert "--data-path" in message


@pytest.mark.parametrize("given", ["none", "empty", f"none{os.pathsep}empty", ""])
def test_wrong_data_path_never_falls_back_on_the_embedded_digits(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"data_path '{given}': no MNIST found") as caught:
        load("MNIST", given)
    assert "embedded" not in str(caught.value)


def test_damaged_file_is_an_error_and_not_skipped(tmp_path, monkeypatch):
    (tmp_path / "mnist.hdf5").write_bytes(b"half")
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"mnist\.hdf5: cannot be read as HDF5"):
        load("MNIST")


def test_file_without_a_test_set_is_an_error_that_lists_its_sets(tmp_path):
    path = tmp_path / "imagenet.hdf5"
    write_hdf5(path, {"train": {"features": images(1)}, "valid": {"features": images(1)}})
    with pytest.raises(InputError, match=r"imagenet\.hdf5: has no set 'test'; its sets: train, valid"):
        load("IMAGENET", tmp_path)


def test_file_without_features_is_an_error_that_lists_its_sources(tmp_path, golden):
    with pytest.raises(InputError, match=r"'features'.*available: image_features"):
        load("IMAGENET", golden / "fuel" / "vlen.hdf5")


def test_axis_labels_of_a_file_are_used(tmp_path):
    path = tmp_path / "last.hdf5"
    pixels = np.arange(2 * 27, dtype=np.uint8).reshape(2, 3, 3, 3)
    labels = {"features": ("batch", "height", "width", "channel")}
    write_hdf5(path, {"train": {"features": pixels}, "test": {"features": pixels}}, axis_labels=labels)
    np.testing.assert_array_equal(load("IMAGENET", path).train, pixels.transpose(0, 3, 1, 2))


def test_rgba_error_names_file_and_set(tmp_path):
    path = write_set(tmp_path / "rgba.hdf5", 3, (4, 8, 8))
    with pytest.raises(InputError, match=r"rgba\.hdf5, train: images of shape \(3, 4, 8, 8\)"):
        load("IMAGENET", path)


def test_load_reads_only_the_features(tmp_path):
    path = write_set(tmp_path / "mnist.hdf5", 3)
    with h5py.File(path, "a") as file:
        split = np.repeat(file.attrs["split"], 2)
        split["source"][::2] = b"names"
        file.attrs["split"] = split
        file.create_dataset("names", data=["a"] * 5, dtype=h5py.string_dtype())
    assert mark(load("MNIST", path)) == 3


def test_file_that_was_moved_is_found_by_its_folder_or_new_name(tmp_path):
    """`load("old/x.hdf5", data_path=...)`: the path names where the file is now."""
    write_set(tmp_path / "new" / "x.hdf5", 40)
    other = write_set(tmp_path / "other.hdf5", 41)
    old = tmp_path / "old" / "x.hdf5"
    folders = os.pathsep.join([str(tmp_path / "none"), str(tmp_path / "new")])
    assert [mark(load(old, place)) for place in (tmp_path / "new", folders, other)] == [40, 40, 41]
    with pytest.raises(InputError, match=r"data set .*x\.hdf5: no file .*x\.hdf5; if x\.hdf5 was moved, --data-path"):
        load(old)
    with pytest.raises(InputError, match=r"data_path .*: no file .*old; if x\.hdf5 was moved"):
        load(old, tmp_path / "old")


def test_names_of_files_and_folders_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert search.canonical_name("sub/x.hdf5") == str(tmp_path / "sub" / "x.hdf5")
    two = os.pathsep.join(["a", "b"])
    assert search.absolute_data_path(two) == os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])


def test_data_path_of_fuels_settings_is_searched(tmp_path, monkeypatch):
    """The environment overrides the file, as in Fuel."""
    (tmp_path / "fuelrc").write_text(f"data_path: {tmp_path / 'a'}:~/b\n")
    monkeypatch.setenv("FUEL_CONFIG", str(tmp_path / "fuelrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FUEL_DATA_PATH", raising=False)
    assert search.default_folders() == [tmp_path / "a", tmp_path / "b", search.own_folder()]
    monkeypatch.setenv("FUEL_DATA_PATH", "")
    assert search.default_folders() == [search.own_folder()]
