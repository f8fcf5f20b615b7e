"""Choose the smallest radius of dead leaves: the table in docs/results/README.md.

    python -m benchmarks.dead_leaves [R_MIN ...]

For each radius: visible leaves per pixel; the largest K of a model that knows which pixels are in one leaf; and log p
of a conditional mixture (radius 2, floor 1e-5, 10 or 30 components, 20,000 patches) of 1,500 images, on 200 others,
as they are and with the noise of beta_1. All in bits/pixel of images with mean 0 and variance 1. Takes a minute or two.
"""

import sys

import numpy as np

from dpm.datasets.made.dead_leaves import dead_leaves
from dpm.datasets.made.recipes import draw_sets
from dpm.likelihood.conditional_mixture import ConditionalMixture, draw_patches
from dpm.likelihood.density_models import gaussian_mixture
from dpm.likelihood.standard_errors import Estimate, estimate

RADII = (2.0, 3.0, 4.0)  # r_min, pixels
BETA_1 = 0.002
WIDTH, R_MAX = 32, 16.0
N_LEAVES, N_TRAIN, N_TEST = 300, 1500, 200
PATCHES, COMPONENTS, FLOOR, RADIUS = 20_000, (10, 30), 1e-5, 2


def count_leaves(r_min: float) -> tuple[float, float]:
    """Return leaves per pixel, and the largest K that is possible if the partition into leaves is known, bits/pixel.

    K is at most E[log p(x_1)] for data of variance 1. Given the partition, the n pixels of a leaf share a gray
    value, which is uniform with variance 1, and each has independent noise of variance beta_1. Their entropy is the
    entropy of the noise plus the mutual information between their mean and the gray value.
    """
    leaves, bits = [], []
    noise = np.log2(2 * np.pi * np.e * BETA_1) / 2
    for image in dead_leaves(np.random.default_rng(0), N_LEAVES, WIDTH, r_min, R_MAX):
        pixels = np.unique(image, return_counts=True)[1]
        information = np.log2(np.sqrt(12)) - noise + np.log2(pixels) / 2
        leaves.append(len(pixels) / image.size)
        bits.append(-noise - information.sum() / image.size)
    return float(np.mean(leaves)), float(np.mean(bits))


def fit_mixtures(r_min: float) -> list[Estimate]:
    """Return log p of the test images, bits/pixel: without the noise of beta_1 and with it, by components."""
    rng = np.random.default_rng(0)
    sets = draw_sets("DEAD_LEAVES", N_TRAIN, N_TEST, WIDTH, 0, quiet=True, r_min=r_min)
    train, test = (sets[part]["features"] for part in ("train", "test"))
    shift, scale = train.mean(), train.std()
    scaled = [(images - shift) / scale for images in (train, test)]
    figures = []
    for variance in (0.0, BETA_1):
        noisy = [add_noise(images, 1 / scale, variance, rng) for images in scaled]
        for components in COMPONENTS:
            figures.append(estimate(score_mixture(*noisy, rng, components)))
    return figures


def add_noise(images: np.ndarray, width: float, variance: float, rng: np.random.Generator) -> np.ndarray:
    """Return images with uniform noise, and diffused by one step of rate `variance`."""
    uniform = images + width * (rng.random(images.shape) - 0.5)
    return np.sqrt(1 - variance) * uniform + np.sqrt(variance) * rng.standard_normal(images.shape)


def score_mixture(
    train: np.ndarray,
    test: np.ndarray,
    rng: np.random.Generator,
    components: int,
    radius: int = RADIUS,
    n_patches: int = PATCHES,
) -> np.ndarray:
    """Fit a conditional mixture to gray images and return log p of each test image in bits/pixel, (n,)."""
    patches = draw_patches(train, radius, rng, n_patches)
    mixture = gaussian_mixture(patches, rng, "full", FLOOR, components)
    nats = ConditionalMixture(mixture, test.shape[1:], radius).score_samples(test.reshape(len(test), -1))
    return nats / np.log(2) / np.prod(test.shape[1:])


def main(radii: tuple[float, ...]) -> None:
    """Print a table with a row for each radius."""
    log_p = " | ".join(f"log p({x}), {n} components" for x in ("x_0", "x_1") for n in COMPONENTS)
    print(f"| r_min | leaves per pixel | K, partition known | {log_p} |\n|---|---|---|---|---|---|---|")
    for r_min in radii:
        leaves, ceiling = count_leaves(r_min)
        figures = " | ".join(f"{value:.3f} ± {error:.3f}" for value, error in fit_mixtures(r_min))
        print(f"| {r_min:g} | {leaves:.4f} | {ceiling:.3f} | {figures} |", flush=True)


if __name__ == "__main__":
    main(tuple(map(float, sys.argv[1:])) or RADII)
