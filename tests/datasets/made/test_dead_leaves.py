"""Dead leaves have the known distribution at every place and in every direction; it agrees with simulated discs.

Seeds are fixed, so the tests are deterministic. With about 40 comparisons at 4 standard errors, a correct program would
fail with one of about 400 seeds.
"""

import numpy as np
import pytest
from scipy import integrate, stats

from dpm.base.errors import InputError
from dpm.datasets.made.dead_leaves import _radii, _radius_weights, dead_leaves, same_leaf_probability

N, WIDTH, R_MIN, R_MAX = 500, 32, 1.0, 16.0
# Up to 17 pixels: at larger distances too few images have a pair in one leaf for a normal distribution of the mean.
STEPS = [1, 2, 4, 7, 12]
DIRECTIONS = {"across": (0, 1), "down": (1, 0), "diagonal": (1, 1), "other diagonal": (1, -1)}


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def leaves():
    return dead_leaves(rng(), N, WIDTH, R_MIN, R_MAX)[:, 0]


def same_leaf(images, down, across):
    """Mark pixels that are in the same leaf as the pixel at this distance: with uniform grays, those that are equal."""
    if across < 0:
        return same_leaf(images[:, :, ::-1], down, -across)
    height, width = images.shape[1:]
    return images[:, : height - down, : width - across] == images[:, down:, across:]


def assert_mean_within_4_standard_errors(samples, expected):
    """Compare the mean of samples, one independent number per image since pixels are correlated."""
    assert samples.std() > 0
    assert abs(samples.mean() - expected) < 4 * samples.std(ddof=1) / np.sqrt(len(samples))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("steps", STEPS)
def test_same_leaf_frequency_is_the_probability_in_every_direction(leaves, direction, steps):
    down, across = np.multiply(DIRECTIONS[direction], steps)
    share = same_leaf(leaves, down, across).mean((1, 2))
    assert_mean_within_4_standard_errors(share, same_leaf_probability(np.hypot(down, across), R_MIN, R_MAX))


