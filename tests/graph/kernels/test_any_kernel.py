"""The code above the kernels works with each of them, for any number of steps, and only with data in their support."""

import re
import tokenize
from pathlib import Path

import numpy as np
import pytest

import dpm
from dpm.base.errors import InputError
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import CORRECTED
from dpm.graph import schedules
from dpm.graph.kernels.binomial import BinomialKernel
from dpm.graph.networks import vectors as networks
from dpm.graph.vector_model import VectorDiffusion
from dpm.likelihood.bound import terms
from dpm.optimizers import Adam
from dpm.training.loop import MainLoop
from tests.helpers.bounds import K_all_terms
from tests.helpers.graphs import compiled_bits, compiled_vectors

FOLDER = Path(dpm.__file__).parent
COMPILED = {"gaussian": compiled_vectors, "binomial": compiled_bits}


USERS = [
    "graph/diffusion",
    "graph/vector_model",
    "sampler",
    "likelihood/bound",
    "likelihood/entropies",
    "trajectories/products",
    "engines/compiled",
    "training/loop",
]
KERNELS = r"\b(?:\w+Kernel|Gaussian|FullGaussian|Bernoulli|isinstance|binary)\b|hasattr \( [\w .]*kernel"


def code(module):
    """Return the code of a module without strings and comments, tokens joined."""
    with (FOLDER / f"{module}.py").open("rb") as file:
        tokens = [t.string for t in tokenize.tokenize(file.readline) if t.type in (tokenize.NAME, tokenize.OP)]
    return " ".join(tokens)


@pytest.mark.parametrize("module", USERS)
def test_no_module_depends_on_which_kernel_it_has(module):
    """One interface: none of them names a kernel or a distribution, or checks types."""
    assert re.findall(KERNELS, code(module)) == []


def test_the_image_model_uses_the_interface_of_the_kernel():
    """Its arguments make the kernels, each once; model.py asks only whether it is binomial, and makes none."""
    assert re.findall(r"\w+Kernel \(", code("graph/arguments")) == ["GaussianKernel (", "BinomialKernel ("]
    assert re.findall(r"\w+Kernel \(|hasattr", code("model")) == []


@pytest.mark.parametrize("kernel", COMPILED)
@pytest.mark.parametrize("T", [2, 3, 10])
def test_few_steps_have_a_finite_bound_and_gradient(kernel, T):
    compiled = COMPILED[kernel](T)
    rng = np.random.default_rng(0)
    size = compiled.model.example_shape[0]
    X = rng.integers(0, 2, (8, size)).astype(float)
    theta = rng.standard_normal(compiled.layout.size)
    cost, gradient = compiled.objective(8)(
        theta, X, rng.integers(2, T + 1, 8).astype(float), rng.random((8, size)), rng.random((8, size)), np.ones(8)
    )
    assert np.isfinite(cost)
    assert np.isfinite(gradient).all()
    assert np.isfinite(K_all_terms(compiled, theta, X, 0, 8, 8).value)


@pytest.mark.parametrize("make", [schedules.FixedSchedule, schedules.FreeSchedule])
def test_a_single_step_is_refused(make):
    """Eq. 14 is a sum over t = 2..T."""
    with pytest.raises(InputError, match=r"expected beta_1\.\.beta_T with T of 2 or more"):
        make([0.5])
    with pytest.raises(InputError, match="trajectory_length=1"):
        schedules.BasisSchedule(1)


@pytest.mark.parametrize(
    ("kernel", "wrong", "message"),
    [
        ("binomial", 0.5, "0.5 among the values; expected 0 and 1"),
        ("binomial", 2.0, "2.0 among the values; expected 0 and 1"),
        ("binomial", np.nan, "nan among the values; expected 0 and 1"),
        ("gaussian", np.nan, "nan among the values; expected finite numbers"),
        ("gaussian", -np.inf, "-inf among the values; expected finite numbers"),
    ],
)
def test_data_outside_the_support_are_refused_with_the_value(kernel, wrong, message):
    compiled = COMPILED[kernel](3)
    X = np.ones((5, compiled.model.example_shape[0]))
    X[3, 1] = wrong
    theta = np.zeros(compiled.layout.size)
    for use in (
        lambda: K_all_terms(compiled, theta, X, 0, 5, 5),
        lambda: terms(compiled, theta, X, 0, 1),
        lambda: MainLoop(compiled, theta, Adam(theta.size), X, CORRECTED, batch_size=5, lr=0.1, epochs=1, seed=0).run(),
    ):
        with pytest.raises(InputError, match=message):
            use()


@pytest.mark.parametrize("size", [1, 7, 20])
@pytest.mark.parametrize("base_rate", [1e-3, 0.2, 0.97])
def test_sequences_of_any_length_and_base_rate(size, base_rate):
    """With readouts of 0 and bits of the base rate K - L_null is 0 on average; each term is finite."""
    compiled = compiled_bits(4, size, base_rate)
    X = (np.random.default_rng(0).random((4000, size)) < base_rate).astype(float)
    bound = K_all_terms(compiled, np.zeros(compiled.layout.size), X, 0, 4000, 4000)
    assert bound.value == pytest.approx(0, abs=5 * bound.standard_error + 0.01)


@pytest.mark.parametrize("base_rate", [0, 1, -0.2, np.nan])
def test_a_base_rate_outside_0_and_1_is_refused(base_rate):
    with pytest.raises(InputError, match="base_rate: "):
        BinomialKernel(base_rate)


def test_bits_are_diffused_in_float32_too():
    with Engine("auto", "float32") as engine:
        hidden = networks.HiddenLayers(5, 4, 1, networks.Sigmoid)
        schedule = schedules.FixedSchedule(schedules.erase_equally(2000))
        model = VectorDiffusion(5, BinomialKernel(0.2), schedule, networks.Rates(5, hidden, 2000))
    compiled = CompiledModel(model, engine)
    X = np.eye(5, dtype="float32")
    theta = np.zeros(compiled.layout.size, dtype="float32")
    assert np.isfinite(terms(compiled, theta, np.repeat(X, 400, axis=0), 0, 1).kl).all()
