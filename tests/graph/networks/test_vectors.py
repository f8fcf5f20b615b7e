"""The networks of vectors against numpy, and their distributions with readouts of 0 (D.1, Table C.1)."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import expit, softmax

from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.kernels.full_gaussian import FullGaussian
from dpm.graph.kernels.gaussian import Gaussian, GaussianKernel
from dpm.graph.networks import vectors as networks
from tests.helpers.graphs import constant, set_values, value

T, N, SIZE = 4, 6, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, SIZE))
BITS = RNG.integers(0, 2, (N, SIZE)).astype(float)
TIMES = np.array([2.0, 3, 4, 2, 3, 4])
BETA = np.array([0.05, 0.1, 0.3, 0.6])
BETA_BAR = np.concatenate([[0], 1 - np.cumprod(1 - BETA)])
STEP = TIMES.astype(int)
RATES = [BETA[STEP - 1][:, None], BETA_BAR[STEP][:, None], BETA_BAR[STEP - 1][:, None]]


@pytest.fixture(autouse=True)
def _double():
    # The default mode also compiles the inner graphs of ops such as softmax.
    with pytensor.config.change_flags(floatX="float64", mode="FAST_COMPILE"):
        yield


def graphs():
    return [constant(r) for r in RATES]


def noisy_values(brick, seed=1):
    """Return initial values plus noise, so that no parameter is constant."""
    rng = np.random.default_rng(seed)
    return {path: value + 0.1 * rng.standard_normal(value.shape) for path, value in brick.initialize(rng).items()}


def evaluate(brick, outputs, values=None):
    """Return the values of the outputs; the parameters are 0 unless values are given."""
    set_values(brick, values)
    return pytensor.function([], outputs)()


def reverse(network, kernel, x, values=None):
    """Return p(x_{t-1} | x_t) as arrays; parameters are 0 unless values are given."""
    return evaluate(network, list(network.reverse(kernel, constant(x), constant(TIMES), graphs())), values)


@pytest.mark.thorough
def test_radial_features_are_a_softmax_of_squared_distances():
    """phi_k = exp(-|x - c_k|^2 / 2 w_k^2) over their sum (D.1.1): they sum to 1."""
    brick = networks.NormalizedRBF(SIZE, 5)
    values = noisy_values(brick)
    (features,) = evaluate(brick, [brick.apply(constant(X), None)], values)
    squares = ((X[:, None] - values["/rbf.centers"]) ** 2).sum(axis=2)
    expected = softmax(-squares / (2 * np.exp(values["/rbf.log_width"]) ** 2), axis=1)
    np.testing.assert_allclose(features, expected, rtol=1e-12)
    np.testing.assert_allclose(features.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize(("activation", "function"), [(networks.Sigmoid, expit), (networks.Tanh, np.tanh)])
def test_hidden_layers_are_those_of_numpy(activation, function):
    """Three layers of sigmoids over the centered input (D.1.2)."""
    brick = networks.HiddenLayers(SIZE, 4, 3, activation, center=0.2)
    values = noisy_values(brick)
    (features,) = evaluate(brick, [brick.apply(constant(X), None)], values)
    expected = X - 0.2
    matrices = [v for path, v in values.items() if path.endswith(".W")]
    biases = [v for path, v in values.items() if path.endswith(".b")]
    assert [m.shape for m in matrices] == [(SIZE, 4), (4, 4), (4, 4)]
    for W, b in zip(matrices, biases, strict=True):
        expected = function(expected @ W + b)
    np.testing.assert_allclose(features, expected, rtol=1e-12)


def test_centered_sigmoids_are_the_same_functions_with_other_biases():
    """W (s - 1/2) + b = W s + (b - W / 2 summed over units): sigmoids with these biases give the same readout."""
    centered, plain = (networks.HiddenLayers(SIZE, 4, 3, kind) for kind in (networks.CenteredSigmoid, networks.Sigmoid))
    values = noisy_values(centered)
    shifted = dict(values)
    for path in [path for path in values if path.endswith(".b") and "first" not in path]:
        shifted[path] = values[path] - values[path.removesuffix("b") + "W"].sum(axis=0) / 2
    expected = evaluate(plain, [plain.apply(constant(X), None)], shifted)[0] - 0.5
    np.testing.assert_allclose(evaluate(centered, [centered.apply(constant(X), None)], values)[0], expected, atol=1e-12)


def test_a_smooth_readout_is_linear_between_its_knots():
    """The shares of the knots are those of linear interpolation: they sum to 1 and reproduce the knots' place."""
    steps, knots = 40, 5
    shares = networks.interpolation(steps, knots)
    t = np.arange(2, steps + 1)
    place = np.log(t / (steps + 1 - t))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert ((shares > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(shares[1:] @ np.linspace(place[0], place[-1], knots), place, atol=1e-12)
    brick = networks.SmoothReadout("rates", 3, 2, T, 2)
    values = noisy_values(brick)
    features = RNG.standard_normal((N, 3))
    (out,) = evaluate(brick, [brick.apply(constant(features), constant(TIMES))], values)
    for i, share in enumerate(networks.interpolation(T, 2)[STEP - 1]):
        W, b = (np.tensordot(share, values[f"/rates.{name}"], 1) for name in "Wb")
        np.testing.assert_allclose(out[i], features[i] @ W + b, rtol=1e-12)


def test_wide_initial_values_have_the_given_deviation():
    brick = networks.HiddenLayers(2, 2000, 1, networks.Tanh, spread=3.0)
    start = brick.initialize(np.random.default_rng(0))
    for weights in start.values():
        assert weights.std() == pytest.approx(3, rel=0.1)


def test_features_of_time_are_of_unit_size_from_no_noise_to_only_noise():
    beta_bar = np.array([[0.0], [1e-9], [0.5], [1 - 1e-9], [1.0]])
    features = value(networks.time_features([None, constant(beta_bar), None]))
    assert features.shape == (5, 3)
    assert np.abs(features).max() <= 1.5
    assert np.ptp(features, axis=0).min() > 0.9


def test_inputs_follow_the_features():
    hidden = networks.NormalizedRBF(SIZE, 5)
    brick = networks.WithInputs(SIZE, hidden)
    (features,) = evaluate(brick, [brick.apply(constant(X), None)])
    assert features.shape == (N, brick.n_features) == (N, 5 + SIZE)
    np.testing.assert_array_equal(features[:, 5:], X)


def test_a_readout_per_step_is_that_of_the_step():
    """ "The top, readout, layer for each function was learned independently for each time step"."""
    features = RNG.standard_normal((N, 5))
    for steps in (T, None):
        brick = networks.Readout("mu", 5, 2, steps)
        values = noisy_values(brick)
        (out,) = evaluate(brick, [brick.apply(constant(features), constant(TIMES))], values)
        W, b = values["/mu.W"], values["/mu.b"]
        for i, t in enumerate(STEP):
            one = (W[t - 1], b[t - 1]) if steps else (W, b)
            np.testing.assert_allclose(out[i], features[i] @ one[0] + one[1], rtol=1e-12)


def test_mean_and_variance_start_at_the_forward_kernel():
    """Table C.1: mu = x sqrt(1 - beta), Sigma = beta."""
    network = networks.MeanVariance(SIZE, networks.NormalizedRBF(SIZE, 5), T)
    mu, sigma = reverse(network, GaussianKernel(), X)
    np.testing.assert_allclose(mu, X * np.sqrt(1 - RATES[0]), rtol=1e-12)
    np.testing.assert_allclose(sigma**2, np.broadcast_to(RATES[0], X.shape), rtol=1e-12)


def test_posterior_variance_starts_at_the_exact_reverse_of_unit_gaussian_data():
    """For data of unit variance the chain is stationary and its own reverse: mu = x sqrt(1 - beta), Sigma = beta."""
    network = networks.PosteriorVariance(SIZE, networks.NormalizedRBF(SIZE, 5), T)
    mu, sigma = reverse(network, GaussianKernel(), X)
    np.testing.assert_allclose(mu, X * np.sqrt(1 - RATES[0]), rtol=1e-12)
    np.testing.assert_allclose(sigma**2, np.broadcast_to(RATES[0], X.shape), rtol=1e-12)


@pytest.mark.parametrize("network", [networks.MeanVariance, networks.PosteriorVariance])
def test_readouts_move_mean_and_variance_as_their_parts_say(network):
    """reverse = start + slope z, variance(z'); the variance of PosteriorVariance is never below that of q."""
    brick = network(SIZE, networks.NormalizedRBF(SIZE, 5), T)
    kernel, x = GaussianKernel(), constant(X)
    z = brick.read(x, constant(TIMES), graphs())
    start, slope = brick.mean(kernel, x, graphs())
    parts = [z["mu"], z["sigma"], start, slope, brick.variance(kernel, z["sigma"], graphs())]
    values = noisy_values(brick)
    z_mu, z_sigma, start, slope, variance = evaluate(brick, parts, values)
    mu, sigma = reverse(brick, kernel, X, values)
    np.testing.assert_allclose(mu, start + slope * z_mu, rtol=1e-12)
    np.testing.assert_allclose(sigma**2, variance, rtol=1e-12)
    assert np.ptp(z_sigma) > 0
    if network is networks.PosteriorVariance:
        assert np.all(variance >= RATES[0] * RATES[2] / RATES[1])


def test_full_covariance_has_a_number_for_each_pair():
    """mix is strictly lower triangular, row by row; 0 at the start, where the covariance is diagonal."""
    brick = networks.MeanVariance(SIZE, networks.NormalizedRBF(SIZE, 5), T, full=True)
    p = brick.reverse(GaussianKernel(), constant(X), constant(TIMES), graphs())
    assert isinstance(p, FullGaussian)
    (mix,) = evaluate(brick, [p.mix])
    np.testing.assert_array_equal(mix, np.zeros((N, SIZE, SIZE)))
    matrices = value(networks.lower_triangle(constant(np.array([[1.0, 2, 3]])), 3))
    np.testing.assert_array_equal(matrices, [[[0, 0, 0], [1, 0, 0], [2, 3, 0]]])
    assert isinstance(
        networks.MeanVariance(SIZE, networks.NormalizedRBF(SIZE, 5), T).reverse(
            GaussianKernel(), constant(X), constant(TIMES), graphs()
        ),
        Gaussian,
    )


PI = 0.2


def posterior(x_0, x_t):
    """q(x_{t-1} = 1 | x_t, x_0) of a bit by Bayes' rule; x_0 may be a rate."""
    beta, _, before = RATES
    one = x_0 * (1 - before) + PI * before
    now_if_one = np.where(x_t == 1, 1 - beta + PI * beta, (1 - PI) * beta)
    now_if_zero = np.where(x_t == 1, PI * beta, 1 - beta + (1 - PI) * beta)
    return one * now_if_one / (one * now_if_one + (1 - one) * now_if_zero)


def bits_network(network):
    return network(SIZE, networks.HiddenLayers(SIZE, 4, 1, networks.Sigmoid), T)


def test_rates_start_at_the_reversed_null_kernel():
    """Independent bits of the base rate turned round: Bayes with a rate for x_0."""
    (logit,) = reverse(bits_network(networks.Rates), BinomialKernel(PI), BITS)
    np.testing.assert_allclose(expit(logit), posterior(PI, BITS), rtol=1e-10)


def test_plain_rates_are_the_readout_through_a_sigmoid():
    """D.1.2: "the top layer output was passed through a sigmoid"; a readout of 0 is a rate of a half."""
    network = bits_network(networks.PlainRates)
    (logit,) = reverse(network, BinomialKernel(PI), BITS)
    np.testing.assert_array_equal(logit, np.zeros_like(BITS))
    values = noisy_values(network)
    z = network.read(constant(BITS), constant(TIMES), graphs())["rates"]
    np.testing.assert_allclose(reverse(network, BinomialKernel(PI), BITS, values)[0], evaluate(network, [z], values)[0])


def test_predicted_bits_of_x_0_are_mixed_by_bayes():
    """p(x_{t-1} = 1 | x_t) = q(. | x_t, 1) b + q(. | x_t, 0) (1 - b); b is the base rate with a readout of 0."""
    network = bits_network(networks.BitsOfX0)
    values = noisy_values(network)
    z = network.read(constant(BITS), constant(TIMES), graphs())["bits"]
    b = expit(evaluate(network, [z], values)[0] + np.log(PI / (1 - PI)))
    (logit,) = reverse(network, BinomialKernel(PI), BITS, values)
    expected = b * posterior(1.0, BITS) + (1 - b) * posterior(0.0, BITS)
    np.testing.assert_allclose(expit(logit), expected, rtol=1e-9)


def test_gradients_reach_every_parameter():
    brick = networks.PosteriorVariance(
        SIZE, networks.WithInputs(SIZE, networks.HiddenLayers(SIZE, 4, 2, networks.Tanh, spread=2.0)), T, full=True
    )
    p = brick.reverse(GaussianKernel(), constant(X), constant(TIMES), graphs())
    wrt = [parameter.variable for parameter in brick.parameters().values()]
    cost = sum((part**2).sum() for part in p)
    gradients = pytensor.grad(cost, wrt)
    assert isinstance(gradients, list)
    for gradient in evaluate(brick, gradients, noisy_values(brick)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
    assert pt.as_tensor(cost).ndim == 0
