"""Schedules, kernels and networks as arguments of DiffusionModel: gradients, limits of K, bits by enumeration."""

import itertools

import numpy as np
import pytensor.tensor as pt
import pytest

from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.bricks import WEIGHT, IsotropicGaussian
from dpm.graph.kernels import Bernoulli, BinomialKernel, GaussianKernel
from dpm.graph.networks import ReverseNetwork
from dpm.graph.vector_model import VectorDiffusion
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY

T = 5
# 2 x 2 pixels: 4 bits, 16 states.
SMALLEST = {
    "spatial_width": 2,
    "n_colors": 1,
    "trajectory_length": 3,
    "n_temporal_basis": 2,
    "n_hidden_conv": 0,
    "n_hidden_dense_lower": 3,
    "n_layers_dense_lower": 1,
    "n_hidden_dense_upper": 3,
}
DENSE = SMALLEST | {"spatial_width": 4, "n_colors": 2, "trajectory_length": T}


def compiled_image(**arguments):
    with Engine("auto", "float64") as engine:
        return CompiledModel(DiffusionModel(**arguments), engine)


def draws(model, n, seed=0):
    """Return x_0, t, N and U for n images; x_0 and N of normal numbers."""
    rng = np.random.default_rng(seed)
    X, N = rng.standard_normal((2, n, *model.example_shape))
    return X, 2.0 + np.arange(n) % (model.trajectory_length - 1), N, rng.random(X.shape)


class Mix(ReverseNetwork):
    """A network of a user: rates as logits added to the null kernel's, from a linear map of the bits."""

    def __init__(self, size):
        super().__init__("mix")
        self.W = self.add_parameter("W", (size, size), WEIGHT, IsotropicGaussian(0.5))

    def reverse(self, kernel, X_noisy, t, rates):
        null = kernel.posterior(kernel.base_rate, X_noisy, *rates)
        return Bernoulli(null.logit + pt.dot(X_noisy.flatten(2), self.W).reshape(X_noisy.shape))


@pytest.mark.parametrize("schedule", ["free", "released-learned"])
def test_the_gradient_through_a_learned_schedule_by_central_differences(schedule):
    """d K / d coefficients with frozen noise (2.4.1), in double precision, at beta_1 = 1e-6."""
    compiled = compiled_image(**DENSE, schedule=schedule, beta_1=1e-6)
    layout, function = compiled.layout, compiled.objective(4)
    ((path, place),) = [(p, s) for p, s in layout.slices.items() if "schedule" in p]
    assert path.startswith("/diffusionmodel/schedule.")
    rng = np.random.default_rng(1)
    theta = 0.3 * rng.standard_normal(layout.size)
    frozen = (*draws(compiled.model, 4), np.ones(4))
    _, gradient = function(theta, *frozen)
    assert np.all(gradient[place] != 0)
    for index in range(place.start, place.stop):
        step = np.zeros_like(theta)
        step[index] = 1e-5
        above, below = (function(theta + sign * step, *frozen)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-6, abs=1e-7)


def test_learned_schedules_begin_with_the_K_of_the_released_one():
    """The same rates, network and noise give the same K of every image."""
    names = ("released", "released-learned", "free")
    models = [compiled_image(**DENSE, schedule=name) for name in names]
    start = models[0].layout.split(models[0].start(np.random.default_rng(0)))
    costs = []
    for compiled in models:
        learned = {path: np.zeros(p.shape) for path, p in compiled.layout.parameters.items() if "schedule" in path}
        theta = compiled.layout.flatten(start | learned, "float64")
        costs.append(compiled.costs(4)(theta, *draws(compiled.model, 4)))
    np.testing.assert_allclose(costs[1:], [costs[0]] * 2, rtol=1e-9)


@pytest.mark.parametrize("beta_1", [1e-3, 1e-6])
def test_K_is_limited_by_the_first_rate(beta_1):
    """K <= H_q(X_T|X_0) - H_q(X_1|X_0) - H_p(X_T) (Eq. 14, KL >= 0) <= -log2(2 pi e beta_1) / 2 for each color.

    With nearly all signal erased at T both sides agree, to -log2(1 - alpha_bar_T) / 2.
    """
    model = DiffusionModel(spatial_width=4, n_colors=3, schedule="log-snr", beta_1=beta_1, n_hidden_dense_lower=0)
    x = pt.constant(np.zeros((1, 3, 4, 4), dtype=model.dtype))
    last, first, prior = (float(nats.eval(mode="FAST_COMPILE")[0]) for nats in model.entropies(x))
    K = (last - first - prior) / 16 / np.log(2)
    limit = -3 / 2 * np.log2(2 * np.pi * np.e * beta_1)
    assert limit - 3e-4 < K < limit
    assert limit == pytest.approx({1e-3: 8.807, 1e-6: 23.756}[beta_1], abs=1e-3)


