"""python -m dpm datasets, command by command: what is written is read back, what is said is true."""

import gzip
import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from dpm.commands import dataset_actions as commands
from dpm.commands.datasets import main
from dpm.datasets import H5PYDataset, write_hdf5

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (12, 3, 10, 10), np.uint8)
RANGE = f"{COLOURS.min()}..{COLOURS.max()}"


def images(path, part="train"):
    return H5PYDataset(path, (part,), sources=("features",)).get_data(slice(None))[0]


def picture(path):
    """(height, width) or (height, width, 3) pixels."""
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "holiday"
    folder.mkdir()
    for i, image in enumerate(COLOURS):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in tmp_path with its own empty data folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path / "data"))

    def run(*arguments, status=0):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == status
        shown = capsys.readouterr()
        if status:
            assert shown.out == ""
            (line,) = shown.err.splitlines()
            return line
        return shown.out

    return run


def test_a_folder_of_pictures_becomes_a_training_and_a_test_set(run, pictures):
    shown = run("convert", "pictures", "--input", pictures, "--size", 10, "--test-share", 0.25, "--output", "a.hdf5")
    train, test = images("a.hdf5"), images("a.hdf5", "test")
    assert (train.shape, test.shape) == ((9, 3, 10, 10), (3, 3, 10, 10))
    both = np.concatenate([train, test])
    assert sorted(map(np.ndarray.tobytes, both)) == sorted(map(np.ndarray.tobytes, COLOURS))
    assert "train on it: python train.py --dataset a.hdf5" in shown
    assert H5PYDataset("a.hdf5").axis_labels["features"] == ("batch", "channel", "height", "width")


def test_the_pieces_of_one_picture_stay_in_one_set(run, pictures):
    run("convert", "pictures", "--input", pictures, "--size", 4, "--crop", "random", "--crops", 3, "--output", "a.hdf5")

    def origins(part):
        found = set()
        for piece in images("a.hdf5", part):
            windows = np.lib.stride_tricks.sliding_window_view(COLOURS, (3, 4, 4), axis=(1, 2, 3))[:, 0]
            (where,) = {int(w[0]) for w in np.argwhere((windows == piece).all(axis=(-3, -2, -1)))}
            found.add(where)
        return found

    train, test = origins("train"), origins("test")
    assert len(test) == 1
    assert not train & test
    assert len(train | test) == 12


def test_gray_is_gray_and_the_default_file_lies_in_the_data_folder(run, pictures, tmp_path):
    run("convert", "pictures", "--input", pictures, "--size", 5, "--gray", "--quiet")
    assert images(tmp_path / "data" / "holiday.hdf5").shape == (11, 1, 5, 5)


def test_arrays_keep_their_test_set_and_their_numbers(run):
    x = RNG.standard_normal((5, 6, 6, 3)).astype(np.float32)
    np.savez("x.npz", x_train=x, x_test=x[:2], y_train=np.arange(5))
    run("convert", "arrays", "--input", "x.npz", "--output", "x.hdf5")
    np.testing.assert_array_equal(images("x.hdf5"), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(images("x.hdf5", "test"), x[:2].transpose(0, 3, 1, 2))
    np.save("y.npy", COLOURS)
    run("convert", "arrays", "--input", "y.npy", "--output", "y.hdf5")
    assert len(images("y.hdf5")) == 11


def idx(array):
    return gzip.compress(b"\0\0\x08\x03" + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def test_mnist_is_converted_from_its_four_files(run, tmp_path):
    train, test = RNG.integers(0, 256, (6, 28, 28), np.uint8), RNG.integers(0, 256, (2, 28, 28), np.uint8)
    (tmp_path / "raw").mkdir()
    for name, array in (("train", train), ("t10k", test)):
        (tmp_path / "raw" / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(array))
    run("convert", "MNIST", "--input", tmp_path / "raw")
    np.testing.assert_array_equal(images(tmp_path / "data" / "mnist.hdf5")[:, 0], train)
    np.testing.assert_array_equal(images(tmp_path / "data" / "mnist.hdf5", "test")[:, 0], test)


def test_bark_is_taken_from_the_four_classes_of_the_database_alone(run, tmp_path):
    (tmp_path / "textures" / "T03").mkdir(parents=True)
    for name in ("T01_01.jpg", "T03/T03_07.jpg", "T05_01.jpg"):
        Image.fromarray(RNG.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / "textures" / name)
    run("convert", "bark", "--input", "textures", "--size", 32, "--test-share", 0.5)
    for part in ("train", "test"):
        assert images(tmp_path / "data" / "bark.hdf5", part).shape == (4, 1, 32, 32)


def test_made_sets_are_written_with_their_origin(run, tmp_path):
    import h5py

    run("make", "dead-leaves", "--n", 5, "--test", 2, "--size", 8, "--seed", 3)
    path = tmp_path / "data" / "dead_leaves.hdf5"
    assert images(path).shape == (5, 1, 8, 8)
    with h5py.File(path) as file:
        assert "seed 3" in file.attrs["dpm_origin"]
    run("make", "heartbeat", "--n", 5, "--test", 2, "--output", "h.hdf5")
    assert images("h.hdf5").sum(1).tolist() == [4] * 5


def test_dead_leaves_take_their_grays_from_a_file_of_pictures(run):
    levels = np.array([10, 20, 250], np.uint8)[RNG.integers(0, 3, (4, 1, 6, 6))]
    write_hdf5("grays.hdf5", {"train": {"features": levels}})
    run("make", "dead-leaves", "--n", 3, "--test", 1, "--size", 8, "--intensities", "grays.hdf5", "--output", "d.hdf5")
    assert set(np.unique(images("d.hdf5"))) == {10, 20, 250}
    line = run("make", "bark-like", "--n", 1, "--size", 16, "--intensities", "grays.hdf5", status=2)
    assert "intensities: have no meaning for BARK_LIKE" in line


def test_info_says_what_is_there_and_draws_a_sheet(run):
    write_hdf5("a.hdf5", {"train": {"features": COLOURS, "targets": np.arange(12)}, "test": {"features": COLOURS[:2]}})
    shown = run("info", "a.hdf5")
    assert f"{os.path.getsize('a.hdf5'):,} bytes" in shown
    digest = hashlib.sha256(COLOURS.tobytes()).hexdigest()[:16]
    (line,) = [line for line in shown.splitlines() if line.startswith("train  features")]
    assert line.split() == ["train", "features", "12", "3", "x", "10", "x", "10", "uint8", RANGE, digest]
    assert "0..11" in shown
    assert picture("a_sheet.png").shape[0] > 100


@pytest.mark.parametrize("kind", ["npz", "npy", "idx", "cifar"])
def test_info_reads_every_kind_of_file(run, kind):
    gray = COLOURS[:, 0]
    if kind == "npz":
        np.savez("x.npz", a=gray)
    elif kind == "npy":
        np.save("x.npy", gray)
    elif kind == "idx":
        with open("x.idx", "wb") as file:
            file.write(gzip.decompress(idx(gray)))
    else:
        os.mkdir("cifar-10-batches-bin")
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            with open(f"cifar-10-batches-bin/{name}", "wb") as file:
                file.write(bytes([1]) + bytes(range(256)) * 12)
    name = "cifar-10-batches-bin" if kind == "cifar" else f"x.{kind}"
    shown = run("info", name)
    each = "3 x 32 x 32" if kind == "cifar" else "10 x 10"
    assert each in shown
    assert "uint8" in shown


def test_export_gives_the_pictures_back(run):
    write_hdf5("a.hdf5", {"train": {"features": COLOURS}, "test": {"features": COLOURS[:2]}})
    run("export", "a.hdf5")
    assert sorted(os.listdir("a_pictures")) == ["test", "train"]
    for i in (0, 11):
        pixels = picture(f"a_pictures/train/{i:05d}.png")
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), COLOURS[i])
    assert "a_pictures exists" in run("export", "a.hdf5", status=2)
    run("export", "a.hdf5", "--to", "npz")
    with np.load("a.npz") as file:
        np.testing.assert_array_equal(file["test_features"], COLOURS[:2])


