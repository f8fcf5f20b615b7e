"""The bound K against sums over all trajectories, closed forms and central differences; inputs and parameters."""

import itertools
from contextlib import ExitStack

import numpy as np
import pytensor
import pytest
from scipy.special import expit, xlogy

from dpm.base.errors import InputError
from dpm.base.noise import START, generator
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.graph import schedules
from dpm.graph.networks import vectors as networks
from dpm.model import DiffusionModel
from tests.conftest import installed_engines
from tests.helpers.graphs import TINY, compiled_bits, compiled_vectors, set_values


def K_by_all_trajectories(compiled, theta, x_0, rate):
    """Return Eq. 37, with p(x_0 | x_1) of Eq. 43: the sum over all x_1..x_T of one x_0, in nats."""
    model = compiled.model
    T, size, pi = model.trajectory_length, len(x_0), model.kernel.base_rate
    beta = schedules.erase_equally(T)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=size)))

    def log_bits(x, p):
        return (xlogy(x, p) + xlogy(1 - x, 1 - p)).sum()

    total = 0.0
    for path in itertools.product(range(len(states)), repeat=T):
        x = [np.asarray(x_0), *states[list(path)]]
        forward = [log_bits(x[t], x[t - 1] * (1 - beta[t - 1]) + pi * beta[t - 1]) for t in range(1, T + 1)]
        log_q = sum(forward)
        if log_q == -np.inf:
            continue
        log_p = log_bits(x[T], np.full(size, pi))
        log_p += forward[0] + log_bits(x[0], np.full(size, pi)) - log_bits(x[1], np.full(size, pi))
        log_p += sum(log_bits(x[t - 1], rate[t, path[t - 1]]) for t in range(2, T + 1))
        total += np.exp(log_q) * (log_p - log_q)
    return total


@pytest.mark.parametrize("network", [networks.Rates, networks.PlainRates, networks.BitsOfX0])
def test_K_of_three_bits_is_the_sum_over_all_trajectories(network):
    """T = 3: the expectation of Eq. 14 over x_0 and x_t, with the edge effect removed, equals Eq. 37 summed whole.

    The data have the base rate as mean, by which the entropies of pi cancel (B.1, B.2); any data with it will do.
    """
    T, size, pi = 3, 3, 0.3
    compiled = compiled_bits(T, size, pi, network)
    model = compiled.model
    theta = np.random.default_rng(0).standard_normal(compiled.layout.size)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=size)))
    reverse = compiled.reverse(len(states))
    rate = {
        (t, i): expit(logits)
        for t in range(2, T + 1)
        for i, logits in enumerate(np.reshape(reverse(theta, states, np.full(len(states), float(t))), (-1, size)))
    }
    weights = np.exp((xlogy(states, pi) + xlogy(1 - states, 1 - pi)).sum(axis=1))
    expected = sum(w * K_by_all_trajectories(compiled, theta, x, rate) for w, x in zip(weights, states, strict=True))

    # The same K by Eq. 14: x_t enumerated through the noise that makes it, each time with its probability.
    alpha_bar = np.cumprod(1 - schedules.erase_equally(T))
    pairs = [(x_0, x_t, t) for x_0 in states for x_t in states for t in range(2, T + 1)]
    x_0, x_t, t = (np.array(a) for a in zip(*pairs, strict=True))
    rate_t = x_0 * alpha_bar[t - 1][:, None] + pi * (1 - alpha_bar[t - 1][:, None])
    q = np.prod(np.where(x_t == 1, rate_t, 1 - rate_t), axis=1)
    noise = np.where(x_t == 1, rate_t / 2, (1 + rate_t) / 2)  # below the rate makes a 1
    costs = compiled.costs(len(t))(theta, x_0, t.astype(float), noise, noise)
    prior = np.prod(np.where(x_0 == 1, pi, 1 - pi), axis=1)
    possible = prior * q > 0
    K_minus_null = -np.sum((prior * q * costs)[possible]) / (T - 1) * np.log(2)
    L_null = -size * model.kernel.prior_entropy()
    assert K_minus_null + L_null == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("T", [2, 3, 10])
