"""Fuel 0.2.0 from PyPI and dpm read the same data from each other's files; real_fuel.py has the checks."""

from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("real_fuel.py")


@pytest.mark.thorough
def test_fuel_0_2_0_and_dpm_read_the_same(run_with_fuel):
    settings = CHECKS.parents[3] / "pyproject.toml"
    run_with_fuel("pytest", "--noconftest", "-p", "no:cacheprovider", "-W", "ignore", "-c", settings, CHECKS)