def test_the_first_rate_of_the_release_cannot_be_small():
    """beta_1 >= 1 / T + 1e-6 with step1_beta = 0, whatever the coefficients; beta_1 as an argument is free."""
    for given, expected in (({"step1_beta": 0.0}, 1e-6 + (1 - 1.1e-5) / 1000), ({"beta_1": 1e-6}, 1e-6)):
        model = DiffusionModel(spatial_width=4, n_colors=1, n_hidden_dense_lower=0, **given)
        beta = model.beta_arr.eval(mode="FAST_COMPILE")
        assert beta[0] == pytest.approx(expected, rel=1e-6)
        assert beta[1] == pytest.approx(1 / np.linspace(1000, 2, 1000)[1], rel=1e-2)


@pytest.mark.thorough
def test_single_precision_is_enough_for_a_first_rate_of_1e_6():
    """K of each image and the gradient agree with double precision, with steps so small that beta_2 is 1e-7."""
    found = {}
    for dtype in ("float32", "float64"):
        with Engine("auto", dtype) as engine:
            model = DiffusionModel(**(DENSE | {"trajectory_length": 100}), schedule="log-snr", beta_1=1e-6)
        compiled = CompiledModel(model, engine)
        theta = compiled.start(np.random.default_rng(0))
        given = [array.astype("float32").astype(dtype) for array in draws(model, 99)]
        K = compiled.costs(99)(theta, *given)
        found[dtype] = K, compiled.objective(99)(theta, *given, np.ones(99, dtype))[1]
    (K32, gradient32), (K64, gradient64) = found.values()
    np.testing.assert_allclose(K32, K64, atol=0.05)  # of terms of up to 50 bits
    assert np.linalg.norm(gradient32 - gradient64) < 1e-3 * np.linalg.norm(gradient64)


def test_a_schedule_and_a_kernel_of_the_users_are_the_ones_by_name():
    """K of a FixedSchedule and a GaussianKernel object is that of the name, and the model has no JSON."""
    beta = schedules.even_log_snr(T, 1e-4)
    own = {"schedule": schedules.FixedSchedule(beta), "kernel": GaussianKernel()}
    named = {"schedule": "log-snr", "beta_1": 1e-4}
    one, other = (compiled_image(**DENSE, **given) for given in (own, named))
    theta = one.start(np.random.default_rng(0))
    given = draws(one.model, 4)
    np.testing.assert_allclose(one.costs(4)(theta, *given), other.costs(4)(theta, *given), rtol=1e-12)
    assert one.model.arguments is None
    assert other.model.arguments["schedule"] == "log-snr"


# ---------------------------------------------------------------------- bits


def forced(states):
    """Return the uniform noise with which any rate inside (0, 1) draws these bits: 1 where it is below the rate."""
    return np.where(states == 1, 0.0, 1 - 1e-15)


def flips(beta):
    """Return q(x_t | x_{t-1}) of a bit with base rate 0.5, rows from x_{t-1}, (2, 2)."""
    return (1 - beta) * np.eye(2) + beta / 2


def joint(matrix, states):
    """Return the probabilities of all states given all states, for independent bits with that matrix of a bit."""
    return np.prod(matrix[states[:, None, :], states[None, :, :]], axis=2)


def test_K_of_binary_images_is_the_sum_over_all_trajectories():
    """K of an image of 4 bits against sum over x_1..x_3 of q log(p / q) (Eq. 12), by enumeration.

    The base rate is 0.5, so log pi is constant and Eq. 14 is exactly Eq. 12; p(x_0 | x_1) is the forward kernel (43).
    The bound comes from the compiled terms at each x_t, drawn by noise that forces it.
    """
    compiled = compiled_image(**SMALLEST, kernel="binomial", schedule="free", beta_1=0.02)
    theta = compiled.start(np.random.default_rng(3)) * 2
    states = np.array(list(itertools.product([0, 1], repeat=4)))
    images = states.reshape(-1, 1, 2, 2).astype(float)
    beta, x_0 = compiled.beta(theta), 6
    q = [joint(flips(b), states) for b in beta]
    p = []
    for t in (2, 3):
        (logits,) = compiled.reverse(16)(theta, images, np.full(16, float(t)))
        rate = 1 / (1 + np.exp(-logits.reshape(16, 4)))
        ones = rate[:, None, :]
        p.append(np.prod(np.where(states[None] == 1, ones, 1 - ones), axis=2))  # from x_t to x_{t-1}
    # q(x_1..x_3 | x_0), and p(x_0..x_3) with p(x_3) = 2^-4.
    path = q[0][x_0][:, None, None] * q[1][:, :, None] * q[2][None]
    model = q[0].T[:, x_0][:, None, None] * p[0].T[:, :, None] * p[1].T[None] / 16
    expected = (path * np.log(model / path)).sum()

    image = np.repeat(images[x_0 : x_0 + 1], 16, axis=0)
    kl = compiled.function(compiled.model.kl_single_t, compiled.forward_inputs(16))
    total, marginal = 0.0, np.eye(16)
    for t in (1, 2, 3):
        marginal = marginal @ q[t - 1]
        if t > 1:
            (nats,) = kl(theta, image, np.full(16, float(t)), forced(images), np.zeros_like(image))
            total += marginal[x_0] @ nats
    last, first, prior = (
        nats[0] for nats in compiled.function(compiled.model.entropies, [compiled.examples("X", 16)])(theta, image)
    )
    assert last - first - prior - total == pytest.approx(expected, rel=1e-9)


