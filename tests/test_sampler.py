"""Reverse trajectories: the order of the noise, states and constraints."""

import ast
from pathlib import Path

import numpy as np
import pytest

import dpm
from dpm import sampler
from dpm.base.errors import InputError
from dpm.base.noise import ExampleNoise
from dpm.sampler import Constraint, capture_times, generate_inpaint_mask, generate_samples
from tests.helpers.graphs import compiled_bits, compiled_tiny

T, N = 8, 3
SHAPE = (N, 2, 4, 4)


@pytest.fixture(scope="module")
def compiled():
    return compiled_tiny(T)


@pytest.fixture(scope="module")
def theta(compiled):
    return 0.3 * np.random.default_rng(0).standard_normal(compiled.layout.size)


def test_one_draw_of_noise_for_x_T_and_for_each_step_down_to_t_2(compiled, theta):
    """T - 1 steps (t = T..2) after the start; states are numbered T, T-1, ..., 2, 0 as released."""
    source, draws, seen = ExampleNoise(0, 0, N), [], []

    def noise(shape):
        draws.append(source(shape))
        return draws[-1]

    X = generate_samples(compiled, theta, N, noise, callback=lambda t, X: seen.append((t, X)))
    assert len(draws) == T
    assert [t for t, _ in seen] == [8, 7, 6, 5, 4, 3, 2, 0]
    np.testing.assert_array_equal(seen[0][1], draws[0])
    # Each state is mu + sigma noise of the model at the previous state, at the paper's t.
    step = compiled.reverse(N)
    for i, t in enumerate(range(T, 1, -1)):
        mu, sigma = step(theta, seen[i][1], np.full(N, float(t)))
        np.testing.assert_allclose(seen[i + 1][1], mu + sigma * draws[i + 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(X, seen[-1][1])


@pytest.mark.parametrize(
    ("steps", "numbers", "length"),
    [(999, 49 * 784, 10), (999, 10**5, 5), (39, 4000, 10), (51, 1, 9), (1, 1, 1), (7, 10**9, 1)],
)
def test_calls_have_equally_many_steps(steps, numbers, length):
    """999 steps of 49 digits are 100 calls of 10; larger images have fewer steps per call, at least one."""
    assert sampler.steps_per_call(steps, numbers) == length


@pytest.mark.thorough
def test_states_do_not_depend_on_steps_per_call(compiled, theta, monkeypatch):
    """7 steps in calls of 7, of 4 (one extra step) and of 1."""
    seen = {}
    for most in (10, 4, 1):
        monkeypatch.setattr(sampler, "STEPS_PER_CALL", most)
        states = []
        generate_samples(
            compiled, theta, N, ExampleNoise(0, 0, N), callback=lambda t, X, states=states: states.append((t, X))
        )
        seen[most] = states
    for most in (4, 1):
        assert [t for t, _ in seen[most]] == [t for t, _ in seen[10]]
        for (_, X), (_, expected) in zip(seen[most], seen[10], strict=True):
            np.testing.assert_allclose(X, expected, rtol=1e-12, atol=1e-13)
    assert not any(X.base is not None for _, X in seen[10][1:])


@pytest.mark.thorough
def test_samples_do_not_depend_on_their_number(compiled, theta):
    three = generate_samples(compiled, theta, N, ExampleNoise(0, 0, N))
    one = generate_samples(compiled, theta, 1, ExampleNoise(0, 2, 1))
    np.testing.assert_allclose(one[0], three[2], rtol=1e-12)


def test_known_everywhere_returns_the_input_and_nowhere_a_plain_sample(compiled, theta):
    observed = np.random.default_rng(1).standard_normal(SHAPE)
    for known in (True, False):
        constraint = Constraint(observed, known=np.full(SHAPE, known))
        X = generate_samples(compiled, theta, N, ExampleNoise(0, 0, N), constraint)
        plain = generate_samples(compiled, theta, N, ExampleNoise(0, 0, N))
        np.testing.assert_array_equal(X, observed if known else plain)


def test_inpainting_keeps_the_known_part_at_every_t(compiled, theta):
    observed = np.random.default_rng(1).standard_normal(SHAPE)
    known = generate_inpaint_mask(*SHAPE[:3])
    states = []
    generate_samples(
        compiled, theta, N, ExampleNoise(0, 0, N), Constraint(observed, known=known), lambda t, X: states.append(X)
    )
    for X in states:
        np.testing.assert_array_equal(X[known], observed[known])
        assert (X[~known] != observed[~known]).all()


@pytest.mark.parametrize(("width", "first_known"), [(4, 2), (5, 2)])
def test_released_mask_knows_the_right_half(width, first_known):
    known = generate_inpaint_mask(2, 3, width)
    assert known.dtype == bool
    assert not known[..., :first_known].any()
    assert known[..., first_known:].all()


def test_denoising_starts_at_the_observation_and_narrow_noise_returns_it(compiled, theta):
    observed = np.random.default_rng(1).standard_normal(SHAPE)
    states = []
    X = generate_samples(
        compiled, theta, N, ExampleNoise(0, 0, N), Constraint(observed, sigma=1e-4), lambda t, X: states.append(X)
    )
    np.testing.assert_array_equal(states[0], observed)
    np.testing.assert_allclose(X, observed, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, np.inf])
def test_sigma_that_is_not_above_0_is_refused(compiled, theta, sigma):
    with pytest.raises(InputError, match="sigma"):
        generate_samples(compiled, theta, N, ExampleNoise(0, 0, N), Constraint(np.zeros(SHAPE), sigma=sigma))


def test_wrong_shapes_are_refused(compiled, theta):
    with pytest.raises(InputError, match=r"observation has the wrong shape: got \(3, 2, 5, 5\)"):
        generate_samples(compiled, theta, N, ExampleNoise(0, 0, N), Constraint(np.zeros((N, 2, 5, 5)), sigma=1.0))


def test_capture_times_are_the_released_ones():
    """T, each ceil(T / 6) steps, and 0 (tests/golden: capture_t)."""
    assert capture_times(40) == [40, 33, 26, 19, 12, 5, 0]
    assert capture_times(2) == [2, 1, 0]


def test_bits_start_at_the_base_rate_and_stay_bits():
    """Eq. 4 for the binomial kernel: x_T are bits of the base rate, for any kind of noise."""
    compiled, states = compiled_bits(5, 20, 0.2), {}
    source = ExampleNoise(0, 0, 500, compiled.model.kernel.noise)
    theta = np.zeros(compiled.layout.size)
    generate_samples(compiled, theta, 500, source, callback=lambda t, X: states.update({t: X}))
    for state in states.values():
        assert set(np.unique(state)) == {0.0, 1.0}
        assert state.mean() == pytest.approx(0.2, abs=4 * 0.4 / 100)


@pytest.mark.parametrize(
    "module",
    [
        "graph/diffusion",
        "graph/vector_model",
        "sampler",
        "likelihood/bound",
        "trajectories/products",
        "engines/compiled",
        "training/loop",
    ],
)
def test_modules_do_not_ask_which_kernel_they_hold(module):
    """One kernel interface: these modules import no kernel but their protocol, and read neither type nor base rate."""
    tree = ast.parse((Path(dpm.__file__).parent / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and "kernels" in (node.module or ""):
            assert [name.name for name in node.names] == ["Kernel"], "only the interface"
        if isinstance(node, ast.Import):
            assert not any("kernels" in name.name for name in node.names)
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("base_rate", "__class__", "logit")
        if isinstance(node, ast.Name):
            assert node.id not in ("isinstance", "type")
