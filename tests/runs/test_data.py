"""From flags to scaled images: the same numbers from memory and disk, and crops of larger images."""

import json

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.commands.train import main as train_main
from dpm.datasets.stored import PreparedImages, StoredImages
from dpm.runs.data import load_data, validation_start
from dpm.runs.flags import parse_flags
from dpm.runs.settings import Settings
from tests.helpers import runs

LEVELS = runs.pixels(40), runs.pixels(10, seed=1)
KINDS = {
    "uint8": lambda x: x,
    "unit": lambda x: (x / 255).astype(np.float32),
    "levels as floats": lambda x: x.astype(np.float64),
}


def prepare(folder, *flags, train=LEVELS[0], test=LEVELS[1]):
    path = runs.write_data(folder, train, test, "x.hdf5")
    given = parse_flags(["--dataset", str(path), "--quiet", *map(str, flags)])
    return load_data(Settings.from_arguments(**given))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_same_images_in_any_value_range_give_the_same_numbers(tmp_path, kind):
    """Levels 0..255, floats 0..255 and floats in [0, 1] of the same images give the same model units bit for bit."""
    expected = prepare(tmp_path)
    data = prepare(tmp_path, train=kind(LEVELS[0]), test=kind(LEVELS[1]))
    np.testing.assert_array_equal(data.test, expected.test)
    np.testing.assert_allclose(data.train, expected.train, rtol=1e-6)
    assert data.quantized


@pytest.mark.parametrize("kind", [*KINDS.values(), lambda x: x * 0.37 - 11.0], ids=[*KINDS, "continuous"])
def test_data_read_from_disk_equal_data_in_memory(tmp_path, kind):
    sets = {"train": kind(LEVELS[0]), "test": kind(LEVELS[1])}
    here, disk = (prepare(tmp_path, "--in-memory", choice, **sets) for choice in ("yes", "no"))
    assert isinstance(disk.train, PreparedImages)
    assert isinstance(disk.train.images, StoredImages)
    assert (here.in_memory, disk.in_memory) == (True, False)
    np.testing.assert_array_equal(disk.train[:], here.train)
    np.testing.assert_array_equal(disk.test, here.test)
    assert {k: getattr(disk, k) for k in ("hash", "range", "scaling", "quantized")} == {
        k: getattr(here, k) for k in ("hash", "range", "scaling", "quantized")
    }


def test_scale_and_shift_use_all_training_pixels(tmp_path):
    data = prepare(tmp_path)
    unit = LEVELS[0] / 255
    assert data.scaling.scale == pytest.approx(1 / unit.std(), rel=1e-6)
    assert data.scaling.shift == pytest.approx(-unit.mean() / unit.std(), rel=1e-6)


def test_auto_storage_depends_on_the_memory_of_the_machine(tmp_path, monkeypatch):
    assert prepare(tmp_path).in_memory
    monkeypatch.setattr("dpm.datasets.search.memory_bytes", lambda: 4 * 4 * 50 * runs.WIDTH**2 - 1)
    data = prepare(tmp_path)
    assert not data.in_memory
    assert "read from the disk in batches" in data.units


def test_only_hdf5_files_are_read_in_batches(tmp_path, golden):
    given = {"dataset": "CIFAR10", "data_path": str(tmp_path), "in_memory": "no", "quiet": True}
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"only \.hdf5 files are read in batches.*convert"):
        load_data(Settings.from_arguments(**given))


def test_crop_cuts_test_images_into_all_their_crops(tmp_path):
    wide = np.random.default_rng(0).integers(0, 256, (3, 1, 9, 14), np.uint8)
    data = prepare(tmp_path, "--crop", 4, train=wide, test=wide[:2])
    assert data.train.shape == (3, 1, 9, 14)
    assert data.test.shape == (2 * 2 * 3, 1, 4, 4)
    units = data.train
    np.testing.assert_array_equal(data.test[0, 0], units[0, 0, :4, :4])
    np.testing.assert_array_equal(data.test[5, 0], units[0, 0, 4:8, 8:12])
    np.testing.assert_array_equal(data.test[6, 0], units[1, 0, :4, :4])


def test_crop_larger_than_the_images_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"--crop: 9 is larger than the images, 8 x 8"):
        prepare(tmp_path, "--crop", 9)


def test_images_that_are_not_square_are_refused_without_crop(tmp_path):
    wide = np.random.default_rng(0).integers(0, 256, (3, 1, 9, 14), np.uint8)
    with pytest.raises(InputError, match=r"images of shape \(3, 1, 9, 14\); accepted are square"):
        prepare(tmp_path, train=wide, test=wide)


def test_constant_images_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\(train\): every value is 7"):
        prepare(tmp_path, train=np.full((5, 1, 8, 8), 7, np.uint8))


@pytest.fixture
def train(tmp_path, monkeypatch):
    runs.share_compiled(monkeypatch)
    runs.without_plots(monkeypatch)
    runs.write_data(tmp_path, *LEVELS)
    return lambda name, *flags: runs.train(tmp_path / name, tmp_path, "--in-memory", "no", *flags)


@pytest.mark.thorough
def test_run_from_disk_resumes_bit_for_bit(train):
    straight = train("straight", "--epochs", 3)
    stopped = train("stopped", "--epochs", 1)
    assert train_main(["--resume-file", str(stopped / "checkpoint.h5"), "--epochs", "3"]) == 0
    assert runs.same(straight, stopped)
    config = json.loads((stopped / "config.json").read_text())
    assert config["data"]["in_memory"] is False


@pytest.mark.thorough
def test_run_with_automatic_disk_storage_resumes_from_disk(train, monkeypatch):
    """The order of the minibatches differs between memory and disk."""
    monkeypatch.setattr("dpm.datasets.search.memory_bytes", lambda: 1)
    stopped = train("auto", "--in-memory", "auto", "--epochs", 1)
    monkeypatch.undo()
    config = json.loads((stopped / "config.json").read_text())
    assert config["data"]["in_memory"] is False
    settings = Settings.from_checkpoint(config, stopped / "config.json")
    data = load_data(settings, config["data"])
    assert data.in_memory is False


def test_validation_set_is_the_last_sixth():
    """The last 10,000 of MNIST's 60,000 training digits; each part has at least one example."""
    assert [validation_start(n) for n in (60_000, 4000, 2)] == [50_000, 3334, 1]
    with pytest.raises(InputError, match="1 example is too few"):
        validation_start(1)
