"""Model and loop built from settings, contradictions to the data, and restoring from a checkpoint."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.runs.data import load_data
from dpm.runs.settings import Settings
from dpm.training.building import build_model, gray_level_noise, prepare_loop, restore
from tests.helpers import runs


@pytest.fixture(scope="module")
def settings(data):
    return Settings.from_arguments(
        data_path=str(data), model_args={"trajectory_length": 5, "n_layers_conv": 1}, quiet=True
    )


def test_model_size_follows_the_data(settings):
    data = load_data(settings)
    model = build_model(settings, data)
    assert model.example_shape == (1, runs.WIDTH, runs.WIDTH)
    assert model.uniform_noise == gray_level_noise(settings.variant, data) == data.scaling.scale / 255
    with pytest.raises(InputError, match="--model-args spatial_width=9 contradicts the data, whose spatial_width is 8"):
        build_model(settings.replace(model_args={"spatial_width": 9}), data)


def test_loop_gets_the_settings(settings):
    """The minibatch is at most the data."""
    loop, data = prepare_loop(settings.replace(epochs=7, hours=2.0, max_skipped=3, batch_size=512))
    assert (loop.epochs, loop.hours, loop.max_skipped, loop.batch_size) == (7, 2.0, 3, len(data.train))


def test_lbfgs_with_hours_alone_needs_a_number_of_passes(settings, data):
    """It stores a vector for each pass, so their number must be known."""
    given = {"data_path": str(data), "model_args": settings.model_args, "optimizer": "lbfgs", "quiet": True}
    with pytest.raises(InputError, match=r"would store 1000000 vectors .* take --refresh-noise or --epochs up to"):
        prepare_loop(Settings.from_arguments(**given, hours=0.5))


class Meta(dict):
    path = "x.h5"


def test_state_of_a_wrong_type_is_refused(settings):
    loop, _ = prepare_loop(settings)
    config = {"flags": settings.flags()}
    arrays = {f"/parameters{path}": value for path, value in loop.compiled.layout.split(loop.theta).items()}
    with pytest.raises(InputError, match=r"checkpoint x\.h5: its state 'step' is '3', which train\.py does not write"):
        restore(loop, Meta(state={"step": "3"}, config=config), arrays)
    arrays |= {f"/optimizer/{k}": v for k, v in loop.optimizer_state().items()}
    restore(loop, Meta(state={"step": 4}, config=config), arrays)
    assert loop.state.step == 4
    with pytest.raises(InputError, match=r"parameter .* is missing"):
        restore(loop, Meta(state={}, config=config), {})
    assert np.isfinite(loop.theta).all()
