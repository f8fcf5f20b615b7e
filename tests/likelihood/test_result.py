"""The printed and stored form of K and its standard errors."""

import json
import math
from dataclasses import replace

import pytest

from dpm.likelihood.result import Bound, format_bound, format_references, format_released

BOUND = Bound(1.25, 3.3, 0.004, 0.0068, "bits/pixel", 1000, 2, 999, 5, "test")


def test_one_form_of_both_numbers_their_errors_and_their_evaluation():
    assert str(BOUND) == (
        "K = 1.2500, K - L_null = 3.3000 bits/pixel; standard error 0.0040 of the draws of t and noise, 0.0068 with "
        "the examples as a sample; 1,000 test examples, scaled units, 2 of 999 t each, seed 5"
    )
    assert format_bound(-2.4, 12.0, "bits/example") == "K = -2.4000, K - L_null = 12.0000 bits/example"
    assert BOUND.L_null == pytest.approx(-2.05)
    assert replace(BOUND, times_per_example=50, n_times=39).describe().endswith("50 draws from 39 t each, seed 5")


def test_one_example_has_no_standard_error():
    text = str(Bound(1.25, 3.3, math.nan, math.nan, "bits/pixel", 1, None, 999, 0))
    assert text == (
        "K = 1.2500, K - L_null = 3.3000 bits/pixel; one example has no standard error; 1 example, scaled units, every "
        "t each, seed 0"
    )


def test_draws_and_examples_are_not_separated_with_one_t_each():
    text = str(Bound(1.25, 3.3, math.nan, 0.01, "bits/pixel", 9, 1, 999, 0))
    assert "; standard error 0.0100 with the examples as a sample; 9 examples" in text


@pytest.mark.parametrize("error", [0.01, math.nan])
def test_json_holds_every_number_and_how_it_was_found(error):
    bound = Bound(1.25, 3.3, error, error, "bits/pixel", 9, None, 999, 0)
    content = json.loads(json.dumps(bound.as_json(), allow_nan=False))
    assert str(Bound.from_json(content)) == str(bound)
    assert content["L_null"] == bound.L_null


def test_released_estimator_has_the_same_form_and_says_what_it_is():
    text = format_released(1.25, 3.3, "bits/pixel", 0.07, 10_000, 512)
    assert text.startswith(format_bound(1.25, 3.3, "bits/pixel") + "; standard error 0.0700; as released in 2015: ")
    assert "10,000 minibatches of 512" in text
    assert "; one minibatch has no standard error; " in format_released(1.25, 3.3, "bits/pixel", math.nan, 1, 512)


def test_exact_values_have_their_unit_and_those_not_computed_are_left_out():
    values = {"truth": -2.3219, "ceiling": -2.36833}
    whole = "ceiling of K -2.3683 bits/example; exact log likelihood -2.3219 bits/example"
    assert format_references(values, "bits/example") == whole
    assert format_references(values | {"ceiling": math.nan}, "bits/example") == whole.partition("; ")[2]
    assert format_references({}, "bits/pixel") == ""
