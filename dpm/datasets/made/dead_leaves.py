"""Dead leaves: images of discs that occlude one another, a model of natural images with known statistics."""

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.made.generators import check_count

# Pairs of an uncovered pixel and a leaf per round; limits the memory, and is fastest if the pairs fit into the cache.
PAIRS = 2**15
#: Smallest radius in pixels. The diffusion paper states none; docs/data.md has the reason for this one.
R_MIN = 4.0


def dead_leaves(
    rng: np.random.Generator,
    n: int,
    width: int = 32,
    r_min: float = R_MIN,
    r_max: float = 16.0,
    intensities: np.ndarray | None = None,
) -> np.ndarray:
    """Draw exact samples of the dead leaves model (Jeulin 1997; Lee, Mumford & Huang 2001), without border effects.

    Disc centers are a Poisson process in the plane; the density of the radii is proportional to r^-3 from r_min to
    r_max. Each disc has one gray value; a pixel has the value of the top disc over its center. Leaves are drawn from
    the top down until all pixels are covered, which gives the stationary distribution (Kendall & Thonnes 1999). The
    diffusion paper does not state its r_min and r_max. Time grows as width^4 / r_min^2.

    Args:
        rng: Source of randomness. Images are drawn one after the other: the first ones do not depend on `n`.
        n: Number of images.
        width: Height and width in pixels.
        r_min: Smallest radius in pixels.
        r_max: Largest radius in pixels.
        intensities: Gray values to draw from, with repeats, (m,), such as the pixels of photographs; uniform on
            [0, 1] if None.

    Returns:
        float64 (n, 1, width, width).

    Raises:
        InputError: If n < 1 or width < 1, unless 0 < r_min < r_max, or if the intensities are not a non-empty 1-d
            array of finite numbers.
    """
    check_count("n", n)
    check_count("width", width)
    _check_radii(r_min, r_max)
    if intensities is not None:
        intensities = _check_intensities(intensities)
    images = np.empty((n, 1, width, width))
    for image in images[:, 0]:
        _cover(rng, image, r_min, r_max, intensities)
    return images


def same_leaf_probability(distance: np.ndarray | float, r_min: float, r_max: float) -> np.ndarray:
    """Return the probability that two points are in the same leaf of `dead_leaves` (Lee, Mumford & Huang 2001).

    It is E[area of the intersection] / E[area of the union] of two discs with the same radius, of density r^-3, whose
    centers are `distance` apart: 1 at distance 0, and 0 from 2 r_max on.

    Args:
        distance: Distances in pixels, of any shape.
        r_min: Smallest radius in pixels.
        r_max: Largest radius in pixels.

    Returns:
        float64 of the shape of `distance`, accurate to 1e-7.

    Raises:
        InputError: If a distance is negative or NaN, or unless 0 < r_min < r_max.
    """
    distances = np.asarray(distance, dtype=np.float64)
    negative = ~(distances >= 0)
    if negative.any():
        raise InputError(f"distance={distances[negative][0]}: must be 0 or more, in pixels")
    _check_radii(r_min, r_max)
    both = np.array([_intersection(d, r_min, r_max) for d in distances.ravel()]).reshape(distances.shape)
    return both / (2 * np.pi - both)


def _intersection(distance: float, r_min: float, r_max: float) -> float:
    """Return the area of intersection over r^2, averaged over log r; it is pi for distance 0."""
    from scipy.integrate import quad  # slow to import, and not needed for training

    ratio = r_max / r_min

    def lens(u: float) -> float:
        half = min(distance / (2 * r_min * ratio**u), 1.0)
        return 2 * (np.arccos(half) - half * np.sqrt(1 - half**2))

    smallest = np.log(max(distance / (2 * r_min), 1.0)) / np.log(ratio)
    return quad(lens, smallest, 1)[0] if smallest < 1 else 0.0


def _cover(
    rng: np.random.Generator, image: np.ndarray, r_min: float, r_max: float, intensities: np.ndarray | None
) -> None:
    """Fill a square image from the top leaf down, in rounds of many leaves."""
    side = len(image) - 1.0
    weights = _radius_weights(side, r_min, r_max)
    # A leaf covers a pixel with probability pi / 4 of the last share: after 3 times its inverse, 5% are uncovered.
    enough = int(np.ceil(12 / np.pi * weights.sum() / weights[2]))
    grid = np.arange(len(image))[:, None]
    row, column = np.indices(image.shape).reshape(2, -1)
    while row.size:
        count = max(1, min(PAIRS // row.size, enough))
        r = _radii(rng, count, weights / weights.sum(), r_min, r_max)
        x, y = rng.uniform(-r, side + r, (2, count))
        values = rng.uniform(size=count) if intensities is None else rng.choice(intensities, count)
        covers = ((grid - y) ** 2)[row] <= (r**2 - (grid - x) ** 2)[column]
        top = covers.argmax(1)
        is_open = ~covers[np.arange(top.size), top]
        # Pixels that are still uncovered are overwritten in a later round.
        image[row, column] = values[top]
        row, column = row[is_open], column[is_open]


def _radius_weights(side: float, r_min: float, r_max: float) -> np.ndarray:
    """Return the integrals of the three terms of r^-3 (side + 2 r)^2.

    The sum is the density of the radii of leaves centered in the box that contains every leaf that meets the frame.
    `side` is the distance between the outer pixel centers. Leaves in the corners that miss the frame have no effect.
    """
    largest, smallest = 1 / r_min, 1 / r_max
    integrals = np.array([(largest**2 - smallest**2) / 2, largest - smallest, np.log(r_max / r_min)])
    return np.array([side**2, 4 * side, 4.0]) * integrals


def _radii(rng: np.random.Generator, count: int, shares: np.ndarray, r_min: float, r_max: float) -> np.ndarray:
    """Draw radii from a mixture of the densities r^-3, r^-2 and r^-1, each by inversion of its distribution."""
    largest, smallest = 1 / r_min, 1 / r_max
    term = rng.choice(3, count, p=shares)
    u = rng.uniform(size=count)
    inverted = [
        1 / np.sqrt(largest**2 + u * (smallest**2 - largest**2)),
        1 / (largest + u * (smallest - largest)),
        r_min * (r_max / r_min) ** u,
    ]
    return np.choose(term, inverted)


def _check_radii(r_min: float, r_max: float) -> None:
    if not 0 < r_min < r_max < np.inf:
        raise InputError(f"r_min={r_min}, r_max={r_max}: must be finite with 0 < r_min < r_max, in pixels")


def _check_intensities(intensities: np.ndarray) -> np.ndarray:
    values = np.asarray(intensities)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise InputError(
            f"intensities of shape {values.shape} and type {values.dtype}: must be 1-d, with one or more numbers, all "
            "finite; ravel() images first"
        )
    return values.astype(np.float64)
