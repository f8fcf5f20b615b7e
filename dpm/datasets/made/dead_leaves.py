"""Dead leaves: pictures of discs that hide one another, an occlusion model of natural images, and its known law."""

import numpy as np

from dpm.base.errors import InputError
from dpm.datasets.made.generators import check_count

# Pairs of an open pixel and a leaf looked at in one round; bounds the memory, and is quickest where a cache holds it.
PAIRS = 2**15


def dead_leaves(
    rng: np.random.Generator,
    n: int,
    width: int = 32,
    r_min: float = 1.0,
    r_max: float = 16.0,
    intensities: np.ndarray | None = None,
) -> np.ndarray:
    """Exact draws of the dead leaves model (Jeulin 1997; Lee, Mumford & Huang 2001), with no effect of the border.

    Discs fall with centers of a Poisson process in the plane and radii of density proportional to r^-3 from r_min to
    r_max, in pixels; each has one gray value, and a pixel that of the top disc over its center. Leaves are drawn from
    the top down until none of the pixels is open, which gives the stationary law (Kendall & Thonnes 1999). The
    diffusion paper does not state its r_min and r_max. Time grows as width^4 / r_min^2.
    intensities: the values to draw from, with repeats (1-d, say the pixels of photographs); None: uniform on [0, 1].
    Images are drawn one after the other from rng: the first do not depend on n.
    Returns float64 of shape (n, 1, width, width). Raises InputError if n < 1, width < 1, the radii are not
    0 < r_min < r_max, or the intensities are not a 1-d array of one or more finite numbers.
    """
    check_count("n", n)
    check_count("width", width)
    _check_radii(r_min, r_max)
    if intensities is not None:
        intensities = _checked(intensities)
    images = np.empty((n, 1, width, width))
    for image in images[:, 0]:
        _cover(rng, image, r_min, r_max, intensities)
    return images


def same_leaf_probability(distance: np.ndarray | float, r_min: float, r_max: float) -> np.ndarray:
    """Probability that two points lie in the same leaf of `dead_leaves` (Lee, Mumford & Huang 2001).

    E[area of the intersection] / E[area of the union] of two discs of one radius r of density r^-3, their centers
    `distance` apart: 1 at 0, and 0 from 2 r_max on.
    distance: any shape, in pixels. Returns float64 of its shape, accurate to 1e-7.
    Raises InputError if a distance is not 0 or more, or the radii are not 0 < r_min < r_max.
    """
    distances = np.asarray(distance, dtype=np.float64)
    negative = ~(distances >= 0)
    if negative.any():
        raise InputError(f"distance={distances[negative][0]}: must be 0 or more, in pixels")
    _check_radii(r_min, r_max)
    both = np.array([_intersection(d, r_min, r_max) for d in distances.ravel()]).reshape(distances.shape)
    return both / (2 * np.pi - both)


def _intersection(distance: float, r_min: float, r_max: float) -> float:
    """Area of intersection over r^2, averaged over log r: in proportion to its mean under r^-3, as pi is to a disc."""
    from scipy.integrate import quad  # a third of a second, which no training needs

    ratio = r_max / r_min

    def lens(u: float) -> float:
        half = min(distance / (2 * r_min * ratio**u), 1.0)
        return 2 * (np.arccos(half) - half * np.sqrt(1 - half**2))

    smallest = np.log(max(distance / (2 * r_min), 1.0)) / np.log(ratio)
    return quad(lens, smallest, 1)[0] if smallest < 1 else 0.0


def _cover(
    rng: np.random.Generator, image: np.ndarray, r_min: float, r_max: float, intensities: np.ndarray | None
) -> None:
    """Fill a square image, a block of leaves a round, the top ones first."""
    side = len(image) - 1.0
    weights = _radius_weights(side, r_min, r_max)
    # A leaf covers a given pixel with probability pi / 4 of the last share: three times its inverse leaves 5 per cent.
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
        # The value of a pixel still open is written over in a later round.
        image[row, column] = values[top]
        row, column = row[is_open], column[is_open]


def _radius_weights(side: float, r_min: float, r_max: float) -> np.ndarray:
    """Integrals of the three terms of r^-3 (side + 2 r)^2.

    This is the density of the radii of the leaves with a center in the box that holds all leaves that meet the frame,
    a square of that side between the outer pixel centers. Those in its corners that miss the frame change nothing.
    """
    largest, smallest = 1 / r_min, 1 / r_max
    integrals = np.array([(largest**2 - smallest**2) / 2, largest - smallest, np.log(r_max / r_min)])
    return np.array([side**2, 4 * side, 4.0]) * integrals


def _radii(rng: np.random.Generator, count: int, shares: np.ndarray, r_min: float, r_max: float) -> np.ndarray:
    """Radii of density r^-3, r^-2 and r^-1 with the given shares, each by inversion of its distribution function."""
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


def _checked(intensities: np.ndarray) -> np.ndarray:
    values = np.asarray(intensities)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise InputError(
            f"intensities of shape {values.shape} and type {values.dtype}: must be 1-d, with one or more numbers, all "
            "finite; ravel() pictures first"
        )
    return values.astype(np.float64)
