"""Density of images as a product of conditionals of a Gaussian mixture on causal neighborhoods.

The model that Table 2 compares with, MCGSM (Theis, Hosseini and Bethge 2012), has the same factorization. It has
mixtures of Gaussian scale mixtures where this one has mixtures of Gaussians.
"""

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

PATCHES = 50_000  # largest number of patches that a mixture is fitted to
NUMBERS = 2**22  # numbers of all patches that are held at once: 32 MB


def causal_neighborhood(radius: int) -> list[tuple[int, int]]:
    """Return (row, column) of the pixels before a pixel in raster order, at most `radius` rows and columns away."""
    rows = [(row, column) for row in range(-radius, 0) for column in range(-radius, radius + 1)]
    return rows + [(0, column) for column in range(-radius, 0)]


def extract_patches(images: np.ndarray, radius: int) -> np.ndarray:
    """Return the causal neighborhood of each pixel, then the pixel, NaN where the neighborhood leaves the image.

    Args:
        images: (n, c, h, w).
        radius: of the neighborhood, in pixels.

    Returns:
        (n, h, w, m + 1, c), with m neighbors in the order of `causal_neighborhood`.
    """
    h, w = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (radius, 0), (radius, radius)), constant_values=np.nan)
    places = [(radius + row, radius + column) for row, column in [*causal_neighborhood(radius), (0, 0)]]
    patches = [padded[:, :, row : row + h, column : column + w] for row, column in places]
    return np.stack(patches, axis=2).transpose(0, 3, 4, 2, 1)


def draw_patches(images: np.ndarray, radius: int, rng: np.random.Generator, most: int = PATCHES) -> np.ndarray:
    """Return up to `most` different patches with complete neighborhoods, drawn from all, (N, (m + 1) c)."""
    n, _, h, w = images.shape
    size = (h - radius, w - 2 * radius)
    chosen = rng.permutation(n * size[0] * size[1])[:most]
    image, row, column = np.unravel_index(chosen, (n, *size))
    places = [*causal_neighborhood(radius), (0, 0)]
    patches = [images[image, :, radius + row + down, radius + column + across] for down, across in places]
    return np.stack(patches, axis=1).reshape(len(chosen), -1)


class ConditionalMixture:
    """log p(image) = sum over pixels in raster order of log p(pixel | the part of its neighborhood in the image).

    Each conditional is the ratio of two marginals of one mixture of Gaussians over patches, so it is exact, and p
    integrates to 1.

    Args:
        mixture: weights_ (K,), means_ (K, D) and covariances_ (K, D, D) of patches, as GaussianMixture of
            scikit-learn has them; D = (m + 1) c in the order of `extract_patches`.
        shape: (c, h, w) of an image.
        radius: of the neighborhood, in pixels.
    """

    def __init__(self, mixture: Any, shape: tuple[int, int, int], radius: int) -> None:
        self.mixture, self.shape, self.radius = mixture, shape, radius

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return log p of images (n, c h w) in nats per image, (n,)."""
        block = max(1, NUMBERS // (X.shape[1] * (len(causal_neighborhood(self.radius)) + 1)))
        return np.concatenate([self._score(X[start : start + block]) for start in range(0, len(X), block)])

    def _score(self, X: np.ndarray) -> np.ndarray:
        patches = extract_patches(X.reshape(-1, *self.shape), self.radius)
        # Pixels whose neighborhoods have the same part in the image share a mixture.
        inside = ~np.isnan(patches[0, ..., 0]).reshape(-1, patches.shape[3])
        patches = patches.reshape(len(X), *inside.shape, -1)
        total = np.zeros(len(X))
        for part in np.unique(inside, axis=0):
            pixels = (inside == part).all(axis=1)
            total += self.conditional(patches[:, pixels][:, :, part], part).sum(axis=1)
        return total

    def conditional(self, patches: np.ndarray, part: np.ndarray) -> np.ndarray:
        """Return log p(pixel | neighbors), (...), in nats.

        Args:
            patches: neighbors, then the pixel, (..., k, c).
            part: True for the k places of a whole patch that these are, (m + 1,).
        """
        c = self.shape[0]
        kept = np.repeat(part, c)
        flat = patches.reshape(-1, kept.sum())
        joint, neighbors = (np.empty((len(self.mixture.weights_), len(flat))) for _ in range(2))
        parameters = zip(self.mixture.weights_, self.mixture.means_, self.mixture.covariances_, strict=True)
        for k, (weight, mean, covariance) in enumerate(parameters):
            # The pixel is last, so the factor of the neighbors' covariance is the first part of this one.
            factor = np.linalg.cholesky(covariance[np.ix_(kept, kept)])
            white = solve_triangular(factor, (flat - mean[kept]).T, lower=True)
            terms = -(white**2) / 2 - np.log(np.diag(factor))[:, None] - np.log(2 * np.pi) / 2
            neighbors[k] = np.log(weight) + terms[:-c].sum(axis=0)
            joint[k] = neighbors[k] + terms[-c:].sum(axis=0)
        return (logsumexp(joint, axis=0) - logsumexp(neighbors, axis=0)).reshape(patches.shape[:-2])
