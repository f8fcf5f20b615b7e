"""Fuel's errors are one-line errors of dpm, and still what a program of 2015 catches."""

import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel import exceptions


@pytest.mark.parametrize(
    ("name", "kind"),
    [("AxisLabelsMismatchError", ValueError), ("ConfigurationError", Exception), ("FileNotInPathError", IOError)],
)
def test_an_error_is_an_input_error_and_of_the_kind_of_fuel(name, kind):
    error = getattr(exceptions, name)("data_path: is not set")
    assert isinstance(error, InputError)
    assert isinstance(error, kind)
    assert str(error) == "data_path: is not set"
