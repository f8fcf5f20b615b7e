"""Evaluation from Python: the results of `dpm.bound` and `dpm.evaluate`."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.runs.evaluation import bound, evaluate, units_of
from dpm.runs.loading import open_run


@pytest.fixture(scope="module")
def run(trained):
    return open_run(trained)


def test_parts_of_K_add_up(run):
    """Eq. 14: K = -sum of KL_t + H_q(X_T | X_0) - H_q(X_1 | X_0) - H_p(X_T)."""
    result = evaluate(run)
    v = result.values
    assert v["K"] == pytest.approx(-v["sum_kl"] + v["forward_T"] - v["forward_1"] - v["prior"], rel=1e-6)
    assert v["K_minus_L_null"] == pytest.approx(v["K"] - v["L_null"])
    assert result.facts == {"bound": result.bound.as_json()}
    assert result.bound.times_per_example == 2
    t = [tuple(row[:2]) for row in result.rows[1:]]
    assert t == [(t, t) for t in range(2, 11)]


def test_every_t_once_is_the_sum_without_weights(run):
    result = evaluate(run, t_per_example="all")
    assert result.arrays["times"].shape == (20, 9)
    assert result.values["sum_kl"] == pytest.approx(result.arrays["kl"].sum(axis=1).mean(), rel=1e-6)
    assert "every t each" in str(result.bound)


def test_default_evaluation_is_the_row_of_the_log(run):
    """Equal settings, equal value: K of log.csv and both its errors, to the last printed digit."""
    found, row = bound(run), run.log[-1]
    for name in ("K", "K_minus_L_null", "draws_error", "standard_error"):
        assert getattr(found, name) == pytest.approx(row[f"test_{name}"], abs=5e-5)


def test_bound_is_printed_with_error_and_unit(run):
    text = str(bound(run, run.data()[:10], t_per_example=5))
    assert text.startswith("K = ")
    assert text.endswith("; 10 examples, scaled units, 5 of 9 t each, seed 0")
    assert " bits/pixel; standard error " in text


def test_units_follow_the_model(run):
    units = units_of(run)
    assert (units.dimensions, units.pixels, units.scale) == (64, 64, run.scaling.scale)


def test_no_times_are_refused(run):
    with pytest.raises(InputError, match=r"--t-per-example: got 0; expected 1 or more, or all"):
        evaluate(run, t_per_example=0)


def test_draws_depend_on_the_seed_only(run):
    X = run.data()[:6]
    first, again, other = (evaluate(run, X, t_per_example=3, seed=seed).arrays["kl"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
