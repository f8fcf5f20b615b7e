"""Dead leaves have the model's known law at every place and in every direction; the law agrees with discs thrown.

Seeds are fixed, so that a bound of 4 standard errors is passed or missed once and for all; of the some 40 comparisons
here a right program misses one with some 400th of the seeds.
"""

import numpy as np
import pytest
from scipy import integrate, stats

from dpm.base.errors import InputError
from dpm.datasets.made.dead_leaves import _radii, _radius_weights, dead_leaves, same_leaf_probability

N, WIDTH, R_MIN, R_MAX = 500, 32, 1.0, 16.0
# Up to 17 pixels: farther, too few images have a pair in one leaf for a normal error of the mean.
STEPS = [1, 2, 4, 7, 12]
DIRECTIONS = {"across": (0, 1), "down": (1, 0), "diagonal": (1, 1), "other diagonal": (1, -1)}


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def leaves():
    return dead_leaves(rng(), N, WIDTH, R_MIN, R_MAX)[:, 0]


def same_leaf(images, down, across):
    """1 where a pixel and the one so many steps away are of one leaf: with uniform grays, where they are equal."""
    if across < 0:
        return same_leaf(images[:, :, ::-1], down, -across)
    height, width = images.shape[1:]
    return images[:, : height - down, : width - across] == images[:, down:, across:]


def assert_mean_within_4_standard_errors(samples, expected):
    """Pixels of an image are correlated, so samples hold one independent number an image."""
    assert samples.std() > 0
    assert abs(samples.mean() - expected) < 4 * samples.std(ddof=1) / np.sqrt(len(samples))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("steps", STEPS)
def test_two_pixels_are_of_one_leaf_as_often_as_the_law_says_in_every_direction(leaves, direction, steps):
    down, across = np.multiply(DIRECTIONS[direction], steps)
    share = same_leaf(leaves, down, across).mean((1, 2))
    assert_mean_within_4_standard_errors(share, same_leaf_probability(np.hypot(down, across), R_MIN, R_MAX))


