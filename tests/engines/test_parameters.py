"""Flat parameter vectors: the place of each parameter, and errors that name it."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.engines.parameters import Layout, trained_layout
from dpm.model import DiffusionModel
from tests.helpers.graphs import TINY


@pytest.fixture(scope="module")
def model():
    with Engine("auto", "float32"):
        return DiffusionModel(**TINY, trajectory_length=5)


def test_flatten_and_split_are_inverse(model):
    layout = Layout(model.parameters())
    values = model.initialize(np.random.default_rng(0))
    theta = layout.flatten(values, "float64")
    assert theta.shape == (layout.size,) == (sum(v.size for v in values.values()),)
    for path, value in layout.split(theta).items():
        np.testing.assert_array_equal(value, values[path])


def test_the_schedule_is_not_trained(model):
    assert set(model.parameters()) - set(trained_layout(model).parameters) == {
        "/diffusionmodel.beta_perturb_coefficients"
    }


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
def test_an_error_names_the_wrong_parameter(model, fault):
    layout = trained_layout(model)
    values = {path: np.zeros(p.shape) for path, p in layout.parameters.items()}
    path = next(iter(values))
    if fault == "missing":
        del values[path]
    elif fault == "unknown":
        path = "/unknown.W"
        values[path] = np.zeros(1)
    else:
        values[path] = np.zeros(3)
    with pytest.raises(InputError) as error:
        layout.flatten(values, "float32")
    assert path in str(error.value)