def test_the_reversed_null_kernel_has_K_of_L_null(T):
    """Independent bits of the base rate are diffused into themselves: with readouts of 0 K = L_null at every T, for the
    mean over data of that rate."""
    size, pi = 2, 0.3
    compiled = compiled_bits(T, size, pi)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=size)))
    alpha_bar = np.cumprod(1 - schedules.erase_equally(T))
    total = 0.0
    for t in range(2, T + 1):
        rate = states[:, None] * alpha_bar[t - 1] + pi * (1 - alpha_bar[t - 1])
        noise = np.where(states == 1, rate / 2, (1 + rate) / 2)
        x_0 = np.broadcast_to(states[:, None], noise.shape).reshape(-1, size)
        noise = noise.reshape(-1, size)
        costs = compiled.costs(len(x_0))(np.zeros(compiled.layout.size), x_0, np.full(len(x_0), float(t)), noise, noise)
        weights = (
            np.where(states == 1, rate, 1 - rate).prod(axis=2) * np.where(states == 1, pi, 1 - pi).prod(axis=1)[:, None]
        )
        total += weights.reshape(-1) @ costs / (T - 1)
    assert total == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("name", ["free", "basis"])
def test_gradient_of_K_by_central_differences_with_a_learned_schedule(name):
    """Section 2.4.1: beta moves x_t through frozen noise, the KL of every step and both entropies; the whole
    trajectory t = 2..T at once."""
    T = 6
    choices = {
        "free": lambda: schedules.FreeSchedule(schedules.released(T)),
        "basis": lambda: schedules.BasisSchedule(T, 3, 0.01),
    }
    compiled = compiled_vectors(T, schedule=choices[name])
    rng = np.random.default_rng(0)
    theta = 0.3 * rng.standard_normal(compiled.layout.size)
    n = 3 * (T - 1)
    X, N = rng.standard_normal((2, n, 2))
    frozen = (X, np.tile(np.arange(2.0, T + 1), 3), N, N, np.ones(n))
    objective = compiled.objective(n)
    _, gradient = objective(theta, *frozen)
    step = 1e-6
    for path, block in compiled.layout.slices.items():
        direction = np.zeros_like(theta)
        direction[block] = rng.standard_normal(theta[block].shape)
        above, below = (objective(theta + s * direction, *frozen)[0] for s in (step, -step))
        assert gradient @ direction == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-8), path
    schedule_part = next(s for path, s in compiled.layout.slices.items() if "schedule" in path)
    assert np.abs(gradient[schedule_part]).min() > 0


def test_entropy_bounds_hold_with_equality_for_unit_gaussian_data():
    """Eq. 23 for N(0, 1) data: H_q(X_{t-1} | X_t) = H_q(X_t | X_{t-1}), the upper bound, at each t (27 to 29); the
    lower bound is below it by the information on X_0 that step t loses."""
    T = 10
    compiled = compiled_vectors(T)
    bounds = compiled.function(compiled.model.entropy_bounds, [*compiled.reverse_inputs(T), compiled.examples("N", T)])
    t = np.arange(1.0, T + 1)
    X = np.random.default_rng(0).standard_normal((T, 2))
    lower, upper = bounds(np.zeros(compiled.layout.size), X, t, X)
    beta = compiled.beta(np.zeros(compiled.layout.size))
    np.testing.assert_allclose(upper, np.log(2 * np.pi * np.e * beta), rtol=1e-12)
    beta_bar = 1 - np.cumprod(1 - beta)
    np.testing.assert_allclose((upper - lower)[1:], np.log(beta_bar[1:] / beta_bar[:-1]), rtol=1e-10)


def test_entropy_bounds_of_bits_hold_by_enumeration():
    """Eq. 23 for one bit of the base rate, with H_q(X_{t-1} | X_t) from the joint distribution."""
    T, pi = 5, 0.3
    compiled = compiled_bits(T, 1, pi)
    bounds = compiled.function(compiled.model.entropy_bounds, [*compiled.reverse_inputs(4), compiled.examples("N", 4)])
    beta = schedules.erase_equally(T)
    alpha_bar = np.concatenate([[1], np.cumprod(1 - beta)])
    for t in range(2, T + 1):
        x_0, before = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([[0.0], [1.0], [0.0], [1.0]])
        rate = x_0 * alpha_bar[t - 1] + pi * (1 - alpha_bar[t - 1])
        noise = np.where(before == 1, rate / 2, (1 + rate) / 2)
        weights = (np.where(x_0 == 1, pi, 1 - pi) * np.where(before == 1, rate, 1 - rate))[:, 0]
        lower, upper = (weights @ b for b in bounds(np.zeros(compiled.layout.size), x_0, np.full(4, float(t)), noise))
        moved = np.array([pi * beta[t - 1], 1 - beta[t - 1] + pi * beta[t - 1]])
        joint = np.array([[(1 - pi) * (1 - moved[0]), (1 - pi) * moved[0]], [pi * (1 - moved[1]), pi * moved[1]]])
        exact = -xlogy(joint, joint / joint.sum(axis=0)).sum()
        assert lower - 1e-12 <= exact <= upper + 1e-12
        assert exact == pytest.approx(upper, abs=1e-12)  # stationary: H_q(X_t) = H_q(X_{t-1})


