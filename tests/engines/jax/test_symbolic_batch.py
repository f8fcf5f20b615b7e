"""JAX with a batch size that is known only at the call, and PyTensor's own behavior everywhere else."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

pytest.importorskip("jax")

import jax
from pytensor.raise_op import Assert

import dpm.engines.jax.symbolic_batch  # noqa: F401  registers the functions


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True), pytensor.config.change_flags(floatX="float64"):
        yield


def test_a_size_of_a_reshape_follows_from_the_others():
    """A dense layer per pixel and its gradient: PyTensor computes n * 6 by a product that XLA does not accept."""
    x, W = pt.tensor("x", shape=(None, 2, 3, 4)), pt.tensor("W", shape=(4, 5))
    y = pt.dot(x, W)
    gradient = pytensor.grad((y**2).sum(), W)
    function = pytensor.function([x, W], [y, gradient], mode="JAX")
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, 5))
    for n in (1, 3):
        values = rng.standard_normal((n, 2, 3, 4))
        product, slope = function(values, weights)
        np.testing.assert_allclose(product, values @ weights, rtol=1e-12)
        np.testing.assert_allclose(slope, np.einsum("nijk,nijl->kl", values, 2 * values @ weights), rtol=1e-12)


def test_shapes_of_several_unknown_sizes_are_left_to_pytensor():
    x, like = pt.tensor("x", shape=(None,)), pt.tensor("like", shape=(None, None))
    function = pytensor.function([x, like], x.reshape(like.shape), mode="JAX")
    np.testing.assert_array_equal(function(np.arange(6.0), np.zeros((2, 3))), np.arange(6.0).reshape(2, 3))


def test_inputs_of_one_unknown_size_broadcast_without_a_warning():
    """Warnings are errors in these tests."""
    a, b = pt.tensor("a", shape=(None, 2)), pt.tensor("b", shape=(None, 2))
    function = pytensor.function([a, b], pt.zeros_like(a + b) + a * b, mode="JAX")
    np.testing.assert_array_equal(function(np.ones((3, 2)), np.full((3, 2), 2.0)), np.full((3, 2), 2.0))
    with pytest.raises((ValueError, TypeError)):
        function(np.ones((3, 2)), np.ones((2, 2)))


def test_other_checks_still_warn_that_jax_skips_them():
    x = pt.tensor("x", shape=(2,))
    checked = Assert("x must be positive")(x, (x > 0).all())
    with pytest.warns(UserWarning, match="x must be positive"):
        pytensor.function([x], checked * 2, mode="JAX")