def test_binary_images_with_a_network_of_the_users_are_vectors_of_bits():
    """K with the same noise is that of VectorDiffusion, whose unit for images is bits per pixel too."""
    beta = schedules.erase_equally(3)
    with Engine("auto", "float64") as engine:
        own = {"kernel": BinomialKernel(0.3), "network": Mix(4), "schedule": schedules.FixedSchedule(beta)}
        image = CompiledModel(DiffusionModel(2, 1, 3, **own), engine)
        parts = BinomialKernel(0.3), schedules.FixedSchedule(beta), Mix(4)
        vector = CompiledModel(VectorDiffusion((1, 2, 2), *parts), engine)
    rng = np.random.default_rng(0)
    theta = image.start(rng)
    N, U = rng.random((2, 8, 1, 2, 2))
    X, t = (rng.random((8, 1, 2, 2)) < 0.3).astype(float), 2.0 + np.arange(8) % 2
    costs = [compiled.costs(8)(theta, X, t, N, U) for compiled in (image, vector)]
    np.testing.assert_allclose(*costs, rtol=1e-12)
    assert image.model.unit == vector.model.unit == "bits/pixel"
    with pytest.raises(AttributeError):
        image.model.mlp  # noqa: B018


def test_a_silent_network_of_bits_is_the_null_kernel():
    """With a readout of 0 and bits of the base rate K - L_null is 0: the chain is reversible for them.

    Summed over the 16 images with their probabilities, each x_t weighted by q.
    """
    compiled = compiled_image(**SMALLEST, kernel="binomial", base_rate=0.3)
    theta = np.zeros(compiled.layout.size)
    images = np.array(list(itertools.product([0, 1], repeat=4))).reshape(-1, 1, 2, 2).astype(float)
    weight = np.prod(np.where(images == 1, 0.3, 0.7), axis=(1, 2, 3))
    beta_bar = 1 - np.cumprod(1 - compiled.beta(theta))
    kl = compiled.function(compiled.model.kl_single_t, compiled.forward_inputs(16))
    last, first, _ = compiled.function(compiled.model.entropies, [compiled.examples("X", 16)])(theta, images)
    gain = weight @ (last - first)
    for x_0, share in zip(images, weight, strict=True):
        for t in (2, 3):
            one = x_0 * (1 - beta_bar[t - 1]) + 0.3 * beta_bar[t - 1]
            q = np.prod(np.where(images == 1, one, 1 - one), axis=(1, 2, 3))
            (nats,) = kl(theta, np.repeat(x_0[None], 16, axis=0), np.full(16, float(t)), forced(images), images)
            gain -= share * q @ nats
    assert gain == pytest.approx(0, abs=1e-12)


def test_the_readout_of_bits_has_one_output():
    """J outputs per color and pixel, half as many as the mean and variance of a Gaussian need."""
    outputs = {}
    for kernel in ("gaussian", "binomial"):
        parameters = DiffusionModel(**TINY, kernel=kernel).parameters()
        outputs[kernel] = parameters["/diffusionmodel/mlp_conv_dense/MLP dense upper/linear_1.b"].shape
    assert outputs == {"gaussian": (2 * 2 * 3,), "binomial": (2 * 3,)}


def test_the_default_model_has_its_parameters_of_2015():
    """Paths, order and shapes do not depend on the new arguments; a learned schedule adds its own."""
    default = DiffusionModel(**TINY)
    same = DiffusionModel(**TINY, beta_1=1e-5)
    free = DiffusionModel(**TINY, schedule="free")
    assert next(iter(default.parameters())) == "/diffusionmodel.beta_perturb_coefficients"
    assert list(same.parameters()) == list(default.parameters())
    assert list(free.parameters())[:-1] == list(default.parameters())[1:]
    assert list(free.parameters())[-1] == "/diffusionmodel/schedule.logits"


def test_another_float_type_builds_the_users_parts_again():
    """A model of float64 trains in float32: its own bricks are constructed again (bricks.rebuilding)."""
    from dpm.graph.bricks.rebuilding import rebuild

    with Engine("auto", "float64"):
        model = DiffusionModel(2, 1, 3, schedule=schedules.FreeSchedule([0.1, 0.2, 0.3]), network=Mix(4))
    with Engine("auto", "float32"):
        again = rebuild(model)
    assert {p.variable.dtype for p in again.parameters().values()} == {"float32"}
    assert list(again.parameters()) == list(model.parameters())


def test_a_kernel_that_no_network_knows_is_refused():
    class Other:
        noise, binary = "normal", False

        def forward_marginal(self, x_0, beta_bar):
            """Return nothing."""

    with pytest.raises(InputError, match="has no distribution of a Other; give network="):
        DiffusionModel(**TINY, kernel=Other())
