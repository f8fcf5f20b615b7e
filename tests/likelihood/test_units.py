"""The bound in other units, compared with densities and codes of known length."""

import numpy as np
import pytest
from scipy.stats import norm

from dpm.likelihood.units import NAMES, Units, describe_scale, format_number, why_no_levels
from tests.helpers.graphs import compiled_bits, compiled_vectors

COLORS = Units(dimensions=12, pixels=4, scale=2.0)


def test_three_colors_are_three_dimensions_per_pixel():
    values = COLORS.in_all_units(24 * np.log(2))
    assert values["bits/example"] == pytest.approx(24)
    assert values["bits/pixel"] == pytest.approx(6)
    assert values["bits/dimension"] == pytest.approx(2)
    assert values["nats/dimension"] == pytest.approx(2 * np.log(2))
    assert COLORS.in_all_units(np.nan) == dict.fromkeys(values)


def test_units_per_pixel_are_left_out_for_vectors_and_gray_images():
    assert "bits/pixel" in COLORS.distinct_units()
    for units in (Units(20, 1, 1.0), Units(64, 64, 1.0)):
        assert units.distinct_units() == ["nats/example", "nats/dimension", "bits/example", "bits/dimension"]


def test_data_units_agree_with_scipys_densities():
    """y = 2 x + 1: log p(x) = log p(y) + ln 2 per dimension; the entropy loses ln 2; a divergence stays the same."""
    units, x = Units(1, 1, 2.0), 0.3
    scaled, data = norm(0, 1), norm(-0.5, 0.5)
    assert units.in_data_units("K", scaled.logpdf(2 * x + 1)) == pytest.approx(data.logpdf(x))
    assert units.in_data_units("prior", scaled.entropy()) == pytest.approx(data.entropy())
    assert units.in_data_units("L_null", -scaled.entropy()) == pytest.approx(-data.entropy())
    for key in ("sum_kl", "K_minus_L_null"):
        assert units.in_data_units(key, 0.7) == 0.7


def test_K_is_the_sum_of_its_parts_in_data_units():
    """Eq. 14."""
    parts = {"sum_kl": 3.0, "forward_T": 5.0, "forward_1": -4.0, "prior": 5.5}

    def K(values):
        return -values["sum_kl"] + values["forward_T"] - values["forward_1"] - values["prior"]

    moved = {key: COLORS.in_data_units(key, value) for key, value in parts.items()}
    assert K(moved) == pytest.approx(COLORS.in_data_units("K", K(parts)))
    assert parts.keys() < NAMES.keys()


def test_probabilities_of_bits_do_not_depend_on_units():
    assert Units(20, 1, None).in_data_units("K", -3.0) == -3.0


def test_uniform_density_over_256_levels_costs_8_bits():
    """It is 255/256 on [-1/510, 1 + 1/510]; a density twice as high costs one bit less."""
    units = Units(12, 4, 2.0)
    even = 12 * np.log(255 / 256)
    assert units.bits_of_levels(even) == pytest.approx(8)
    assert units.bits_of_levels(even + 12 * np.log(2)) == pytest.approx(7)


def test_bits_of_levels_need_8_bit_data_and_noise_one_level_wide():
    assert why_no_levels(True, 3.2 / 255, 3.2) is None
    assert "not 8-bit" in why_no_levels(False, 3.2 / 255, 3.2)
    assert "wide" in why_no_levels(True, 1 / 3.2 / 255, 3.2)
    assert "wide" in why_no_levels(True, 0.0, 3.2)


def test_missing_numbers_are_printed_as_none():
    assert (format_number(1.23456), format_number(np.nan), format_number(None), format_number(2.0, 1)) == (
        "1.2346",
        "none",
        "none",
        "2.0",
    )


def test_bits_have_no_scale():
    assert describe_scale(compiled_bits(3).model) == ""
    assert describe_scale(compiled_vectors(3).model) == "scaled units"