def tiny_model(**changes):
    """Return a DiffusionModel of both paths and two scales."""
    arguments = {"trajectory_length": 6, "n_layers_dense_lower": 1, "n_scales": 2} | changes
    return DiffusionModel(**(TINY | arguments))


def modes():
    """Return PyTensor's modes for the installed engines, with batch sizes (NUMBA with one: tests/test_api.py)."""
    slow = {mode: [pytest.param(mode, None, marks=pytest.mark.slow)] for mode in ("NUMBA", "CVM")}  # minutes to compile
    cases = {"jax": [("JAX", 3), ("JAX", None)], "numba": slow["NUMBA"], "c": slow["CVM"]}
    return [case for engine in installed_engines() for case in cases[engine]]


@pytest.fixture
def _double():
    """Compute in double precision, in JAX too, which has a switch for it."""
    with ExitStack() as stack:
        stack.enter_context(pytensor.config.change_flags(floatX="float64"))
        if "jax" in installed_engines():
            import jax

            stack.enter_context(jax.enable_x64(True))
        yield


@pytest.mark.thorough
@pytest.mark.parametrize(("mode", "n"), modes())
@pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS")
@pytest.mark.usefixtures("_double")
def test_a_graph_compiled_by_pytensor_trains_as_the_engines_do(mode, n):
    """`pytensor.function` of inputs and shared parameters, with updates: the cost and gradient of CompiledModel."""
    changes = {"uniform_noise": 0.1, "n_scales": 2 if mode == "JAX" else 1, "n_layers_dense_upper": 1}
    model = tiny_model(**changes)
    x0, t, noise, u = model.inputs(n)
    gain = -model.cost_single_t(x0, t, noise, u)
    theta = model.shared(seed=0)
    gradients = pytensor.grad(gain.mean(), list(theta.values()))
    updates = [(variable, variable + 0.1 * g) for variable, g in zip(theta.values(), gradients, strict=True)]
    step = pytensor.function([x0, t, noise, u], gain.mean(), updates=updates, mode=mode)

    compiled = CompiledModel(tiny_model(**changes), Engine("auto", "float64"))
    flat = compiled.start(generator(0, START, 1))
    objective, rng = compiled.objective(3), np.random.default_rng(0)
    for _ in range(2):
        X, N = rng.standard_normal((2, 3, *model.example_shape))
        arrays = X, np.array([2.0, 4.0, 6.0]), N, rng.random(X.shape)
        cost, gradient = objective(flat, *arrays, np.ones(3))
        assert float(step(*arrays)) == pytest.approx(-float(cost), rel=1e-12, abs=1e-12)
        flat = flat - 0.1 * gradient
    for path, value in compiled.layout.split(flat).items():
        np.testing.assert_allclose(theta[path].get_value(), value, rtol=1e-11, atol=1e-12, err_msg=path)


@pytest.mark.usefixtures("_double")
def test_inputs_are_named_and_have_static_shapes():
    model = tiny_model()
    variables = model.inputs(7)
    assert [v.name for v in variables] == ["x0", "t", "noise", "u"]
    assert [v.type.shape for v in variables] == [(7, 2, 4, 4), (7,), (7, 2, 4, 4), (7, 2, 4, 4)]
    assert {v.dtype for v in variables} == {"float64"}
    assert [v.type.shape for v in model.inputs()] == [(None, 2, 4, 4), (None,), (None, 2, 4, 4), (None, 2, 4, 4)]
    gain = -model.cost_single_t(*variables)
    text = pytensor.dprint(gain, file="str")
    assert all(name in text for name in ("x0", "noise", "u [id", "linear_0.W", "beta_perturb_coefficients"))