@pytest.mark.parametrize("steps", [1, 3, 8])
@pytest.mark.parametrize("place", [0, WIDTH // 2 - 4, -1], ids=["first", "middle", "last"])
def test_same_leaf_frequency_is_equal_in_the_corners_and_in_the_middle(leaves, place, steps):
    frames = leaves if place >= 0 else leaves[:, ::-1, ::-1]
    row = column = max(place, 0)
    first = frames[:, row, column]
    share = np.mean([first == frames[:, row + steps, column], first == frames[:, row, column + steps]], axis=0)
    assert_mean_within_4_standard_errors(share, same_leaf_probability(steps, R_MIN, R_MAX))


@pytest.mark.parametrize("side", [0.0, 2.0, 31.0])
def test_radii_have_density_r_to_the_minus_3_times_the_area_of_the_box(side):
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
def test_same_leaf_probability_holds_for_other_radii(r_min, r_max):
    images = dead_leaves(rng(), 400, 8, r_min, r_max)[:, 0]
    assert_mean_within_4_standard_errors(
        same_leaf(images, 0, 2).mean((1, 2)), float(same_leaf_probability(2.0, r_min, r_max))
    )


def test_grays_have_mean_and_variance_of_the_uniform_distribution(leaves):
    assert_mean_within_4_standard_errors(leaves.mean((1, 2)), 1 / 2)
    assert_mean_within_4_standard_errors(((leaves - 1 / 2) ** 2).mean((1, 2)), 1 / 12)
    assert leaves.min() >= 0
    assert leaves.max() <= 1


def test_intensities_are_drawn_with_their_frequencies():
    images = dead_leaves(rng(), 400, 8, intensities=np.array([7, 7, 7, 200], dtype=np.uint8))
    assert images.dtype == np.float64
    assert set(np.unique(images)) == {7.0, 200.0}
    assert_mean_within_4_standard_errors((images == 7).mean((1, 2, 3)), 3 / 4)


def test_images_depend_on_the_seed_and_not_on_n(leaves):
    np.testing.assert_array_equal(dead_leaves(rng(), 5, WIDTH, R_MIN, R_MAX)[:, 0], leaves[:5])
    assert not np.isin(dead_leaves(rng(1), 5), leaves).any()


def test_images_share_no_leaves(leaves):
    grays = [set(image.ravel()) for image in leaves[:50]]
    assert len(set.union(*grays)) == sum(map(len, grays))


@pytest.mark.parametrize(("n", "width"), [(1, 1), (3, 2), (2, 33)])
def test_images_are_gray_and_square(n, width):
    images = dead_leaves(rng(), n, width)
    assert images.shape == (n, 1, width, width)
    assert images.dtype == np.float64


def test_same_leaf_probability_agrees_with_simulated_discs():
    # Share of the discs that contain both points among those that contain at least one; r^-3 by inversion, in another
    # box than the program's.
    r_min, r_max, distance, n = 1.0, 4.0, 2.5, 1_000_000
    r = (r_min**-2 - rng().uniform(size=n) * (r_min**-2 - r_max**-2)) ** -0.5
    x, y = rng(1).uniform(-r_max, r_max + distance, n), rng(2).uniform(-r_max, r_max, n)
    one, other = np.hypot(x, y) <= r, np.hypot(x - distance, y) <= r
    both, either = (one & other).sum(), (one | other).sum()
    expected = same_leaf_probability(distance, r_min, r_max)
    assert abs(both / either - expected) < 4 * np.sqrt(expected * (1 - expected) / either)


@pytest.mark.parametrize("distance", [0.3, 2.0, 7.0, 31.0])
def test_same_leaf_probability_is_the_ratio_of_mean_areas(distance):
    # The intersection consists of two circular segments, integrated over chords; radii by the trapezoid rule.
    radii = np.geomspace(max(1.0, distance / 2), 16.0, 501)
    both = [4 * integrate.quad(lambda x, r=r: np.sqrt(r**2 - x**2), distance / 2, r)[0] for r in radii]
    mean_both = np.trapezoid(both * radii**-3.0, radii)
    mean_disc = integrate.quad(lambda r: np.pi * r**2 * r**-3, 1, 16)[0]
    expected = mean_both / (2 * mean_disc - mean_both)
    np.testing.assert_allclose(same_leaf_probability(distance, 1, 16), expected, rtol=1e-4)


def test_same_leaf_probability_for_equal_radii():
    # Discs of radius 1 at distance 1: the area of intersection is 2 pi / 3 - sqrt(3) / 2.
    lens = 2 * np.pi / 3 - np.sqrt(3) / 2
    np.testing.assert_allclose(same_leaf_probability(1.0, 1 - 1e-9, 1 + 1e-9), lens / (2 * np.pi - lens), rtol=1e-7)


def test_same_leaf_probability_falls_from_1_to_0():
    law = same_leaf_probability(np.linspace(0, 32, 129).reshape(3, 43), 1, 16)
    assert law.shape == (3, 43)
    np.testing.assert_allclose(law[0, 0], 1, rtol=1e-12)
    assert (np.diff(law.ravel()) < 0).all()
    np.testing.assert_array_equal(same_leaf_probability([32, 33, np.inf], 1, 16), 0)


def test_same_leaf_probability_depends_only_on_ratios():
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
        ({"n": 1, "r_max": np.inf}, r"^r_min=4.0, r_max=inf: "),
        ({"n": 1, "r_min": np.nan}, r"^r_min=nan, r_max=16.0: "),
        ({"n": 1, "intensities": np.zeros(0)}, r"^intensities of shape \(0,\) and type float64: must be 1-d"),
        ({"n": 1, "intensities": np.zeros((2, 2))}, r"^intensities of shape \(2, 2\) "),
        ({"n": 1, "intensities": np.array([0.5, np.nan])}, r"^intensities of shape \(2,\) .* all finite; ravel"),
        ({"n": 1, "intensities": np.array(["a"])}, r"^intensities of shape \(1,\) and type <U1: "),
    ],
    ids=str,
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        dead_leaves(rng(), **arguments)


@pytest.mark.parametrize("distance", [-1, np.nan, [2.0, -1.0]])
def test_negative_distance_is_refused(distance):
    with pytest.raises(InputError, match=r"^distance=(-1.0|nan): must be 0 or more, in pixels"):
        same_leaf_probability(distance, 1, 16)


def test_same_leaf_probability_checks_the_radii():
    with pytest.raises(InputError, match=r"^r_min=2, r_max=1: "):
        same_leaf_probability(1.0, 2, 1)
