"""E[x_0 | x_t] from a reverse kernel: `predict` is the inverse of `posterior`, and of `mixture` for bits."""

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytensor import config

from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.full_gaussian import FullGaussianKernel
from dpm.graph.kernels.gaussian import GaussianKernel
from dpm.graph.schedules import erase_equally, signal_shares
from tests.helpers.graphs import constant, value

rates = st.floats(0.05, 0.95)


def steps(beta, before):
    """Return beta_t, beta_bar_t, beta_bar_{t-1} as constants of a graph."""
    return [constant(a) for a in (beta, 1 - (1 - beta) * (1 - before), before)]


@settings(deadline=None, max_examples=20)
@given(x_0=st.floats(-3, 3), x_t=st.floats(-3, 3), beta=rates, before=st.one_of(st.just(0.0), rates))
@pytest.mark.parametrize("kernel", [GaussianKernel(), FullGaussianKernel()])
def test_the_mean_of_the_posterior_determines_x_0(kernel, x_0, x_t, beta, before):
    """mu = w_0 x_0 + w_t x_t of q(x_{t-1} | x_t, x_0), solved for x_0; at t = 1 it is mu itself."""
    p = kernel.posterior(constant([x_0]), constant([x_t]), *steps(beta, before))
    predicted = value(kernel.predict(p, constant([x_t]), *steps(beta, before)))
    np.testing.assert_allclose(predicted, [x_0], rtol=1e-9, atol=1e-9)


@pytest.mark.thorough
@settings(deadline=None, max_examples=20)
@given(b=st.floats(0.001, 0.999), beta=rates, before=st.one_of(st.just(0.0), rates))
@pytest.mark.parametrize("pi", [0.5, 0.2])
def test_the_rate_of_a_mixture_determines_b(pi, b, beta, before):
    """c = g_1 b + g_0 (1 - b), solved for b, whichever x_t is."""
    kernel, x_t = BinomialKernel(pi), constant([0.0, 1.0])
    p = kernel.mixture(constant(np.full(2, np.log(b) - np.log1p(-b))), x_t, *steps(beta, before))
    np.testing.assert_allclose(value(kernel.predict(p, x_t, *steps(beta, before))), [b, b], rtol=1e-7, atol=1e-9)


def test_a_rate_beyond_both_bits_is_clipped():
    """A model's rate may be outside g_0..g_1; the prediction is still a rate in [0, 1]."""
    kernel, x_t = BinomialKernel(0.2), constant([0.0, 0.0, 1.0, 1.0])
    p = kernel.prior(x_t)._replace(logit=constant([-50.0, 50.0, -50.0, 50.0]))
    np.testing.assert_array_equal(value(kernel.predict(p, x_t, *steps(0.1, 0.3))), [0, 1, 0, 1])


def test_float32_keeps_its_precision_where_steps_are_small():
    """T = 2000, beta_t = 1 / (T - t + 1): the bits of a mixture within 1e-3 at all times, in single precision."""
    kernel, beta = BinomialKernel(0.2), erase_equally(2000)
    noise = 1 - signal_shares(beta)
    b = np.tile([0.05, 0.5, 0.9], 2)
    x_t = np.repeat([0.0, 1.0], 3)
    for t in (1, 2, 1000, 1990, 2000):
        with config.change_flags(floatX="float32"):
            arrays = [
                pt.constant(np.broadcast_to(a, 6).astype("float32"))
                for a in (np.log(b / (1 - b)), x_t, beta[t - 1], noise[t], noise[t - 1])
            ]
            predicted = value(kernel.predict(kernel.mixture(*arrays), *arrays[1:]))
        assert predicted.dtype == np.float32
        np.testing.assert_allclose(predicted, b, atol=1e-3)
