"""Test the plot of a schedule: rates, and shares of signal and noise."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.plots.charts import BLUE, DARK, ORANGE
from dpm.plots.schedules import plot_schedule
from tests.plots.test_bounds import colors, rgb

START = np.linspace(1e-4, 0.02, 50)


@pytest.mark.parametrize("last", [0.5, 1.0])
def test_rates_and_both_shares_are_drawn_and_the_same_numbers_give_the_same_bytes(tmp_path, last):
    """Also if the last rate, 1, erases all signal, whose logarithm is then infinite."""
    beta = np.append(START[1:], last)
    paths = [plot_schedule(beta, START, tmp_path / f"{i}.png") for i in range(2)]
    assert {rgb(color) for color in (BLUE, ORANGE, DARK)} <= colors(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_start_is_drawn_too(tmp_path):
    """The picture changes with the rates before training."""
    one = plot_schedule(START, START, tmp_path / "one.png")
    other = plot_schedule(START, START[::-1], tmp_path / "other.png")
    assert one.read_bytes() != other.read_bytes()


def test_alpha_bar_is_the_cumulative_product_and_the_bumps_have_a_panel(tmp_path, drawn):
    """alpha_bar_t = prod (1 - beta_s) over s <= t (Eq. 3 in closed form), from t = 1 on."""
    bumps = np.random.default_rng(0).random((4, 50))
    plot_schedule(START, None, tmp_path / "a.png", bumps)
    rates, shares, functions = drawn[0].axes
    (line,) = rates.lines
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 51))
    np.testing.assert_array_equal(line.get_ydata(), START)
    signal, noise = (line.get_ydata() for line in shares.lines)
    np.testing.assert_allclose(signal, np.cumprod(1 - START))
    np.testing.assert_allclose(signal + noise, 1)
    np.testing.assert_array_equal([line.get_ydata() for line in functions.lines], bumps)
    assert (rates.get_xscale(), shares.get_yscale(), functions.get_xscale()) == ("log", "log", "linear")


def test_another_file_ending_raises_an_error(tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        plot_schedule(START, START, tmp_path / "a.pdf")
