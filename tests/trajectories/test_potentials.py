"""The functions r(x) known by name: what their texts say, and the values of r; the command is in another file."""

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.base.errors import InputError
from dpm.datasets import Scaling
from dpm.trajectories import potentials

PLAIN = Scaling(1.0, 0.0)


def value(text, X, scaling=PLAIN, binary=False):
    """log r of the examples X, in the model's units."""
    name, arguments = potentials.read(text)
    log_r = potentials.build(name, arguments, X.shape[1:], scaling, binary)
    return log_r(pt.constant(X)).eval(mode="FAST_COMPILE")


def test_a_text_is_a_name_and_literals_with_defaults_filled_in():
    assert potentials.read(" gaussian ( mean = [0.5, None], sigma=1e-1 ) ") == (
        "gaussian",
        {"mean": [0.5, None], "sigma": 0.1},
    )
    assert potentials.read("bits(known=1, value=0)")[1]["error"] == 1e-3
    assert potentials.read("bits(known=1, value=0, error=0.2)")[1]["error"] == 0.2


def test_the_example_of_the_refusals_is_accepted():
    """What a refusal tells the user to write must itself be read."""
    with pytest.raises(InputError) as refusal:
        potentials.read("normal(mean=0)")
    assert potentials.EXAMPLE in str(refusal.value)
    assert potentials.read(potentials.EXAMPLE)[0] == "gaussian"


def test_nothing_of_a_text_is_run(tmp_path):
    for text in (f"linear(weights=open('{tmp_path / 'made'}', 'w'))", f"open('{tmp_path / 'made'}', 'w')"):
        with pytest.raises(InputError):
            potentials.read(text)
    assert list(tmp_path.iterdir()) == []


def test_one_number_stands_for_every_element():
    """gaussian(mean=m) is gaussian(mean=[m, m, m]): log r = -sum (x - m)^2 / 2 sigma^2, x in the units of the data."""
    scaling = Scaling(2.0, -0.5)
    X = np.random.default_rng(0).standard_normal((4, 3))
    expected = -((X - 0.25) ** 2).sum(axis=1) / (2 * 0.5**2)
    for mean in (0.25, [0.25] * 3):
        np.testing.assert_allclose(
            value(f"gaussian(mean={mean}, sigma=0.5)", scaling.forward(X), scaling), expected, rtol=1e-12
        )


def test_bits_seen_through_errors_have_the_likelihood_of_a_binary_channel():
    """log r = sum over the known bits of log(1 - error) where x is the bit seen, log(error) where it is not."""
    X = np.array([[1.0, 0, 1], [0.0, 0, 1], [0.0, 1, 0]])
    log_r = value("bits(known=[1, 1, 0], value=[1, 0, 0], error=0.1)", X, binary=True)
    np.testing.assert_allclose(log_r, [2 * np.log(0.9), np.log(0.1) + np.log(0.9), 2 * np.log(0.1)], rtol=1e-12)


@pytest.mark.parametrize(("sigma", "accepted"), [(1e-15, True), (1e15, True), (0.9e-15, False), (1.1e15, False)])
def test_deviations_are_those_whose_square_float32_can_divide_by(sigma, accepted):
    assert np.isfinite(np.float32(1 / sigma**2)) or not accepted
    if accepted:
        assert np.isfinite(value(f"gaussian(mean=0, sigma={sigma})", np.ones((1, 1)))).all()
    else:
        with pytest.raises(InputError, match="from 1e-15 to 1e15"):
            value(f"gaussian(mean=0, sigma={sigma})", np.ones((1, 1)))
