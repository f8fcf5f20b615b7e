"""Literals, switches, names and whole numbers that a user types."""

import numpy as np
import pytest

from dpm.base.arguments import check_index, check_names, check_whole_number, parse_literals, parse_switch
from dpm.base.errors import InputError


def test_literals_are_read_as_python_does():
    text = "a=3, b=-1.5e-3,c='x=(1', d=[1, (2,)], e=None,"
    assert parse_literals(text) == {"a": 3, "b": -1.5e-3, "c": "x=(1", "d": [1, (2,)], "e": None}
    assert parse_literals("") == {}


@pytest.mark.parametrize("text", ["schedule=free", "schedule=log-snr"])
def test_a_text_without_quotes_gets_the_advice_to_quote_it(text):
    with pytest.raises(InputError, match=r"is not a list of literals \(.* texts in quotes: name='text'\)"):
        parse_literals(text)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("Yes", True), ("1", True), ("FALSE", False), ("0", False)]
)
def test_switches_are_read_in_any_case(text, value):
    assert parse_switch(text) is value


def test_an_unknown_name_gets_the_nearest_or_all_names():
    accepted = ("n_scales", "n_hidden_conv")
    assert check_names({"n_scales": 3}, accepted) == {"n_scales": 3}
    with pytest.raises(InputError, match=r"'n_scale' is unknown; did you mean n_scales\?"):
        check_names({"n_scale": 3}, accepted)
    with pytest.raises(InputError, match="'x' is unknown; accepted: n_scales, n_hidden_conv"):
        check_names({"x": 3}, accepted)


@pytest.mark.parametrize(("value", "words"), [(1.5, "is not a whole number"), (True, "is not"), (1, "is too small")])
def test_whole_numbers_are_checked(value, words):
    assert check_whole_number("T", 10.0, 2) == 10
    with pytest.raises(InputError, match=f"T: {value} {words}"):
        check_whole_number("T", value, 2)


@pytest.mark.parametrize("value", [2.0, True, "2", None, 0])
def test_an_index_is_an_integer_of_python_or_numpy(value):
    """What `operator.index` takes, except for truth values; a float is none, even a whole one."""
    assert check_index("n", np.int8(3), 1) == 3
    with pytest.raises(InputError, match=rf"^n: got {value!r}; expected a whole number of at least 1$"):
        check_index("n", value, 1)
