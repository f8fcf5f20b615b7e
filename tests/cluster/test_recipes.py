"""Models that a worker builds: the same bits, the same microbatches, one core."""

import threading

import cloudpickle
import numpy as np
import pytest

import dpm
from dpm.base import noise
from dpm.base.errors import InputError
from dpm.cluster.recipes import OneCoreEngine, build_model, write_recipe
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.toys import TOYS
from dpm.graph import networks, schedules
from dpm.likelihood import bound

T = 8


def released():
    return dpm.DiffusionModel(
        spatial_width=8, n_colors=1, trajectory_length=T, n_hidden_conv=3, n_layers_conv=1, n_hidden_dense_lower=4
    )


def one_schedule_twice():
    """A model of the user's whose parts are bricks; the network's schedule is the model's."""
    schedule = schedules.FixedSchedule(schedules.released(T))
    network = networks.MeanVariance(2, networks.NormalizedRBF(2, units=4), trajectory_length=T)
    return dpm.VectorDiffusion(2, dpm.GaussianKernel(), schedule, network)


MODELS = {"released": released, "toy": lambda: TOYS["swissroll"].model({}), "parts": one_schedule_twice}


def compiled(name, **options):
    engine = Engine(dtype="float32", **options)
    with engine:
        return CompiledModel(MODELS[name](), engine)


@pytest.mark.parametrize("name", MODELS)
def test_a_rebuilt_model_computes_the_same_bits(name):
    """Its microbatches are those of two threads, though it has one."""
    here = compiled(name, threads=2)
    there = build_model(cloudpickle.loads(cloudpickle.dumps(write_recipe(here))))
    assert [*there.layout.slices] == [*here.layout.slices]
    assert there.model.arguments == here.model.arguments
    assert there.microbatch_size(200) == here.microbatch_size(200)
    theta = here.start(noise.generator(0, noise.START))
    X = np.random.default_rng(1).standard_normal((20, *here.model.example_shape)).astype(np.float32)
    np.testing.assert_array_equal(bound.terms(there, theta, X, 0, 3).kl, bound.terms(here, theta, X, 0, 3).kl)


def test_float_type_and_noise_are_those_of_the_sender():
    recipe = write_recipe(compiled("parts"))
    engine = build_model(recipe._replace(dtype="float64")).engine
    assert (engine.dtype, engine.noise, engine.name) == ("float64", "host", recipe.engine)


def test_one_thread_computes_all_microbatches():
    engine = OneCoreEngine(name="numba", threads=4)
    for place in (engine.map, engine.prefetch):
        assert set(place(lambda item: threading.get_ident(), range(8))) == {threading.get_ident()}
    assert engine.threads == 4


def test_another_kind_of_device_is_refused():
    with pytest.raises(InputError, match=r"^computes on a CPU; expected an accelerator, as here$"):
        build_model(write_recipe(compiled("parts", threads=1))._replace(on_cpu=False))
