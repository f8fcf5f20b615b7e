"""What `dpm graph` draws: shapes of the results, and models without data."""

import pytest

from dpm.base.errors import InputError
from dpm.datasets.made.recipes import RECIPES
from dpm.experiments.named import EXPERIMENTS
from dpm.model import DiffusionModel
from dpm.reports.graphs.quantities import IMAGES, QUANTITIES, bound, build_model, gradient, reverse_step
from dpm.runs.settings import Settings
from tests.helpers.graphs import TINY


@pytest.fixture(scope="module")
def model():
    return DiffusionModel(**TINY | {"uniform_noise": 0.1})


def test_shapes_of_the_results(model):
    assert bound(model, 5)[0].type.shape == (5,)
    assert reverse_step(model, 5)[0].type.shape == (5, *model.example_shape)
    trained = [p.shape for p in model.parameters().values() if p.is_trained]
    assert [g.type.shape for g in gradient(model, 5)] == trained
    assert len(QUANTITIES) == 3


@pytest.mark.parametrize("name", [*EXPERIMENTS, "swissroll", "heartbeat"])
def test_each_experiment_has_a_model_without_its_data(name):
    model = build_model(Settings.from_arguments(experiment=name))
    assert model.dtype == Settings.from_arguments(experiment=name).dtype
    if name in EXPERIMENTS:
        crop = EXPERIMENTS[name].crop
        assert model.spatial_width == (crop or IMAGES[EXPERIMENTS[name].dataset][0])


def test_the_shape_of_made_data_is_that_of_their_recipe():
    assert IMAGES["DEAD_LEAVES"] == (RECIPES["DEAD_LEAVES"].size, 1)


def test_images_of_unknown_shape_are_refused_in_one_line():
    with pytest.raises(InputError, match=r"--dataset .*x\.hdf5: got images of unknown shape; expected one of mnist, "):
        build_model(Settings.from_arguments(dataset="x.hdf5"))
    arguments = {"spatial_width": 8, "n_colors": 2}
    assert build_model(Settings.from_arguments(dataset="x.hdf5", model_args=arguments)).example_shape == (2, 8, 8)
