"""Data sets that are made, not measured: each by name, with its usual size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from dpm.base.errors import InputError
from dpm.datasets.made.bark_like import bark_like
from dpm.datasets.made.dead_leaves import dead_leaves
from dpm.datasets.made.generators import check_count, heartbeat, swiss_roll

#: Examples are drawn so many at a time, each block from a generator of its own: the first ones do not depend on
#: how many follow.
BLOCK = 100
SWISS_ROLL_NOISE = 0.0024  # of the experiment


@dataclass(frozen=True)
class Recipe:
    """How a data set is made.

    what: in a few words; draw(rng, n, size): n examples; n_train, n_test: how many are usual; size: the usual side of
    an image or length of a vector; sizes: the accepted ones, lowest and highest; labels: of the axes.
    """

    what: str
    draw: Callable[..., np.ndarray]
    n_train: int
    n_test: int
    size: int
    sizes: tuple[int, int]
    labels: tuple[str, ...] = ("batch", "channel", "height", "width")


def _gray_leaves(rng: np.random.Generator, n: int, size: int, intensities: np.ndarray | None = None) -> np.ndarray:
    """Dead leaves as 8-bit pixels: equal pixels of real numbers would have no density."""
    return np.rint(255 * dead_leaves(rng, n, size, r_max=max(2.0, size / 2), intensities=intensities)).astype(np.uint8)


RECIPES = {
    "DEAD_LEAVES": Recipe(
        "dead leaves: occluding discs, radii by a power law (Lee, Mumford & Huang 2001)",
        _gray_leaves,
        10_000,
        1_000,
        32,
        (1, 1024),
    ),
    "BARK_LIKE": Recipe("a procedural bark-like texture, which is no bark", bark_like, 64, 16, 256, (16, 1024)),
    "SWISSROLL": Recipe(
        "the swiss roll, points of the plane",
        lambda rng, n, size: swiss_roll(rng, n, SWISS_ROLL_NOISE),
        400_000,
        20_000,
        2,
        (2, 2),
        ("batch", "index"),
    ),
    "HEARTBEAT": Recipe(
        "heartbeats, bits with a 1 in every fifth bin",
        lambda rng, n, size: heartbeat(rng, n, size),
        400_000,
        20_000,
        20,
        (5, 1000),
        ("batch", "index"),
    ),
}


def image_sets(
    name: str,
    n_train: int,
    n_test: int,
    size: int,
    seed: int,
    quiet: bool = False,
    intensities: np.ndarray | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """{"train": {"features": (n_train, ...)}, "test": {"features": (n_test, ...)}} of a recipe, as write_hdf5 takes it.

    intensities: of DEAD_LEAVES alone: gray values 0..1 to draw from, (m,); uniform ones where left out.
    Raises InputError for an unknown name, a number below 1 and a size that the recipe does not accept.
    """
    if name not in RECIPES:
        raise InputError(f"data set {name!r} cannot be made; accepted are {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    low, high = recipe.sizes
    if not low <= size <= high:
        raise InputError(f"size={size}: {name} is made in sizes from {low} to {high}")
    for what, n in (("n", n_train), ("test", n_test)):
        check_count(what, n)
    if intensities is not None and name != "DEAD_LEAVES":
        raise InputError(f"intensities: have no meaning for {name}; they are the gray values of DEAD_LEAVES")
    more = {} if intensities is None else {"intensities": intensities}
    sets = {}
    with tqdm(total=n_train + n_test, unit="example", desc=name, disable=quiet or None, delay=1) as bar:
        for number, (part, n) in enumerate((("train", n_train), ("test", n_test))):
            blocks = []
            for start in range(0, n, BLOCK):
                count = min(BLOCK, n - start)
                rng = np.random.default_rng([seed, number, start])
                blocks.append(recipe.draw(rng, count, size, **more))
                bar.update(count)
            sets[part] = {"features": np.concatenate(blocks)}
    return sets
