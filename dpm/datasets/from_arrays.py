"""Make image data from arrays in memory, and split off a test set."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from dpm.base.errors import InputError
from dpm.base.wording import count
from dpm.datasets.images import ImageData, channel_first
from dpm.datasets.scaling import level_factor

TEST_SHARE = 0.1


def image_data_from_arrays(
    train: ArrayLike,
    test: ArrayLike | None = None,
    name: str = "arrays",
    test_share: float = TEST_SHARE,
    seed: int = 0,
    large: bool = False,
) -> ImageData:
    """Make a data set of images from arrays, with the checks and messages of files.

    Integers 0..255 and floats in [0, 1] on 8-bit levels are pixels, other floats are continuous data (see
    `dpm.datasets.scaling.level_factor`).

    Example:
        >>> import numpy as np
        >>> images = np.random.default_rng(0).integers(0, 256, (50, 8, 8), np.uint8)
        >>> data = image_data_from_arrays(images)
        >>> data.train.shape, data.test.shape
        ((45, 1, 8, 8), (5, 1, 8, 8))

    Args:
        train: Training images: gray (n, h, w), or with 1 or 3 colors (n, c, h, w) or (n, h, w, c).
        test: Test images (m, ...). If None, a random share of `train` becomes the test set.
        name: Name of the data set.
        test_share: Share of the test set if `test` is None.
        seed: Seed of the random share.
        large: Accept images that are not square, for training on crops.

    Returns:
        Training and test images (n, c, h, w) in the dtype and range of the arrays. The arrays are not copied if they
        have this layout.

    Raises:
        InputError: If an array does not hold square images with 1 or 3 colors, is not numeric, constant or not finite,
            has integers outside 0..255, or if training and test images differ in shape or only one of them is 8-bit.
    """
    parts = {"train": train} if test is None else {"train": train, "test": test}
    sets = {part: channel_first(np.asarray(array), f"{name} ({part})", large=large) for part, array in parts.items()}
    if test is None:
        level_factor(sets["train"], f"{name} (train)")
        sets = split_test_set(sets["train"], test_share, seed)
    factors = [level_factor(images, f"{name} ({part})") for part, images in sets.items()]
    if (factors[0] is None) != (factors[1] is None):
        raise InputError(f"{name}: only one of train and test is 8-bit pixels; convert both to the same units")
    return ImageData(name, Path("memory"), sets["train"], sets["test"])


def split_test_set(
    images: np.ndarray, share: float = TEST_SHARE, seed: int = 0, group: int = 1
) -> dict[str, np.ndarray]:
    """Split a random share of the examples off as a test set.

    Args:
        images: Examples (n, ...).
        share: Share of the test set, above 0 and below 1; it has at least one group.
        seed: Seed of the choice.
        group: Number of consecutive examples that stay in one set, such as the crops of an image.

    Returns:
        {"train": (n - m, ...), "test": (m, ...)}, each in the order of `images`.

    Raises:
        InputError: If one of the sets would be empty.
    """
    n_groups = len(images) // group
    n_test = max(1, round(n_groups * share)) if 0 < share < 1 else 0
    if not 0 < n_test < n_groups:
        raise InputError(
            f"test_share: {share} of {count(n_groups, 'image')}; accepted is a share above 0 and below 1 that leaves "
            "images to train on"
        )
    order = np.random.default_rng([seed, 1]).permutation(n_groups)
    rows = (order[:, None] * group + np.arange(group)).ravel()
    train, test = np.sort(rows[n_test * group :]), np.sort(rows[: n_test * group])
    return {"train": images[train], "test": images[test]}
