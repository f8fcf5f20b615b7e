"""The convolution of the networks, against scipy and finite differences, on every engine."""

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.gradient import verify_grad

from dpm.engines.engine import Engine
from dpm.graph.same_conv import WeightGrad, same_conv
from tests.conftest import installed_engines
from tests.helpers.convolutions import SHAPES, compiled_with_gradients, operands, scipy_same

# Numba compiles each function for seconds: color, an uneven number of images, and kernels of 5 and larger than the
# image are enough there.
CASES = [(e, s) for e in installed_engines() for s in (SHAPES[2:5] if e == "numba" else SHAPES)]


@pytest.mark.parametrize(("engine_name", "shape"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_equals_scipy_on_every_engine(engine_name, shape, dtype, tolerance):
    x, weights, g = operands(shape, dtype)
    y, gx, gw = compiled_with_gradients(Engine(engine_name, dtype), shape)(x, weights, g)
    assert y.dtype == gx.dtype == gw.dtype == dtype
    np.testing.assert_allclose(y, scipy_same(x, weights), rtol=tolerance, atol=tolerance * 10)

    # The adjoint identities <g, conv(x, W)> = <dx, x> = <dW, W> hold for a bilinear map; with dx and dW from the
    # definition by unit vectors they fix both gradients.
    x64, w64, g64 = (a.astype("float64") for a in (x, weights, g))
    for index in [(0, 0, 0, 0), tuple(s - 1 for s in x.shape)]:
        unit = np.zeros_like(x64)
        unit[index] = 1
        assert gx[index] == pytest.approx((scipy_same(unit, w64) * g64).sum(), rel=tolerance * 50, abs=1e-5)
    for index in np.ndindex(*weights.shape):
        unit = np.zeros_like(w64)
        unit[index] = 1
        expected = (scipy_same(x64, unit) * g64).sum()
        assert gw[index] == pytest.approx(expected, rel=tolerance * 50, abs=tolerance * 50)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", SHAPES[1:4])
def test_first_and_second_derivatives_by_finite_differences(shape):
    x, weights, g = operands(shape)
    rng = np.random.default_rng(1)
    verify_grad(same_conv, [x, weights], rng=rng, mode="CVM", rel_tol=1e-4)
    verify_grad(WeightGrad(shape[-1]), [x, g], rng=rng, mode="CVM", rel_tol=1e-4)


def test_even_kernels_and_mixed_types_are_refused():
    x = pt.tensor("x", dtype="float32", shape=(1, 4, 4, 1))
    with pytest.raises(ValueError, match="odd"):
        same_conv(x, pt.tensor("w", dtype="float32", shape=(1, 1, 2, 2)))
    with pytest.raises(TypeError, match="float32 and float64"):
        same_conv(x, pt.tensor("w", dtype="float64", shape=(1, 1, 3, 3)))
    with pytest.raises(ValueError, match="4 axes"):
        same_conv(x[0], pt.tensor("w", dtype="float32", shape=(1, 1, 3, 3)))