@pytest.mark.parametrize("steps", [1, 3, 8])
@pytest.mark.parametrize("place", [0, WIDTH // 2 - 4, -1], ids=["first", "middle", "last"])
def test_the_law_is_the_same_in_the_corners_as_in_the_middle(leaves, place, steps):
    frames = leaves if place >= 0 else leaves[:, ::-1, ::-1]
    row = column = max(place, 0)
    first = frames[:, row, column]
    share = np.mean([first == frames[:, row + steps, column], first == frames[:, row, column + steps]], axis=0)
    assert_mean_within_4_standard_errors(share, same_leaf_probability(steps, R_MIN, R_MAX))


@pytest.mark.parametrize("side", [0.0, 2.0, 31.0])
def test_radii_of_leaves_near_the_frame_have_density_r_to_the_minus_3_times_the_area_of_the_box(side):
    weights = _radius_weights(side, R_MIN, R_MAX)
    grid = np.geomspace(R_MIN, R_MAX, 10_001)
    mass = integrate.cumulative_simpson(grid**-3 * (side + 2 * grid) ** 2, x=grid, initial=0)
    np.testing.assert_allclose(weights.sum(), mass[-1], rtol=1e-8)
    radii = _radii(rng(), 100_000, weights / weights.sum(), R_MIN, R_MAX)
    assert stats.kstest(radii, lambda r: np.interp(r, grid, mass / mass[-1])).pvalue > 1e-3


def test_no_leaf_is_wider_than_two_largest_radii():
    small = dead_leaves(rng(), 100, 12, 1, 3)[:, 0]
    assert not same_leaf(small, 7, 0).any()
    assert not same_leaf(small, 5, 5).any()
    assert same_leaf(small, 5, 0).any()


@pytest.mark.parametrize(("r_min", "r_max"), [(2, 3), (4.0, 200.0), (0.3, 5.0)])
def test_the_law_holds_for_other_radii(r_min, r_max):
    images = dead_leaves(rng(), 400, 8, r_min, r_max)[:, 0]
    assert_mean_within_4_standard_errors(
        same_leaf(images, 0, 2).mean((1, 2)), float(same_leaf_probability(2.0, r_min, r_max))
    )


def test_grays_are_uniform_in_mean_and_variance(leaves):
    assert_mean_within_4_standard_errors(leaves.mean((1, 2)), 1 / 2)
    assert_mean_within_4_standard_errors(((leaves - 1 / 2) ** 2).mean((1, 2)), 1 / 12)
    assert leaves.min() >= 0
    assert leaves.max() <= 1


def test_given_intensities_are_drawn_as_often_as_they_are_there():
    images = dead_leaves(rng(), 400, 8, intensities=np.array([7, 7, 7, 200], dtype=np.uint8))
    assert images.dtype == np.float64
    assert set(np.unique(images)) == {7.0, 200.0}
    assert_mean_within_4_standard_errors((images == 7).mean((1, 2, 3)), 3 / 4)


def test_the_same_seed_gives_the_same_images_and_the_first_do_not_depend_on_n(leaves):
    np.testing.assert_array_equal(dead_leaves(rng(), 5, WIDTH, R_MIN, R_MAX)[:, 0], leaves[:5])
    assert not np.isin(dead_leaves(rng(1), 5), leaves).any()


def test_each_image_has_leaves_of_its_own(leaves):
    grays = [set(image.ravel()) for image in leaves[:50]]
    assert len(set.union(*grays)) == sum(map(len, grays))


@pytest.mark.parametrize(("n", "width"), [(1, 1), (3, 2), (2, 33)])
def test_images_have_one_channel_of_the_width(n, width):
    images = dead_leaves(rng(), n, width)
    assert images.shape == (n, 1, width, width)
    assert images.dtype == np.float64


def test_the_law_is_that_of_discs_thrown_at_two_points():
    # Of the discs that hold one of the points or both, the share of both; r^-3 by inversion, another box than the
    # program's.
    r_min, r_max, distance, n = 1.0, 4.0, 2.5, 1_000_000
    r = (r_min**-2 - rng().uniform(size=n) * (r_min**-2 - r_max**-2)) ** -0.5
    x, y = rng(1).uniform(-r_max, r_max + distance, n), rng(2).uniform(-r_max, r_max, n)
    one, other = np.hypot(x, y) <= r, np.hypot(x - distance, y) <= r
    both, either = (one & other).sum(), (one | other).sum()
    expected = same_leaf_probability(distance, r_min, r_max)
    assert abs(both / either - expected) < 4 * np.sqrt(expected * (1 - expected) / either)


@pytest.mark.parametrize("distance", [0.3, 2.0, 7.0, 31.0])
def test_the_law_is_the_quotient_of_mean_areas(distance):
    # The area of intersection is two segments, each the sum of its chords; radii by the trapezoid rule.
    radii = np.geomspace(max(1.0, distance / 2), 16.0, 501)
    both = [4 * integrate.quad(lambda x, r=r: np.sqrt(r**2 - x**2), distance / 2, r)[0] for r in radii]
    mean_both = np.trapezoid(both * radii**-3.0, radii)
    mean_disc = integrate.quad(lambda r: np.pi * r**2 * r**-3, 1, 16)[0]
    expected = mean_both / (2 * mean_disc - mean_both)
    np.testing.assert_allclose(same_leaf_probability(distance, 1, 16), expected, rtol=1e-4)


def test_the_law_for_almost_one_radius_is_that_of_two_discs():
    # Discs of radius 1, a radius apart: area of intersection 2 pi / 3 - sqrt(3) / 2.
    lens = 2 * np.pi / 3 - np.sqrt(3) / 2
    np.testing.assert_allclose(same_leaf_probability(1.0, 1 - 1e-9, 1 + 1e-9), lens / (2 * np.pi - lens), rtol=1e-7)


def test_the_law_is_1_at_0_falls_and_is_0_from_two_largest_radii_on():
    law = same_leaf_probability(np.linspace(0, 32, 129).reshape(3, 43), 1, 16)
    assert law.shape == (3, 43)
    np.testing.assert_allclose(law[0, 0], 1, rtol=1e-12)
    assert (np.diff(law.ravel()) < 0).all()
    np.testing.assert_array_equal(same_leaf_probability([32, 33, np.inf], 1, 16), 0)


def test_the_law_depends_on_nothing_but_ratios_of_lengths():
    distances = np.array([0.5, 3, 10])
    np.testing.assert_allclose(
        same_leaf_probability(distances * 1e3, 1e3, 1.6e4), same_leaf_probability(distances, 1, 16), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, r"^n=0: must be 1 or more"),
        ({"n": 1, "width": 0}, r"^width=0: must be 1 or more"),
        ({"n": 1, "r_min": 0}, r"^r_min=0, r_max=16.0: must be finite with 0 < r_min < r_max, in pixels$"),
        ({"n": 1, "r_min": 16}, r"^r_min=16, r_max=16.0: "),
        ({"n": 1, "r_max": np.inf}, r"^r_min=1.0, r_max=inf: "),
        ({"n": 1, "r_min": np.nan}, r"^r_min=nan, r_max=16.0: "),
        ({"n": 1, "intensities": np.zeros(0)}, r"^intensities of shape \(0,\) and type float64: must be 1-d"),
        ({"n": 1, "intensities": np.zeros((2, 2))}, r"^intensities of shape \(2, 2\) "),
        ({"n": 1, "intensities": np.array([0.5, np.nan])}, r"^intensities of shape \(2,\) .* all finite; ravel"),
        ({"n": 1, "intensities": np.array(["a"])}, r"^intensities of shape \(1,\) and type <U1: "),
    ],
    ids=str,
)
def test_leaves_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        dead_leaves(rng(), **arguments)


@pytest.mark.parametrize("distance", [-1, np.nan, [2.0, -1.0]])
def test_a_negative_distance_is_refused(distance):
    with pytest.raises(InputError, match=r"^distance=(-1.0|nan): must be 0 or more, in pixels"):
        same_leaf_probability(distance, 1, 16)


def test_the_law_refuses_the_radii_that_the_images_refuse():
    with pytest.raises(InputError, match=r"^r_min=2, r_max=1: "):
        same_leaf_probability(1.0, 2, 1)
