"""Functions r(x): their values, and the named ones that are read from a text."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.base.errors import InputError
from dpm.datasets import Scaling
from dpm.trajectories import potentials
from dpm.trajectories.potentials import bits, gaussian
from tests.helpers import graphs

PLAIN = Scaling(1.0, 0.0)


def value(text, X, scaling=PLAIN, binary=False):
    """Return log r of the examples X, in scaled units."""
    name, arguments = potentials.read(text)
    log_r = potentials.build(name, arguments, X.shape[1:], scaling, binary)
    return graphs.value(log_r(pt.constant(X)))


def test_read_returns_name_and_literals_with_defaults_filled_in():
    assert potentials.read(" gaussian ( mean = [0.5, None], sigma=1e-1 ) ") == (
        "gaussian",
        {"mean": [0.5, None], "sigma": 0.1},
    )
    assert potentials.read("bits(known=1, value=0)")[1]["error"] == 1e-3
    assert potentials.read("bits(known=1, value=0, error=0.2)")[1]["error"] == 0.2


def test_example_in_the_error_message_is_accepted():
    """The example that the message suggests must be valid."""
    with pytest.raises(InputError) as error:
        potentials.read("normal(mean=0)")
    assert potentials.EXAMPLE in str(error.value)
    assert potentials.read(potentials.EXAMPLE)[0] == "gaussian"


def test_nothing_in_a_text_is_executed(tmp_path):
    for text in (f"linear(weights=open('{tmp_path / 'made'}', 'w'))", f"open('{tmp_path / 'made'}', 'w')"):
        with pytest.raises(InputError):
            potentials.read(text)
    assert list(tmp_path.iterdir()) == []


def test_a_single_number_applies_to_every_element():
    """gaussian(mean=m) is gaussian(mean=[m, m, m]): log r = -sum (x - m)^2 / 2 sigma^2, x in data units."""
    scaling = Scaling(2.0, -0.5)
    X = np.random.default_rng(0).standard_normal((4, 3))
    expected = -((X - 0.25) ** 2).sum(axis=1) / (2 * 0.5**2)
    for mean in (0.25, [0.25] * 3):
        np.testing.assert_allclose(
            value(f"gaussian(mean={mean}, sigma=0.5)", scaling.forward(X), scaling), expected, rtol=1e-12
        )


def test_bits_have_the_likelihood_of_a_binary_symmetric_channel():
    """log r: the sum over known bits of log(1 - error) if x is the observed bit, else log(error)."""
    X = np.array([[1.0, 0, 1], [0.0, 0, 1], [0.0, 1, 0]])
    log_r = value("bits(known=[1, 1, 0], value=[1, 0, 0], error=0.1)", X, binary=True)
    np.testing.assert_allclose(log_r, [2 * np.log(0.9), np.log(0.1) + np.log(0.9), 2 * np.log(0.1)], rtol=1e-12)


@pytest.mark.parametrize(("sigma", "accepted"), [(1e-15, True), (1e15, True), (0.9e-15, False), (1.1e15, False)])
def test_deviations_have_a_finite_precision_in_float32(sigma, accepted):
    assert np.isfinite(np.float32(1 / sigma**2)) or not accepted
    if accepted:
        assert np.isfinite(value(f"gaussian(mean=0, sigma={sigma})", np.ones((1, 1)))).all()
    else:
        with pytest.raises(InputError, match="from 1e-15 to 1e15"):
            value(f"gaussian(mean=0, sigma={sigma})", np.ones((1, 1)))


def test_bits_at_rates_give_the_log_mean_of_r():
    """At rates, log r is the log of the mean of r over independent bits, by enumeration."""
    states = np.array(list(np.ndindex(2, 2, 2)), dtype=float)
    log_r, rates = bits([1, 1, 0], [1, 0, 0], 0.1), np.array([[0.3, 0.6, 0.9]])
    mean = (np.where(states == 1, rates, 1 - rates).prod(axis=1) * np.exp(graphs.value(log_r(states)))).sum()
    assert graphs.value(log_r(rates)) == pytest.approx(np.log([mean]))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: gaussian(0.0, 0.0), "sigma"),
        (lambda: gaussian(0.0, -1.0), "sigma"),
        (lambda: bits(1, 1, 0.5), "error"),
    ],
)
def test_wrong_arguments_are_refused(make, named):
    with pytest.raises(InputError, match=named):
        make()
