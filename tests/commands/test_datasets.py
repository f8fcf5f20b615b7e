"""dpm datasets: options, written files and printed text of each command."""

import gzip
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dpm.commands.datasets import main
from dpm.datasets import H5PYDataset, write_hdf5
from dpm.datasets.made.recipes import draw_sets

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (12, 3, 10, 10), np.uint8)
RANGE = f"{COLORS.min()}..{COLORS.max()}"


def images(path, part="train"):
    return H5PYDataset(path, (part,), sources=("features",)).get_data(request=slice(None))[0]


def pixels_of(path):
    """Read the pixels of a PNG, (h, w) or (h, w, 3)."""
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "holiday"
    folder.mkdir()
    for i, image in enumerate(COLORS):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A function that runs a command in tmp_path with an empty data folder and returns its output."""
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


def test_convert_images_writes_a_training_and_a_test_set(run, photos):
    shown = run("convert", "images", "--input", photos, "--size", 10, "--test-share", 0.25, "--output", "a.hdf5")
    train, test = images("a.hdf5"), images("a.hdf5", "test")
    assert (train.shape, test.shape) == ((9, 3, 10, 10), (3, 3, 10, 10))
    both = np.concatenate([train, test])
    assert sorted(map(np.ndarray.tobytes, both)) == sorted(map(np.ndarray.tobytes, COLORS))
    assert "train on it: python -m dpm train --dataset a.hdf5" in shown
    assert H5PYDataset("a.hdf5", ("train",)).axis_labels["features"] == ("batch", "channel", "height", "width")


def test_crops_of_an_image_stay_in_one_set(run, photos):
    run("convert", "images", "--input", photos, "--size", 4, "--crop", "random", "--crops", 3, "--output", "a.hdf5")

    def origins(part):
        found = set()
        for piece in images("a.hdf5", part):
            windows = np.lib.stride_tricks.sliding_window_view(COLORS, (3, 4, 4), axis=(1, 2, 3))[:, 0]
            (where,) = {int(w[0]) for w in np.argwhere((windows == piece).all(axis=(-3, -2, -1)))}
            found.add(where)
        return found

    train, test = origins("train"), origins("test")
    assert len(test) == 1
    assert not train & test
    assert len(train | test) == 12


def test_unreadable_images_stop_the_conversion_or_are_left_out(run, photos, capsys):
    """Both are named at once; a GIF next to them is counted."""
    for name in ("03.png", "07.png"):
        (photos / name).write_bytes((photos / name).read_bytes()[:60])
    Image.fromarray(COLORS[0, 0]).save(photos / "12.gif")
    convert = ("convert", "images", "--input", photos, "--size", 10, "--output", "a.hdf5")
    error = run(*convert, status=2)
    assert f"2 of 12 images cannot be read: {photos / '03.png'} (" in error
    assert f"{photos / '07.png'} (" in error
    assert not os.path.exists("a.hdf5")
    assert main([str(word) for word in (*convert, "--skip-unreadable")]) == 0
    left_out, skipped = capsys.readouterr().err.splitlines()
    assert left_out == f"warning: {photos}: left out as neither PNG nor JPEG: 1 .gif"
    assert skipped.startswith("warning: left out 2 of 12 images that cannot be read: ")
    run(*convert, "--skip-unreadable", "--quiet")
    assert len(images("a.hdf5")) + len(images("a.hdf5", "test")) == 10
    assert "--skip-unreadable does not apply" in run("convert", "MNIST", "--skip-unreadable", status=2)


def test_gray_and_the_default_file_in_the_data_folder(run, photos, tmp_path):
    run("convert", "images", "--input", photos, "--size", 5, "--gray", "--quiet")
    assert images(tmp_path / "data" / "holiday.hdf5").shape == (11, 1, 5, 5)


def test_convert_arrays_keeps_test_set_and_values(run):
    x = RNG.standard_normal((5, 6, 6, 3)).astype(np.float32)
    np.savez("x.npz", x_train=x, x_test=x[:2], y_train=np.arange(5))
    run("convert", "arrays", "--input", "x.npz", "--output", "x.hdf5")
    np.testing.assert_array_equal(images("x.hdf5"), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(images("x.hdf5", "test"), x[:2].transpose(0, 3, 1, 2))
    np.save("y.npy", COLORS)
    run("convert", "arrays", "--input", "y.npy", "--output", "y.hdf5")
    assert len(images("y.hdf5")) == 11


def idx(array):
    return gzip.compress(b"\0\0\x08\x03" + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def test_convert_mnist_reads_its_idx_files(run, tmp_path):
    train, test = RNG.integers(0, 256, (6, 28, 28), np.uint8), RNG.integers(0, 256, (2, 28, 28), np.uint8)
    (tmp_path / "raw").mkdir()
    for name, array in (("train", train), ("t10k", test)):
        (tmp_path / "raw" / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(array))
    run("convert", "MNIST", "--input", tmp_path / "raw")
    np.testing.assert_array_equal(images(tmp_path / "data" / "mnist.hdf5")[:, 0], train)
    np.testing.assert_array_equal(images(tmp_path / "data" / "mnist.hdf5", "test")[:, 0], test)


def test_convert_bark_reads_only_the_four_classes(run, tmp_path):
    (tmp_path / "textures" / "T03").mkdir(parents=True)
    for name in ("T01_01.jpg", "T03/T03_07.jpg", "T05_01.jpg"):
        Image.fromarray(RNG.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / "textures" / name)
    run("convert", "bark", "--input", "textures", "--size", 32, "--test-share", 0.5)
    for part in ("train", "test"):
        assert images(tmp_path / "data" / "bark.hdf5", part).shape == (4, 1, 32, 32)


@pytest.mark.filterwarnings("ignore:Image.Image.getdata")
def test_convert_texture_writes_the_quarters_of_photographs(run, tmp_path):
    """Those of scikit-image have 512 x 512 pixels; put together again, each is whole."""
    data = pytest.importorskip("skimage.data")
    run("convert", "TEXTURE")
    path = tmp_path / "data" / "texture.hdf5"
    train, test = images(path), images(path, "test")
    assert (train.shape, test.shape) == ((9, 1, 256, 256), (3, 1, 256, 256))
    for i, photograph in enumerate((data.brick(), data.grass(), data.gravel())):
        upper = np.hstack(train[3 * i : 3 * i + 2, 0])
        np.testing.assert_array_equal(np.vstack([upper, np.hstack([train[3 * i + 2, 0], test[i, 0]])]), photograph)


def test_convert_texture_without_scikit_image_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    line = run("convert", "texture", status=2)
    assert line.endswith('scikit-image is not installed; take the extra: pip install -e ".[figures]"')


def test_make_takes_the_smallest_radius_of_leaves(run):
    import h5py

    run("make", "dead-leaves", "--n", 3, "--test", 1, "--size", 8, "--r-min", 3.5, "--output", "d.hdf5")
    np.testing.assert_array_equal(
        images("d.hdf5"), draw_sets("DEAD_LEAVES", 3, 1, 8, 0, r_min=3.5)["train"]["features"]
    )
    with h5py.File("d.hdf5") as file:
        assert "r_min 3.5" in file.attrs["dpm_origin"]
    assert "r_min=0.0" in run("make", "dead-leaves", "--r-min", 0, status=2)
    assert "r_min: not accepted for BARK_LIKE" in run("make", "bark-like", "--r-min", 2, status=2)


def test_make_writes_the_origin_of_the_data(run, tmp_path):
    import h5py

    run("make", "dead-leaves", "--n", 5, "--test", 2, "--size", 8, "--seed", 3)
    path = tmp_path / "data" / "dead_leaves.hdf5"
    assert images(path).shape == (5, 1, 8, 8)
    with h5py.File(path) as file:
        assert "seed 3" in file.attrs["dpm_origin"]
    run("make", "heartbeat", "--n", 5, "--test", 2, "--output", "h.hdf5")
    assert images("h.hdf5").sum(1).tolist() == [4] * 5


def test_make_draws_gray_values_from_a_file(run):
    levels = np.array([10, 20, 250], np.uint8)[RNG.integers(0, 3, (4, 1, 6, 6))]
    write_hdf5("grays.hdf5", {"train": {"features": levels}})
    run("make", "dead-leaves", "--n", 3, "--test", 1, "--size", 8, "--intensities", "grays.hdf5", "--output", "d.hdf5")
    assert set(np.unique(images("d.hdf5"))) == {10, 20, 250}
    line = run("make", "bark-like", "--n", 1, "--size", 16, "--intensities", "grays.hdf5", status=2)
    assert "intensities: not accepted for BARK_LIKE" in line


def test_info_prints_the_contents_and_writes_a_contact_sheet(run):
    write_hdf5("a.hdf5", {"train": {"features": COLORS, "targets": np.arange(12)}, "test": {"features": COLORS[:2]}})
    shown = run("info", "a.hdf5")
    assert f"{os.path.getsize('a.hdf5'):,} bytes" in shown
    digest = hashlib.sha256(COLORS.tobytes()).hexdigest()[:16]
    (line,) = [line for line in shown.splitlines() if line.startswith("train  features")]
    assert line.split() == ["train", "features", "12", "3", "x", "10", "x", "10", "uint8", RANGE, digest]
    assert "0..11" in shown
    assert pixels_of("a_sheet.png").shape[0] > 100


@pytest.mark.parametrize("array", [COLORS.astype(np.uint16) * 16, COLORS * 0 + 9, COLORS * 0.0 - 3])
def test_info_shows_any_numbers(run, array):
    """Integers that are no pixels, and images of one value, which cannot be trained on."""
    np.save("x.npy", array)
    assert "contact sheet: x_sheet.png" in run("info", "x.npy")


@pytest.mark.parametrize("kind", ["npz", "npy", "idx", "cifar"])
def test_info_reads_every_format(run, kind):
    gray = COLORS[:, 0]
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


def test_export_restores_the_images(run):
    write_hdf5("a.hdf5", {"train": {"features": COLORS}, "test": {"features": COLORS[:2]}})
    run("export", "a.hdf5")
    assert sorted(os.listdir("a_images")) == ["test", "train"]
    for i in (0, 11):
        pixels = pixels_of(f"a_images/train/{i:05d}.png")
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), COLORS[i])
    assert "a_images: exists" in run("export", "a.hdf5", status=2)
    run("export", "a.hdf5", "--to", "npz")
    with np.load("a.npz") as file:
        np.testing.assert_array_equal(file["test_features"], COLORS[:2])


def test_images_of_different_shapes_can_be_exported_and_converted(run, golden, tmp_path):
    run("export", golden / "fuel" / "vlen.hdf5")
    sizes = [pixels_of(f"vlen_images/train/{i:05d}.png").shape[:2] for i in range(4)]
    shapes = [
        image.shape[1:]
        for image in H5PYDataset(golden / "fuel" / "vlen.hdf5", ("train",)).get_data(request=slice(None))[0]
    ]
    assert sizes == shapes
    run("convert", "images", "--input", "vlen_images", "--size", 4, "--output", "b.hdf5")
    assert images("b.hdf5").shape == (5, 3, 4, 4)


def test_failed_export_leaves_nothing_behind(run, tmp_path):
    write_hdf5("a.hdf5", {"train": {"features": np.full((2, 1, 4, 4), 3.5)}})
    assert "are not pixels; export it --to npz" in run("export", "a.hdf5", status=2)
    assert sorted(os.listdir(tmp_path)) == ["a.hdf5", "data"]


def test_list_prints_every_data_set_and_how_to_get_it(run):
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


def test_list_prints_the_path_of_a_data_set_that_is_found(run, tmp_path):
    run("make", "bark-like", "--n", 1, "--test", 1, "--size", 16)
    assert str(tmp_path / "data" / "bark_like.hdf5") in run("list")
    assert f"new data sets are written to {tmp_path / 'data'}" in run("list")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("convert", "imagenet", "--input", "."), "imagenet: cannot be converted"),
        (("convert", "images"), "needs --input, a folder"),
        (("convert", "images", "--input", "holiday"), "needs --size"),
        (("convert", "images", "--input", "holiday", "--size", "0"), "size"),
        (("convert", "images", "--input", "holiday", "--size", "4", "--crops", "2"), "only to --crop random"),
        (("convert", "images", "--input", "holiday", "--size", "4", "--key", "x"), "--key does not apply"),
        (("convert", "images", "--input", "holiday", "--size", "4", "--test-share", "1"), "test_share: 1.0 of 12"),
        (("convert", "images", "--input", "holiday", "--size", "4", "--test-share", "0"), "test_share: 0.0 of 12"),
        (("convert", "images", "--input", "holiday", "--size", "4", "--output", "x.npz"), "does not end in .hdf5"),
        (("convert", "arrays", "--input", "nowhere.npz"), "nowhere.npz"),
        (("convert", "MNIST", "--size", "4"), "--size does not apply"),
        (("convert", "TEXTURE", "--size", "4"), "--size does not apply"),
        (("convert", "TEXTURE", "--input", "holiday"), "--input holiday: does not apply to convert TEXTURE"),
        (("convert", "CIFAR10", "--input", "holiday"), "holiday"),
        (("make", "bark"), "bark: cannot be made; accepted are DEAD_LEAVES"),
        (("info", "nowhere.hdf5"), "no such file"),
        (("info", "holiday/00.png"), "holiday/00.png"),
        (("export", "holiday"), "is not an .hdf5 file"),
        (("fetch", "bark"), "BARK"),
    ],
)
def test_errors_are_one_line_and_leave_nothing_behind(run, photos, tmp_path, arguments, words):
    line = run(*arguments, status=2)
    assert words in line
    assert sorted(os.listdir(tmp_path)) == ["data", "holiday"]
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no command given; expected one of list, fetch"),
        (("rotate",), "invalid choice: 'rotate'"),
        (("convert",), "NAME"),
        (("make", "heartbeat", "--n", "0"), "--n: 0 is not accepted"),
        (("make", "heartbeat", "--seed", "-1"), "--seed: -1 is not accepted"),
        (("convert", "images", "--crop", "left"), "invalid choice: 'left'"),
        (("convert", "images", "--crops", "0"), "--crops: 0 is not accepted"),
        (("info", "x", "--si", "4"), "--si"),
    ],
)
def test_wrong_command_line_is_a_one_line_error_with_status_2(capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    shown = capsys.readouterr()
    assert (stopped.value.code, shown.out) == (2, "")
    (line,) = shown.err.splitlines()
    assert line.startswith("dpm datasets")
    assert words in line


@pytest.mark.parametrize("command", ["list", "fetch", "convert", "make", "info", "export"])
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert command in capsys.readouterr().out


def test_error_line_of_the_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "dpm", "datasets", "info", "nowhere.hdf5"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dpm datasets: error: nowhere.hdf5: there is no such file")


def test_own_data_folder_is_created(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FUEL_DATA_PATH", str(tmp_path / "new" / "data"))
    assert main(["make", "heartbeat", "--n", "5", "--test", "2"]) == 0
    assert images(tmp_path / "new" / "data" / "heartbeat.hdf5").shape == (5, 20)
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'new' / 'data' / 'heartbeat.hdf5'}: ")


def test_bark_with_the_central_crop_has_one_window_per_image(run, tmp_path):
    (tmp_path / "textures").mkdir()
    for i in range(3):
        Image.fromarray(RNG.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / "textures" / f"T01_{i}.jpg")
    run("convert", "bark", "--input", "textures", "--size", 32, "--crop", "center", "--output", "b.hdf5")
    assert (len(images("b.hdf5")), len(images("b.hdf5", "test"))) == (2, 1)
