"""Synthetic data sets by name, with their default sizes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dpm.base.errors import InputError
from dpm.base.progress import Progress
from dpm.datasets.made.bark_like import bark_like
from dpm.datasets.made.dead_leaves import R_MIN, dead_leaves
from dpm.datasets.made.generators import check_count, heartbeat, swiss_roll

#: Examples are drawn in blocks of this size, each block from its own generator, so that the first examples do not
#: depend on the number of examples.
BLOCK = 100
SWISS_ROLL_NOISE = 0.0024  # as in the experiment swissroll


@dataclass(frozen=True)
class Recipe:
    """A synthetic data set and its default sizes.

    Attributes:
        what: Short description.
        draw: Function draw(rng, n, size) of n examples.
        n_train: Default number of training examples.
        n_test: Default number of test examples.
        size: Default side of an image, or length of a vector.
        sizes: Smallest and largest accepted size.
        labels: Names of the axes.
    """

    what: str
    draw: Callable[..., np.ndarray]
    n_train: int
    n_test: int
    size: int
    sizes: tuple[int, int]
    labels: tuple[str, ...] = ("batch", "channel", "height", "width")


def _gray_leaves(
    rng: np.random.Generator, n: int, size: int, intensities: np.ndarray | None = None, r_min: float = R_MIN
) -> np.ndarray:
    """Draw dead leaves rounded to 8-bit pixels, since real-valued images with equal pixels have no density."""
    leaves = dead_leaves(rng, n, size, r_min, max(2 * r_min, size / 2), intensities)
    return np.rint(255 * leaves).astype(np.uint8)


RECIPES = {
    "DEAD_LEAVES": Recipe(
        "dead leaves: occluding discs, radii with a power law (Lee, Mumford & Huang 2001)",
        _gray_leaves,
        10_000,
        1_000,
        32,
        (1, 1024),
    ),
    "BARK_LIKE": Recipe("a procedural bark-like texture, not bark", bark_like, 64, 16, 256, (16, 1024)),
    "SWISSROLL": Recipe(
        "the swiss roll, points in the plane",
        lambda rng, n, size: swiss_roll(rng, n, SWISS_ROLL_NOISE),
        400_000,
        20_000,
        2,
        (2, 2),
        ("batch", "index"),
    ),
    "HEARTBEAT": Recipe(
        "heartbeats, binary sequences with a 1 in every fifth bin",
        lambda rng, n, size: heartbeat(rng, n, size),
        400_000,
        20_000,
        20,
        (5, 1000),
        ("batch", "index"),
    ),
}


def draw_sets(
    name: str,
    n_train: int,
    n_test: int,
    size: int,
    seed: int,
    quiet: bool = False,
    intensities: np.ndarray | None = None,
    r_min: float | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Draw the training and test set of a recipe.

    Args:
        name: A key of `RECIPES`.
        n_train: Number of training examples.
        n_test: Number of test examples.
        size: Side of an image, or length of a vector.
        seed: Seed of all examples.
        quiet: Show no progress.
        intensities: Only for DEAD_LEAVES: gray values in [0, 1] to draw from, (m,); uniform if None.
        r_min: Only for DEAD_LEAVES: smallest radius in pixels; R_MIN if None.

    Returns:
        {"train": {"features": (n_train, ...)}, "test": {"features": (n_test, ...)}}, for `write_hdf5`.

    Raises:
        InputError: If the name is unknown, a number is below 1 or the recipe does not accept the size.
    """
    if name not in RECIPES:
        raise InputError(f"data set {name!r} cannot be made; accepted are {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    low, high = recipe.sizes
    if not low <= size <= high:
        raise InputError(f"size={size}: {name} is made in sizes from {low} to {high}")
    for what, n in (("n", n_train), ("test", n_test)):
        check_count(what, n)
    given = {"intensities": intensities, "r_min": r_min}
    more = {option: value for option, value in given.items() if value is not None}
    if more and name != "DEAD_LEAVES":
        raise InputError(f"{next(iter(more))}: not accepted for {name}; only DEAD_LEAVES has it; leave it out")
    sets = {}
    with Progress(total=n_train + n_test, unit="example", desc=name, quiet=quiet) as bar:
        for number, (part, n) in enumerate((("train", n_train), ("test", n_test))):
            blocks = []
            for start in range(0, n, BLOCK):
                count = min(BLOCK, n - start)
                rng = np.random.default_rng([seed, number, start])
                blocks.append(recipe.draw(rng, count, size, **more))
                bar.update(count)
            sets[part] = {"features": np.concatenate(blocks)}
    return sets
