"""The model's equations against scipy, closed forms and facts of the 2015 code."""

import numpy as np
import pytest

from dpm.base.arguments import check_names
from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.engines.parameters import Layout
from dpm.model import DiffusionModel, argument_names
from tests.helpers.graphs import TINY


def zeroed(T, kl_terms="T-1"):
    """(compiled, theta) of a tiny model whose last layer is zero: mu is the forward mean, sigma^2 is beta_t."""
    engine = Engine("auto", "float64")
    with engine:
        model = DiffusionModel(**TINY, trajectory_length=T, kl_terms=kl_terms)
    compiled = CompiledModel(model, engine)
    return compiled, np.zeros(compiled.layout.size)


@pytest.mark.parametrize(
    ("T", "kl_terms", "expected"),
    [
        (10, "T-1", 0.0),
        (10, "T", -0.177),
        (1000, "T", -0.00449),
        pytest.param(100, "T-1", 0.0, marks=pytest.mark.slow),
        pytest.param(100, "T", -0.0328, marks=pytest.mark.slow),
    ],
)
def test_zeroed_network_on_normal_data(T, kl_terms, expected):
    """For N(0, 1) data and a zeroed network K - L_null is 0 exactly, and with the released weighting negative by a
    known amount. The expected KL is taken over x_0 and x_t in closed form from the compiled mu and sigma."""
    compiled, theta = zeroed(T, kl_terms)
    model = compiled.model
    beta, beta_bar = compiled.function(lambda: [model.beta_arr, model.beta_bar_arr], [])(theta)
    step = compiled.reverse(T - 1)
    t = np.arange(2, T + 1)
    ones = np.ones((T - 1, *model.example_shape))
    mu, sigma = (a[:, 0, 0, 0] for a in step(theta, ones, t.astype(float)))
    # mu is linear in x_t; with x_0, N normal, mu_q - mu is normal with the variance of its two coefficients.
    b, total, before = beta[t - 1], beta_bar[t], beta_bar[t - 1]
    on_x0 = np.sqrt(1 - before) * b / total
    on_xt = np.sqrt(1 - b) * before / total - mu
    variance = on_x0**2 + on_xt**2 + 2 * on_x0 * on_xt * np.sqrt(1 - total)
    sigma_q2 = b * before / total
    kl = np.log(sigma) - 0.5 * np.log(sigma_q2) + (sigma_q2 + variance) / (2 * sigma**2) - 0.5
    n_terms = T if kl_terms == "T" else T - 1
    per_element = -n_terms * kl.mean() + 0.5 * np.log(beta_bar[T]) - 0.5 * np.log(beta_bar[1])
    tolerance = 1e-10 if expected == 0 else abs(expected) * 0.01
    assert per_element / np.log(2) == pytest.approx(expected, abs=tolerance)

    # The compiled cost is the same expression: its mean over many draws agrees within four standard errors.
    rng = np.random.default_rng(0)
    n = 2000
    times = 2 + (np.arange(n) * (T - 1) // n).astype(float)
    X, N = rng.standard_normal((2, n, *model.example_shape))
    costs = compiled.costs(n)(theta, X, times, N, np.full_like(X, 0.5))
    bits = -costs / model.n_colors
    assert abs(bits.mean() - expected) < 4 * bits.std() / n**0.5 + abs(expected) * 0.01


def test_a_zeroed_sampler_keeps_unit_variance():
    """With a zeroed network the variance of the state is 1 at every step of the reverse trajectory."""
    from dpm.base.noise import ExampleNoise
    from dpm.sampler import generate_samples

    compiled, theta = zeroed(30)
    variances = []
    generate_samples(compiled, theta, 400, ExampleNoise(0, 0, 400), callback=lambda t, X: variances.append(X.var()))
    assert len(variances) == 30
    np.testing.assert_allclose(variances, 1, atol=4 * (2 / (400 * 32)) ** 0.5)


def test_default_mnist_model_has_the_released_number_of_parameters():
    model = DiffusionModel(spatial_width=28, n_colors=1)
    assert sum(int(np.prod(p.shape)) for p in Layout(model.parameters()).parameters.values()) == 1_762_928 + 10


@pytest.mark.thorough
def test_gradient_of_the_cost_by_central_differences():
    """All parameters and the schedule's coefficients, through forward diffusion, network and bound, along random
    directions (Eq. 14 and section 2.4.1)."""
    engine = Engine("auto", "float64")
    with engine:
        model = DiffusionModel(**TINY, trajectory_length=6, n_scales=2, uniform_noise=0.1)
    compiled = CompiledModel(model, engine, Layout(model.parameters()))
    rng = np.random.default_rng(0)
    theta = 0.3 * rng.standard_normal(compiled.layout.size)
    X, N = rng.standard_normal((2, 2, *model.example_shape))
    frozen = (X, np.array([2.0, 5.0]), N, rng.random(X.shape), np.array([1.0, 0.5]))
    function = compiled.objective(2)
    _, gradient = function(theta, *frozen)
    step = 1e-6
    for block in [*compiled.layout.slices.values(), slice(None)]:
        direction = np.zeros_like(theta)
        direction[block] = rng.standard_normal(theta[block].shape)
        above, _ = function(theta + step * direction, *frozen)
        below, _ = function(theta - step * direction, *frozen)
        assert gradient @ direction == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-7)


@pytest.mark.thorough
def test_images_of_weight_0_do_not_count():
    """A batch padded with images of weight 0 has the cost and gradient of the partial batch."""
    engine = Engine("auto", "float64")
    with engine:
        compiled = CompiledModel(DiffusionModel(**TINY, trajectory_length=6), engine)
    rng = np.random.default_rng(0)
    theta = 0.1 * rng.standard_normal(compiled.layout.size)
    X, N = rng.standard_normal((2, 3, 2, 4, 4))
    U, t = rng.random((3, 2, 4, 4)), np.array([2.0, 3.0, 6.0])
    whole = compiled.objective(3)(theta, X, t, N, U, np.array([1.0, 1.0, 0.0]))
    part = compiled.objective(2)(theta, X[:2], t[:2], N[:2], U[:2], np.ones(2))
    for ours, expected in zip(whole, part, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"trajectory_length": 1}, "trajectory_length"),
        ({"trajectory_length": 10.5}, "trajectory_length"),
        ({"trajectory_length": float("inf")}, "trajectory_length"),
        ({"n_scales": 20_000}, "not divisible"),
        ({"n_temporal_basis": 1}, "n_temporal_basis"),
        ({"n_scales": 4}, "not divisible"),
        ({"n_colors": True}, "n_colors"),
        ({"step1_beta": -0.1}, "step1_beta"),
        ({"step1_beta": float("nan")}, "step1_beta"),
        ({"uniform_noise": "1"}, "uniform_noise"),
        ({"kl_terms": "T-2"}, "kl_terms"),
        ({"n_hidden_conv": 0, "n_hidden_dense_lower": 0}, "neither"),
        ({"n_layers_dense_upper": 0}, "n_layers_dense_upper"),
    ],
)
def test_values_that_are_not_accepted_are_refused(change, named):
    with pytest.raises(InputError, match=named) as error:
        DiffusionModel(**(TINY | {"trajectory_length": 10} | change))
    assert "\n" not in str(error.value)


def test_whole_floats_count_as_integers_and_names_are_checked():
    assert DiffusionModel(**TINY, trajectory_length=10.0).trajectory_length == 10
    with pytest.raises(InputError, match="did you mean n_hidden_conv"):
        check_names({"n_hiden_conv": 3}, argument_names())
