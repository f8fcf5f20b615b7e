"""A network of the user's: any brick with `reverse`, here a convolution on images."""

import numpy as np
import pytensor.tensor as pt

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.bricks import WEIGHT, Brick, Constant, Convolutional
from dpm.graph.kernels import Gaussian, GaussianKernel
from dpm.graph.networks import ReverseNetwork
from dpm.graph.vector_model import VectorDiffusion
from tests.helpers.bounds import K_all_terms
from tests.helpers.graphs import check_gradient

T, SHAPE = 5, (2, 4, 3)


class ConvolutionNetwork(ReverseNetwork):
    """mu = x_t sqrt(1 - beta_t) + sqrt(beta_t) conv(x_t), Sigma = beta_t exp(s): a network as a user writes it."""

    def __init__(self, shape):
        channels, *size = shape
        self.convolution = Convolutional("convolution", 3, channels, channels, tuple(size))
        super().__init__("network", [self.convolution])
        self.s = self.add_parameter("s", (channels, 1, 1), WEIGHT, Constant(0.0))

    def reverse(self, kernel, X_noisy, t, rates):
        beta, _, _ = rates
        away = self.convolution.apply(X_noisy.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return Gaussian(X_noisy * pt.sqrt(1 - beta) + pt.sqrt(beta) * away, pt.sqrt(beta) * pt.exp(self.s / 2))


class PlainNetwork(Brick):
    """p(x_{t-1} | x_t) = N(x_t sqrt(1 - beta_t) W, beta_t), without the base class."""

    def __init__(self, shape):
        super().__init__("network")
        self.W = self.add_parameter("W", shape, WEIGHT, Constant(1.0))

    def reverse(self, kernel, X_noisy, t, rates):
        return Gaussian(X_noisy * pt.sqrt(1 - rates[0]) * self.W, pt.sqrt(rates[0]))


def compiled_images(network=ConvolutionNetwork):
    engine = Engine("auto", "float64")
    with engine:
        schedule = schedules.FixedSchedule(schedules.released(T))
        model = VectorDiffusion(SHAPE, GaussianKernel(), schedule, network(SHAPE))
    return CompiledModel(model, engine)


def test_a_network_on_images_has_a_bound_and_its_gradient():
    compiled = compiled_images()
    assert {path.removeprefix("/vectordiffusion") for path in compiled.layout.parameters} == {
        "/network.s",
        "/network/convolution.W",
        "/network/convolution.b",
    }
    check_gradient(compiled)


def test_with_values_of_0_it_is_the_forward_kernel():
    """K - L_null = 0 on unit normal images, in bits per pixel, from all terms of Eq. 14."""
    compiled = compiled_images()
    X = np.random.default_rng(0).standard_normal((3000, *SHAPE))
    bound = K_all_terms(compiled, np.zeros(compiled.layout.size), X, 0, 3000, 3000)
    assert abs(bound.value) < 5 * bound.standard_error + 1e-12
    assert compiled.model.unit == "bits/pixel"


def test_no_base_class_is_needed():
    """Any brick with `reverse` is a network."""
    check_gradient(compiled_images(PlainNetwork))
