"""How many samples of digits a classifier can read, next to real digits.

python -m benchmarks.legibility SAMPLES.npz [SAMPLES.npz ...]

Each file holds an array X (n, 1, 28, 28) with pixels in [0, 1], as sample.py writes them. The classifier compares an
image with the 4,000 embedded training digits: ten nearest neighbors by the cosine of slightly blurred images
(scikit-learn, extra baselines). A sample is legible if at least nine of the ten have one label, and if it is as near to
them as 95 % of the test digits are to their neighbors. The second condition is needed, since a classifier without it,
such as a support vector machine, is sure of most images of noise. Printed are the share of legible samples and its
standard error, and the same for the 1,000 test digits and for test digits with shuffled pixels, which nobody can read.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.neighbors import KNeighborsClassifier

from dpm.datasets.search import EMBEDDED

N_TRAIN = 4000
NEIGHBORS = 10
LEGIBLE = 0.9  # share of the neighbors with one label
NEAR = 0.95  # share of the test digits that count as near to their neighbors
BLUR = 1.0  # pixels


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the embedded digits, (5000, 28, 28) in [0, 1], and their labels, training digits first."""
    with h5py.File(EMBEDDED) as file:
        return file["features"][:, 0] / 255, file["targets"][:].ravel()


class Reader:
    """Classifier of digits that can say that an image is none.

    Args:
        X: training digits, (n, 28, 28).
        labels: their labels, (n,).
        test: digits that decide what is near.
    """

    def __init__(self, X: np.ndarray, labels: np.ndarray, test: np.ndarray) -> None:
        self.classifier = KNeighborsClassifier(NEIGHBORS, metric="cosine").fit(blur(X), labels)
        self.farthest = float(np.quantile(self.distances(test), NEAR))

    def distances(self, X: np.ndarray) -> np.ndarray:
        """Return the mean distance of images (n, 28, 28) to their neighbors, (n,)."""
        return self.classifier.kneighbors(blur(X))[0].mean(axis=1)

    def accuracy(self, X: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of right labels."""
        return float(self.classifier.score(blur(X), labels))

    def read(self, X: np.ndarray) -> np.ndarray:
        """Return which images are legible, (n,) of bool."""
        sure = self.classifier.predict_proba(blur(X)).max(axis=1) >= LEGIBLE
        return sure & (self.distances(X) <= self.farthest)


def blur(X: np.ndarray) -> np.ndarray:
    """Return blurred images as vectors, (n, 784)."""
    return gaussian_filter(X, (0, BLUR, BLUR)).reshape(len(X), -1)


def estimate_share(legible: np.ndarray) -> tuple[float, float]:
    """Return the mean and its standard error."""
    mean = float(legible.mean())
    return mean, float(np.sqrt(mean * (1 - mean) / len(legible)))


def load_samples(path: Path) -> np.ndarray:
    """Return the images of a file, (n, 28, 28), cut to [0, 1]."""
    with np.load(path) as file:
        X = file["X"]
    if X.shape[1:] != (1, 28, 28):
        raise SystemExit(f"{path}: images of shape {X.shape[1:]}; expected (1, 28, 28)")
    return np.clip(X[:, 0], 0, 1)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("samples", nargs="+", type=Path)
    options = parser.parse_args()
    X, labels = load_digits()
    test, test_labels = X[N_TRAIN:], labels[N_TRAIN:]
    reader = Reader(X[:N_TRAIN], labels[:N_TRAIN], test)
    print(
        f"classifier: {reader.accuracy(test, test_labels):.1%} of the {len(test):,} test digits have the right label\n"
    )
    pixels = test.reshape(len(test), -1)
    shuffled = np.random.default_rng(0).permuted(pixels, axis=1).reshape(test.shape)
    rows = {"test digits": test, "test digits, pixels shuffled": shuffled}
    rows |= {str(path): load_samples(path) for path in options.samples}
    print("| images | number | legible |\n|---|---|---|")
    for name, images in rows.items():
        mean, error = estimate_share(reader.read(images))
        print(f"| {name} | {len(images):,} | {mean:.1%} ± {error:.1%} |")


if __name__ == "__main__":
    main()