def test_pictures_of_shapes_of_their_own_can_be_exported_and_converted(run, golden, tmp_path):
    run("export", golden / "fuel" / "vlen.hdf5")
    sizes = [picture(f"vlen_pictures/train/{i:05d}.png").shape[:2] for i in range(4)]
    shapes = [image.shape[1:] for image in H5PYDataset(golden / "fuel" / "vlen.hdf5").get_data(slice(None))[0]]
    assert sizes == shapes
    run("convert", "pictures", "--input", "vlen_pictures", "--size", 4, "--output", "b.hdf5")
    assert images("b.hdf5").shape == (5, 3, 4, 4)


def test_an_export_that_fails_leaves_nothing_behind(run, tmp_path):
    write_hdf5("a.hdf5", {"train": {"features": np.full((2, 1, 4, 4), 3.5)}})
    assert "are no pixels; export it --to npz" in run("export", "a.hdf5", status=2)
    assert sorted(os.listdir(tmp_path)) == ["a.hdf5", "data"]


def test_list_names_every_set_and_how_to_get_it(run):
    shown = run("list")
    for words in (
        "MNIST",
        "fetch FASHION_MNIST",
        "fetch CIFAR10",
        "convert BARK --input",
        "make DEAD_LEAVES",
        "SWISSROLL",
    ):
        assert words in shown


def test_what_is_found_is_listed_by_its_path(run, tmp_path):
    run("make", "bark-like", "--n", 1, "--test", 1, "--size", 16)
    assert str(tmp_path / "data" / "bark_like.hdf5") in run("list")
    assert str(commands.data_folder()) == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("convert", "imagenet", "--input", "."), "imagenet: cannot be converted"),
        (("convert", "pictures"), "needs --input, a folder"),
        (("convert", "pictures", "--input", "holiday"), "needs --size"),
        (("convert", "pictures", "--input", "holiday", "--size", "0"), "size"),
        (("convert", "pictures", "--input", "holiday", "--size", "4", "--crops", "2"), "only with --crop random"),
        (("convert", "pictures", "--input", "holiday", "--size", "4", "--key", "x"), "--key has no meaning"),
        (("convert", "pictures", "--input", "holiday", "--size", "4", "--test-share", "1"), "--test-share: 1.0 of 12"),
        (("convert", "pictures", "--input", "holiday", "--size", "4", "--output", "x.npz"), "does not end in .hdf5"),
        (("convert", "arrays", "--input", "nowhere.npz"), "nowhere.npz"),
        (("convert", "MNIST", "--size", "4"), "--size has no meaning"),
        (("convert", "CIFAR10", "--input", "holiday"), "holiday"),
        (("make", "bark"), "bark: cannot be made; accepted are DEAD_LEAVES"),
        (("info", "nowhere.hdf5"), "no such file"),
        (("info", "holiday/00.png"), "holiday/00.png"),
        (("export", "holiday"), "is not an .hdf5 file"),
        (("fetch", "bark"), "BARK"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(run, pictures, tmp_path, arguments, words):
    line = run(*arguments, status=2)
    assert words in line
    assert sorted(os.listdir(tmp_path)) == ["data", "holiday"]
    assert os.listdir(tmp_path / "data") == []
