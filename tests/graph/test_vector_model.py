"""VectorDiffusion: units of the bound for vectors and images, and a kernel and a schedule of the user's."""

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.bricks import RATES, WEIGHT, Brick, Constant
from dpm.graph.kernels import BinomialKernel, Gaussian, GaussianKernel
from dpm.graph.vector_model import VectorDiffusion
from dpm.likelihood.bound import L_null
from tests.helpers.graphs import check_gradient, compiled_bits, compiled_vectors

T = 5


@pytest.mark.parametrize(("compiled", "bits"), [(compiled_vectors(3), -np.log2(2 * np.pi * np.e))])
def test_the_null_of_two_numbers_is_in_bits_per_vector(compiled, bits):
    """-H_p(X_T) of two unit Gaussians: -log2(2 pi e) = -4.094 (B.1)."""
    assert L_null(compiled.model) == pytest.approx(bits, rel=1e-12)
    assert compiled.model.n_pixels == 1
    assert compiled.model.unit == "bits/example"


def test_the_null_of_bits_is_their_entropy():
    """B.2: -size times the entropy of a bit of the base rate."""
    compiled = compiled_bits(3, size=5, base_rate=0.2)
    expected = 5 * (0.2 * np.log2(0.2) + 0.8 * np.log2(0.8))
    assert L_null(compiled.model) == pytest.approx(expected, rel=1e-12)


def test_the_reverse_kernel_is_the_networks_at_the_rates_of_the_schedule():
    """With readouts of 0, MeanVariance is the forward kernel of beta_t."""
    compiled = compiled_vectors(4)
    X, t = np.random.default_rng(0).standard_normal((3, 2)), np.array([2.0, 3.0, 4.0])
    step = compiled.reverse(3)
    theta = np.zeros(compiled.layout.size)
    mu, sigma = step(theta, X, t)
    beta = compiled.beta(theta)[1:, None]
    np.testing.assert_allclose(mu, X * np.sqrt(1 - beta), rtol=1e-12)
    np.testing.assert_allclose(sigma, np.broadcast_to(np.sqrt(beta), X.shape), rtol=1e-12)


class Scaling(Brick):
    """mu = W x_t sqrt(1 - beta_t) and Sigma = beta_t exp(s) prior_width^2, for examples of any shape."""

    def __init__(self, shape):
        super().__init__("network")
        self.W = self.add_parameter("W", shape, WEIGHT, Constant(1.0))
        self.s = self.add_parameter("s", shape, WEIGHT, Constant(0.0))

    def reverse(self, kernel, X_noisy, t, rates):
        width = getattr(kernel, "width", 1.0)
        return Gaussian(self.W * X_noisy * pt.sqrt(1 - rates[0]), pt.sqrt(rates[0]) * pt.exp(self.s / 2) * width)


class SCurve(Brick):
    """beta_t = sigmoid(a + b t / T) with a and b learned: a schedule as a user writes it, without a base class."""

    def __init__(self, trajectory_length):
        super().__init__("schedule")
        self.trajectory_length = trajectory_length
        self.ab = self.add_parameter("ab", (2,), RATES, Constant(0.0))

    def beta_arr(self):
        share = pt.constant(np.arange(1, self.trajectory_length + 1) / self.trajectory_length, dtype=self.ab.dtype)
        return pt.sigmoid(self.ab[0] + self.ab[1] * share)


class WideKernel:
    """Diffusion into a Gaussian of deviation 3: a kernel as a user writes it, with only what training needs."""

    noise, binary, width = "normal", False, 3.0

    def check(self, X, name):
        assert np.isfinite(X).all(), name

    def forward_marginal(self, x_0, beta_bar):
        return Gaussian(x_0 * pt.sqrt(1 - beta_bar), self.width * pt.sqrt(beta_bar))

    def posterior(self, x_0, x_t, beta, beta_bar, beta_bar_previous):
        weight_0 = pt.sqrt(1 - beta_bar_previous) * beta / beta_bar
        weight_t = pt.sqrt(1 - beta) * beta_bar_previous / beta_bar
        sigma = self.width * pt.sqrt(beta * beta_bar_previous / beta_bar)
        return Gaussian(weight_0 * x_0 + weight_t * x_t, sigma)

    def sample(self, p, noise):
        return p.mu + p.sigma * noise

    def kl(self, q, p):
        ratio = (q.sigma / p.sigma) ** 2
        return (ratio - pt.log(ratio) + ((q.mu - p.mu) / p.sigma) ** 2 - 1) / 2

    def entropy_marginal(self, beta_bar, x_0=None):
        return pt.log(2 * np.pi * np.e * self.width**2 * beta_bar) / 2

    def prior_entropy(self):
        return float(np.log(2 * np.pi * np.e * self.width**2) / 2)


