"""Names of the graphs: those of the 2015 code and the paper, on the right variables, and few lines to print."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors, get_var_by_name

from dpm.graph import schedules
from dpm.graph.kernels import Bernoulli, BinomialKernel, FullGaussianKernel, Gaussian, GaussianKernel
from dpm.graph.naming import name_fields, name_variable
from dpm.graph.networks import vectors as networks
from dpm.graph.vector_model import VectorDiffusion
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY, set_values

T = 6
CHAIN = {"t", "t weights", "beta", "beta_bar", "beta_t", "beta_bar_t", "beta_bar_{t-1}", "X_noisy", "KL_t"}
GAUSSIAN = CHAIN | {"mu p", "sigma p", "mu q posterior", "sigma q posterior"}
BITS = CHAIN | {"logit p", "logit q posterior"}
IMAGES = {"temporal basis", "g_t", "Z", "X_uniformnoise"}
HIDDEN = networks.NormalizedRBF(2, 3)


def vectors(kernel, network, schedule):
    """Return a model of vectors of two elements."""
    return lambda: VectorDiffusion(2, kernel, schedule(schedules.released(T)), network)


MODELS = {
    "released": (lambda: DiffusionModel(8, 1, T), GAUSSIAN | IMAGES | {"mu_coeff", "beta_coeff", "beta_reverse"}),
    "paper": (
        lambda: DiffusionModel(**TINY, trajectory_length=T, network="paper-2015", schedule="released-learned"),
        GAUSSIAN | IMAGES | {"mu_coeff", "beta_coeff"},
    ),
    "free": (lambda: DiffusionModel(**TINY, trajectory_length=T, schedule="free"), GAUSSIAN | IMAGES),
    "bits": (lambda: DiffusionModel(**TINY, trajectory_length=T, kernel="binomial"), BITS | IMAGES | {"rate_coeff"}),
    "vectors": (
        vectors(GaussianKernel(), networks.MeanVariance(2, HIDDEN, T), schedules.FixedSchedule),
        GAUSSIAN | {"features", "z mu", "z sigma"},
    ),
    "learned": (
        vectors(GaussianKernel(), networks.PosteriorVariance(2, HIDDEN), schedules.FreeSchedule),
        GAUSSIAN | {"features", "z mu", "z sigma"},
    ),
    "full": (
        vectors(FullGaussianKernel(), networks.MeanVariance(2, HIDDEN, full=True), schedules.FixedSchedule),
        GAUSSIAN | {"mix p", "z mix"},
    ),
    "heartbeat": (
        vectors(BinomialKernel(0.2), networks.Rates(2, HIDDEN), schedules.FixedSchedule),
        BITS | {"features", "z rates"},
    ),
}


def cost_of(model):
    """Return the symbolic inputs and the cost of each example."""
    inputs = model.inputs()
    return inputs, model.cost_single_t(*inputs)


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model_has_the_names(kind):
    build, names = MODELS[kind]
    _, cost = cost_of(build())
    assert names <= {variable.name for variable in ancestors([cost])}


@pytest.mark.parametrize("kind", MODELS)
def test_the_printed_graph_is_short(kind):
    """`dprint(cost, stop_on_name=True)`: under 25 lines, where KL_t of Eq. 14 stands as one of them."""
    _, cost = cost_of(MODELS[kind][0]())
    lines = pytensor.dprint(cost, stop_on_name=True, file="str").splitlines()
    assert len(lines) < 25
    assert any("'KL_t'" in line for line in lines)
    everything = pytensor.dprint(cost, file="str").splitlines()
    assert len(everything) > 5 * len(lines)


@pytest.mark.parametrize("kind", MODELS)
def test_parameters_are_named_by_their_paths(kind):
    """So that no two in a model have one name: each MLP has a linear_0.W."""
    parameters = MODELS[kind][0]().parameters()
    assert [p.variable.name for p in parameters.values()] == list(parameters)


def test_the_names_are_on_the_variables_of_the_equations():
    """beta_t, beta_bar_t, x_t (Eq. 2 and 3) and the posterior's moments (Eq. 47), by numpy from the same noise."""
    beta = schedules.linear(T, 0.05, 0.4)
    network = networks.MeanVariance(2, networks.NormalizedRBF(2, 3))
    model = VectorDiffusion(2, GaussianKernel(), schedules.FixedSchedule(beta), network)
    set_values(model)
    x0, t, noise, _ = model.inputs()
    cost = model.cost_single_t(x0, t, noise)
    rng = np.random.default_rng(0)
    x, N, times = rng.standard_normal((3, 2)), rng.standard_normal((3, 2)), np.array([2.0, 4.0, 6.0])

    def values(name):
        """Evaluate the variables of this name: the rates are looked up for q and for p."""
        for variable in get_var_by_name([cost], name):
            given = {v: a for v, a in ((x0, x), (t, times), (noise, N)) if v in ancestors([variable])}
            yield variable.eval(given, mode="FAST_COMPILE", on_unused_input="ignore")

    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - beta)])
    step = times.astype(int)
    b, bar, before = beta[step - 1, None], 1 - alpha_bar[step, None], 1 - alpha_bar[step - 1, None]
    x_t = x * (1 - bar) ** 0.5 + N * bar**0.5
    expected = {
        "beta_bar": 1 - alpha_bar,
        "beta_t": b,
        "beta_bar_t": bar,
        "beta_bar_{t-1}": before,
        "X_noisy": x_t,
        "mu q posterior": ((1 - before) ** 0.5 * b * x + (1 - b) ** 0.5 * before * x_t) / bar,
        "sigma q posterior": (b * before / bar) ** 0.5,
        "mu p": x_t * (1 - b) ** 0.5,
        "sigma p": np.broadcast_to(b**0.5, (3, 2)),
    }
    for name, array in expected.items():
        found = list(values(name))
        assert found
        for value in found:
            np.testing.assert_allclose(value, array, rtol=1e-10, err_msg=name)


def test_only_computed_variables_without_a_name_are_named():
    """Inputs, parameters and constants keep theirs, and so does what a user named; fields by field and role."""
    x, shared, fixed = pt.vector("x"), pytensor.shared(np.zeros(2)), pt.constant(np.zeros(2))
    mine = x + 1
    mine.name = "mine"
    for variable in (x, shared, fixed, mine):
        before = variable.name
        assert name_variable(variable, "other") is variable
        assert variable.name == before
    q = name_fields(Gaussian(mine, x + 2), "q")
    assert [v.name for v in q] == ["mine", "sigma q"]
    assert name_fields(Bernoulli(x - 1), "p").logit.name == "logit p"
    assert name_fields((y := x - 2,), "p") == (y,)
    assert y.name is None