def test_inputs_need_the_float_type_of_the_model():
    with pytensor.config.change_flags(floatX="float32"):
        model = compiled_vectors(3).model
        with pytest.raises(InputError, match="floatX: got float32; expected float64, with which the model was built"):
            model.inputs()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shared_parameters_start_as_in_training(dtype):
    """The initial values of a training run of the same seed, without the frozen coefficients of the schedule."""
    engine = Engine("auto", dtype)
    with engine:
        model = tiny_model()
        theta = model.shared(seed=3)
    start = CompiledModel(model, engine)
    values = start.layout.split(start.start(generator(3, START, 1)))
    assert list(theta) == list(values)
    for path, variable in theta.items():
        assert variable.get_value().dtype == dtype
        np.testing.assert_array_equal(variable.get_value(), values[path])
        assert variable is model.parameters()[path].variable
    assert not any("beta_perturb_coefficients" in path for path in theta)
    np.testing.assert_array_equal(model.beta_perturb_coefficients.get_value(), np.zeros(3))


def test_shared_parameters_take_the_values_of_a_checkpoint():
    """Also the frozen coefficients, where the checkpoint has them; the values are copied."""
    model = tiny_model()
    values = {path: np.full(p.shape, 0.5) for path, p in model.parameters().items()}
    theta = model.shared(values=values)
    for path, variable in theta.items():
        np.testing.assert_array_equal(variable.get_value(), values[path])
        assert not np.shares_memory(variable.get_value(borrow=True), values[path])
    np.testing.assert_array_equal(model.beta_perturb_coefficients.get_value(), np.full(3, 0.5))
    model.shared(values={path: values[path] for path in theta})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"/schedule.logits": np.zeros(2)}, "values: /schedule.logits is not a parameter of this model"),
        ({"/vectordiffusion/schedule.logits": np.zeros(3)}, r"values: got shape \(3,\) for .*; expected \(2,\)"),
        ({"/vectordiffusion/schedule.logits": None}, "values: /vectordiffusion/schedule.logits is missing"),
    ],
)
def test_other_values_than_the_models_are_refused(change, words):
    model = compiled_vectors(3, lambda: schedules.FreeSchedule([0.1, 0.2, 0.3])).model
    values = {path: np.zeros(p.shape) for path, p in model.parameters().items()} | change
    with pytest.raises(InputError, match=words):
        model.shared(values={path: value for path, value in values.items() if value is not None})


def test_u_may_be_left_out_where_nothing_is_dequantized():
    """The same cost and divergence with and without U; with a width of uniform noise it is asked for in one line."""
    model = compiled_vectors(4).model
    set_values(model)
    x0, t, noise, u = model.inputs()
    rng = np.random.default_rng(0)
    given = {x0: rng.standard_normal((3, 2)), t: np.array([2.0, 3.0, 4.0]), noise: rng.standard_normal((3, 2))}
    for graph in (model.cost_single_t, model.kl_single_t):
        without = graph(x0, t, noise).eval(given, mode="FAST_COMPILE")
        with_u = graph(x0, t, noise, u).eval(given | {u: np.ones((3, 2))}, mode="FAST_COMPILE")
        np.testing.assert_array_equal(without, with_u)
    model.uniform_noise = 0.1
    for graph in (model.cost_single_t, model.kl_single_t, model.generate_forward_diffusion_sample):
        with pytest.raises(InputError, match=r"^U: got None; expected uniform \[0, 1\) noise .*uniform_noise is 0\.1;"):
            graph(x0, t, noise)


def test_uniform_noise_of_width_0_changes_no_number():
    """u is in the graph, so that a function of all four inputs compiles; PyTensor removes it."""
    engine = Engine("auto", "float64")
    with engine:
        compiled = CompiledModel(tiny_model(), engine)
    rng = np.random.default_rng(0)
    theta = compiled.start(rng)
    X, N = rng.standard_normal((2, 2, *compiled.model.example_shape))
    costs = compiled.costs(2)
    one, other = (costs(theta, X, np.array([2.0, 6.0]), N, U) for U in (rng.random(X.shape), np.full_like(X, np.nan)))
    np.testing.assert_array_equal(one, other)
