"""Open a run: from a checkpoint, a folder or a model.pkl; its model, parameters, settings and data."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.engine import Engine
from dpm.model import DiffusionModel
from dpm.runs import checkpoint, loading
from dpm.runs.loading import open_run
from dpm.runs.settings import Settings
from tests.helpers import runs


def test_run_has_its_model_parameters_settings_and_log(trained):
    run = open_run(trained)
    meta, arrays = checkpoint.load_run(trained)
    assert run.model.arguments == meta["model"]
    parameters, _ = checkpoint.split(arrays)
    assert run.parameters.keys() == parameters.keys()
    assert all(np.array_equal(run.parameters[path], value) for path, value in parameters.items())
    assert (run.settings.batch_size, run.settings.variant.name) == (25, "corrected")
    assert (run.quantized, run.has_images, run.epoch) == (True, True, 2)
    assert run.scaling.scale == meta["config"]["data"]["scale"]
    assert open_run(trained.parent).path == trained


def test_data_of_the_run_are_read_once(trained, data, tmp_path):
    run = open_run(trained)
    assert run.load_data() is run.load_data()
    unit = runs.pixels(runs.TEST, seed=1).astype(np.float32) / 255
    np.testing.assert_allclose(run.data("test"), unit * run.scaling.scale + run.scaling.shift, atol=1e-5)
    assert run.data("train").shape == (runs.TRAIN, 1, 8, 8)
    moved = tmp_path / "mnist.hdf5"
    moved.write_bytes((data / "mnist.hdf5").read_bytes())
    np.testing.assert_array_equal(open_run(trained).data("test", str(tmp_path)), run.data("test"))
    runs.write_data(tmp_path, runs.pixels(60, seed=5), runs.pixels(20, seed=6))
    with pytest.raises(InputError, match=r"are not those of the run, which were read from .*; give --data-path"):
        open_run(trained).data("test", str(tmp_path))


def test_toy_is_built_with_the_arguments_of_its_form_at_that_time():
    """The paper's form of the swiss roll began with the released schedule once."""
    settings = Settings.from_arguments(experiment="swissroll", model_args={"form": "paper", "trajectory_length": 5})
    now = settings.toy.complete(settings.model_args)
    saved = {name: value for name, value in now.items() if name != "readouts"} | {"schedule": "released"}
    with Engine("numba", "float32"):
        assert loading._builder(settings, now, None)().arguments == now
        assert loading._builder(settings, saved, None)().arguments == now | {"schedule": "released"}


def test_custom_model_gets_the_parameters(trained):
    model = DiffusionModel(**checkpoint.load_run(trained)[0]["model"])
    run = open_run(trained, model=model)
    assert run.model.arguments == model.arguments
    assert run.model is not model
    np.testing.assert_array_equal(run.theta, open_run(trained).theta)


def test_model_pkl_has_parameters_and_no_data(golden):
    run = open_run(golden / "checkpoint/model.pkl", scale=3.0, shift=-0.5)
    assert (run.scaling.scale, run.scaling.shift, run.settings) == (3.0, -0.5, None)
    with pytest.raises(InputError, match=r"a model\.pkl does not name its data; give --input FILE"):
        run.data()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"scale": 2.0}, "--scale is for a model.pkl of 2015"),
        ({"model_args": {"n_scales": 1}}, "--model-args is for a model.pkl of 2015"),
        ({"size": 16}, "--size 16: the model draws 8 x 8 only"),
    ],
)
def test_arguments_that_contradict_a_checkpoint_are_named(trained, more, words):
    with pytest.raises(InputError, match=words):
        open_run(trained, **more)
