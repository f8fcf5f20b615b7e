"""Networks under a kernel whose prior is not the unit Gaussian: its mean and variance come from the kernel."""

import numpy as np
import pytensor
import pytest

from dpm.base.errors import InputError
from dpm.graph import schedules
from dpm.graph.kernels import FullGaussianKernel, GaussianKernel
from dpm.graph.networks import vectors as networks
from dpm.graph.vector_model import VectorDiffusion
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY, set_values
from tests.helpers.wide import WideKernel

T = 5
BETA = schedules.linear(T, 0.05, 0.6)
# Gauss-Hermite quadrature, exact for the quadratic terms of Eq. 14: nodes and weights of the unit Gaussian.
NODES = np.array([-(3**0.5), 0.0, 3**0.5])
WEIGHTS = np.array([1, 4, 1]) / 6


def costs(model, x, t, noise):
    """Return cost_single_t of each example, by PyTensor's interpreter."""
    inputs = model.inputs()[:3]
    return model.cost_single_t(*inputs).eval(dict(zip(inputs, (x, t, noise), strict=True)), mode="FAST_COMPILE")


def vector_model(kernel, network):
    """Return a model of one number with readouts of 0."""
    model = VectorDiffusion(1, kernel, schedules.FixedSchedule(BETA), network)
    set_values(model)
    return model


NETWORKS = {
    "MeanVariance": lambda: networks.MeanVariance(1, networks.NormalizedRBF(1, 3)),
    "PosteriorVariance": lambda: networks.PosteriorVariance(1, networks.NormalizedRBF(1, 3)),
}
KERNELS = {
    "unit": (GaussianKernel(), 0.0, 1.0),
    "N(0, 4)": (WideKernel(0.0, 2.0), 0.0, 2.0),
    "N(3, 4)": (WideKernel(3.0, 2.0), 3.0, 2.0),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_silent_networks_have_K_equal_to_L_null_for_data_of_the_prior(kernel, network):
    """K - L_null = 0 (Eq. 14 and 50) for x_0 ~ pi, which the forward chain leaves as it is, exactly by quadrature."""
    kernel, mean, scale = KERNELS[kernel]
    model = vector_model(kernel, NETWORKS[network]())
    x, noise = (grid.ravel()[:, None] for grid in np.meshgrid(mean + scale * NODES, NODES))
    weight = np.outer(WEIGHTS, WEIGHTS).ravel()
    # The mean over t = 2..T of a cost is the bound's.
    K = -np.mean([weight @ costs(model, x, np.full(9, float(t)), noise) for t in range(2, T + 1)])
    assert abs(K) < 1e-12


@pytest.mark.parametrize("network", ["reference-2015", "paper-2015"])
def test_image_networks_see_images_in_units_of_the_prior(network):
    """With any parameters: K of mean + scale x under N(mean, scale^2) is that of x under the unit Gaussian."""
    rng, found = np.random.default_rng(0), []
    x, noise = rng.standard_normal((2, 4, 2, 4, 4))
    for kernel, mean, scale in KERNELS.values():
        model = DiffusionModel(**TINY, trajectory_length=T, network=network, kernel=kernel)
        model.shared(seed=1)
        found.append(costs(model, mean + scale * x, np.array([2.0, 3.0, 4.0, 5.0]), noise))
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
def test_readouts_are_in_units_of_the_prior(network):
    """The same readouts, of features without inputs: K of scale x under N(0, scale^2) is that of x under N(0, 1)."""
    found = []
    for kernel, mean, scale in KERNELS.values():
        model = vector_model(kernel, NETWORKS[network]())
        biases = {path: np.full(p.shape, 0.3) for path, p in model.parameters().items() if path.endswith(".b")}
        set_values(model, {path: np.zeros(p.shape) for path, p in model.parameters().items()} | biases)
        found.append(costs(model, mean + scale * NODES[:, None], np.full(3, 3.0), NODES[:, None]))
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-9)


def test_a_kernel_without_a_prior_is_refused():
    methods = {name: m for name, m in vars(GaussianKernel).items() if name != "prior" and name[:2] != "__"}
    kernel = type("Other", (), methods)()
    model = vector_model(kernel, NETWORKS["MeanVariance"]())
    with pytest.raises(InputError, match="kernel: Other has no method prior; expected one"):
        model.cost_single_t(*model.inputs())


@pytest.mark.parametrize("kernel", [GaussianKernel(), FullGaussianKernel()])
def test_the_unit_prior_adds_nothing_to_the_graph(kernel):
    """So that models of the package compute the same bits as before: no variable of the prior is in the cost."""
    model = vector_model(kernel, NETWORKS["MeanVariance"]())
    text = pytensor.dprint(model.reverse(*model.inputs()[:2]), file="str")
    assert "ones_like" not in text
    assert "Second" not in text
    assert "Fill" not in text