def compiled_model(shape=3, kernel=None, schedule=None):
    engine = Engine("auto", "float64")
    with engine:
        schedule = schedule() if schedule else schedules.FixedSchedule(schedules.released(T))
        model = VectorDiffusion(shape, kernel or GaussianKernel(), schedule, Scaling(np.broadcast_shapes(shape)))
    return CompiledModel(model, engine)


@pytest.mark.parametrize(
    ("shape", "example_shape", "n_channels", "unit"),
    [
        (3, (3,), 3, "bits/example"),
        ((3,), (3,), 3, "bits/example"),
        (np.int64(3), (3,), 3, "bits/example"),
        ((2, 4, 3), (2, 4, 3), 2, "bits/pixel"),
        ([2, 7], (2, 7), 2, "bits/pixel"),
    ],
)
def test_the_bound_is_per_vector_or_per_pixel(shape, example_shape, n_channels, unit):
    """The first of several axes is that of the channels."""
    model = compiled_model(shape).model
    assert (model.example_shape, model.n_channels, model.unit) == (example_shape, n_channels, unit)
    assert model.n_pixels == np.prod(example_shape) // n_channels
    expected = -n_channels * np.log2(2 * np.pi * np.e) / 2
    assert L_null(model) == pytest.approx(expected, rel=1e-12)


def test_an_image_is_a_vector_of_its_elements():
    """The bound per pixel of (2, 4, 3) is that of 24 numbers over 12 pixels."""
    images, vectors = compiled_model((2, 4, 3)), compiled_model(24)
    theta, rng = np.linspace(-1, 1, 48), np.random.default_rng(0)
    X, N = rng.standard_normal((2, 5, 24))
    t = np.array([2.0, 3, 4, 5, 5])
    as_images = [a.reshape(5, 2, 4, 3) for a in (X, N, N)]
    costs = images.costs(5)(theta, as_images[0], t, *as_images[1:])
    np.testing.assert_allclose(costs * 12, vectors.costs(5)(theta, X, t, N, N), rtol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [3, (2, 4, 3)])
def test_a_schedule_of_the_users_is_learned(shape):
    compiled = compiled_model(shape, schedule=lambda: SCurve(T))
    assert "/vectordiffusion/schedule.ab" in compiled.layout.parameters
    np.testing.assert_allclose(compiled.beta(np.zeros(compiled.layout.size)), np.full(T, 0.5), rtol=1e-12)
    check_gradient(compiled)


@pytest.mark.parametrize("shape", [3, (2, 4, 3)])
def test_a_kernel_of_the_users_is_trained(shape):
    compiled = compiled_model(shape, WideKernel())
    check_gradient(compiled)


def test_the_wide_kernel_of_wide_data_has_the_bound_of_the_unit_kernel():
    """K - L_null does not depend on the unit of the data."""
    wide, unit = compiled_model(3, WideKernel()), compiled_model(3)
    theta, rng = np.linspace(-1, 1, 6), np.random.default_rng(0)
    X, N = rng.standard_normal((2, 4, 3))
    t = np.array([2.0, 3, 4, 5])
    costs = unit.costs(4)(theta, X, t, N, N)
    np.testing.assert_allclose(wide.costs(4)(theta, WideKernel.width * X, t, N, N), costs, rtol=1e-12)
    assert L_null(wide.model) == pytest.approx(L_null(unit.model) - 3 * np.log2(WideKernel.width), rel=1e-12)


def test_bits_of_any_shape_are_diffused():
    """A binomial model of images of bits, with a distribution and a network of the user's."""

    class Logits(NamedTuple):
        logit: pt.TensorVariable

    class Flip(Brick):
        def __init__(self):
            super().__init__("network")
            self.a = self.add_parameter("a", (), WEIGHT, Constant(0.0))

        def reverse(self, kernel, X_noisy, t, rates):
            return Logits(self.a * (2 * X_noisy - 1) + kernel.posterior(kernel.base_rate, X_noisy, *rates).logit)

    engine = Engine("auto", "float64")
    with engine:
        schedule = schedules.FixedSchedule(schedules.erase_equally(T))
        model = VectorDiffusion((1, 3, 3), BinomialKernel(0.3), schedule, Flip())
    check_gradient(CompiledModel(model, engine))
