"""Synthetic data sets depend only on the seed; the first examples do not depend on the number of examples."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.made.dead_leaves import R_MIN, same_leaf_probability
from dpm.datasets.made.recipes import RECIPES, draw_sets


@pytest.mark.parametrize("name", RECIPES)
def test_examples_depend_on_the_seed_and_not_on_their_number(name):
    recipe = RECIPES[name]
    size = min(recipe.size, 24)
    few, many, other = (draw_sets(name, n, 2, size, seed) for n, seed in ((100, 3), (103, 3), (100, 4)))
    np.testing.assert_array_equal(few["train"]["features"], many["train"]["features"][:100])
    assert not np.array_equal(few["train"]["features"], other["train"]["features"])
    assert not np.array_equal(few["train"]["features"][:2], few["test"]["features"])
    assert many["train"]["features"].shape[0] == 103
    assert few["train"]["features"].ndim == len(recipe.labels)


def test_dead_leaves_have_all_gray_levels():
    """Uniform gray values in 8 bits have mean 127.5; a leaf covers many pixels of an image."""
    pixels = draw_sets("DEAD_LEAVES", 200, 1, 8, 0)["train"]["features"]
    assert pixels.dtype == np.uint8
    means = pixels.reshape(200, -1).mean(1)
    assert abs(means.mean() - 127.5) < 4 * means.std() / 200**0.5
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize("given", [None, 2.0, 12.0])
def test_smallest_radius_of_dead_leaves_sets_the_share_of_equal_neighbors(given):
    """Neighbors are in one leaf with the probability of Lee, Mumford and Huang (2001), or have one of 256 levels."""
    more = {} if given is None else {"r_min": given}
    pixels = draw_sets("DEAD_LEAVES", 300, 1, 32, 0, **more)["train"]["features"]
    equal = (pixels[..., 1:] == pixels[..., :-1]).mean(axis=(1, 2, 3))
    r_min = given or R_MIN
    same = same_leaf_probability(1, r_min, max(16, 2 * r_min))
    # Two levels of two leaves are equal with probability 1/255, up to the half as wide levels 0 and 255.
    assert abs(equal.mean() - (same + (1 - same) / 255)) < 4 * equal.std() / 300**0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("BARK", 1, 1, 8, 0), "'BARK' cannot be made; accepted are DEAD_LEAVES, BARK_LIKE"),
        (("BARK_LIKE", 1, 1, 4, 0), "BARK_LIKE is made in sizes from 16"),
        (("SWISSROLL", 1, 1, 3, 0), "from 2 to 2"),
        (("HEARTBEAT", 0, 1, 20, 0), "n=0"),
        (("HEARTBEAT", 1, 0, 20, 0), "test=0"),
    ],
)
def test_invalid_arguments_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        draw_sets(*arguments)
