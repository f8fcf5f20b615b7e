"""Heartbeats follow their definition; the swiss roll has exact moments and the stated distance from its curve."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.datasets.made.generators import heartbeat, swiss_roll, swiss_roll_curve


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("length", "period"), [(20, 5), (7, 3), (4, 4), (6, 1), (1, 1)])
def test_heartbeat_is_1_every_period_bins_and_0_elsewhere(length, period):
    beats = heartbeat(rng(), 300, length, period)
    assert beats.shape == (300, length)
    assert beats.dtype == np.uint8
    sequences = {"".join("1" if (i - phase) % period == 0 else "0" for i in range(length)) for phase in range(period)}
    assert {"".join(map(str, beat)) for beat in beats} == sequences


def test_phases_of_heartbeats_are_equally_likely():
    beats = heartbeat(rng(), 50_000)
    # Five standard deviations of a binomial share.
    np.testing.assert_allclose(beats[:, :5].mean(0), 0.2, atol=5 * np.sqrt(0.16 / 50_000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, r"^n=0: "),
        ({"n": 3, "length": 0}, r"^length=0: "),
        ({"n": 3, "period": 0}, r"^period=0: must be from 1 to the length, 20"),
        ({"n": 3, "length": 4, "period": 5}, r"^period=5: must be from 1 to the length, 4"),
    ],
    ids=str,
)
def test_invalid_heartbeats_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        heartbeat(rng(), **arguments)


@pytest.mark.parametrize("noise", [0.0024, 0.3, 0.9])
def test_curve_has_mean_0_and_variance_1_minus_the_noise(noise):
    # Exact for the curve: the trapezoid rule with 200,001 points is accurate to 1e-9.
    curve, _ = swiss_roll_curve(np.linspace(0, 1, 200_001), noise)
    width = np.full(200_001, 1 / 200_000)
    width[[0, -1]] /= 2
    np.testing.assert_allclose(width @ curve, 0, atol=1e-8)
    np.testing.assert_allclose(width @ curve**2 + noise**2, 1, rtol=1e-8)


def test_curve_is_the_swiss_roll_up_to_shift_and_scale():
    u = np.linspace(0, 1, 50)
    t = 1.5 * np.pi * (1 + 2 * u)
    curve, _ = swiss_roll_curve(u, 0.01)
    for found, spiral in zip(curve.T, (t * np.cos(t), t * np.sin(t)), strict=True):
        slope, shift = np.polyfit(spiral, found, 1)
        assert slope > 0
        np.testing.assert_allclose(found, slope * spiral + shift, atol=1e-12)


def test_derivative_agrees_with_central_differences():
    u, step = np.linspace(0.1, 0.9, 20), 1e-5
    after, before = (swiss_roll_curve(u + sign * step, 0.1)[0] for sign in (1, -1))
    np.testing.assert_allclose(swiss_roll_curve(u, 0.1)[1], (after - before) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("noise", [0.0024, 0.5])
def test_swiss_roll_has_mean_0_and_variance_1(noise):
    points = swiss_roll(rng(), 100_000, noise)
    assert points.shape == (100_000, 2)
    assert points.dtype == np.float64
    np.testing.assert_allclose(points.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(points.var(0), 1, atol=0.02)


def test_distance_from_the_curve_is_the_noise():
    points = swiss_roll(rng(), 500, 0.01)
    curve, _ = swiss_roll_curve(np.linspace(0, 1, 20_000), 0.01)
    nearest = np.sqrt(((points[:, None] - curve[None]) ** 2).sum(-1).min(1))
    # The root mean square distance across the curve is the noise; 500 points determine it to 3%.
    np.testing.assert_allclose(np.sqrt((nearest**2).mean()), 0.01, rtol=0.1)


@pytest.mark.parametrize("noise", [0, 1, -0.1, float("nan")])
def test_noise_outside_0_to_1_is_refused(noise):
    with pytest.raises(InputError, match=rf"^noise={noise}: must be above 0 and below 1"):
        swiss_roll(rng(), 5, noise)


def test_zero_points_are_refused():
    with pytest.raises(InputError, match=r"^n=0: must be 1 or more"):
        swiss_roll(rng(), 0, 0.1)
