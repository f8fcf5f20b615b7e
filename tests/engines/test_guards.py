"""Speed without a clock: few compiled functions, small graphs, compiled once, in one float type."""

import numpy as np
import pytensor
import pytest

from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.model import DiffusionModel
from tests.helpers import runs

SMALL = {"spatial_width": 16, "n_colors": 1, "trajectory_length": 10, "n_hidden_conv": 2, "n_hidden_dense_lower": 0}


@pytest.fixture
def functions(monkeypatch, tmp_path):
    """PyTensor functions that are compiled while a test runs, with an empty graph cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    made = []

    def function(*arguments, compile=pytensor.function, **options):
        made.append(compile(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(pytensor, "function", function)
    return made


class Epochs:
    """Extension that records a number after each epoch."""

    def __init__(self, number):
        self.number, self.seen = number, []

    def after_epoch(self, loop):
        self.seen.append(self.number())


def test_a_run_compiles_three_functions_and_none_in_its_second_epoch(tmp_path, monkeypatch, functions):
    """One for training, two for evaluation: KL_t, and the entropies of Eq. 14. The last minibatch needs no other."""
    epochs = Epochs(lambda: len(functions))
    runs.without_plots(monkeypatch, epochs)
    data = runs.write_data(tmp_path, runs.pixels(runs.TRAIN), runs.pixels(runs.TEST, seed=1))
    runs.train(tmp_path / "out", data)
    assert epochs.seen == [3, 3]


def test_jax_compiles_nothing_in_the_second_epoch(tmp_path, monkeypatch, request):
    """JAX compiles again for every new shape or float type, silently."""
    jax = pytest.importorskip("jax")
    compiled = []

    def listen(event, seconds, **more):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    request.addfinalizer(jax.monitoring.clear_event_listeners)
    epochs = Epochs(lambda: len(compiled))
    runs.without_plots(monkeypatch, epochs)
    data = runs.write_data(tmp_path, runs.pixels(runs.TRAIN), runs.pixels(runs.TEST, seed=1))
    runs.train(tmp_path / "out", data, "--backend", "jax")
    assert epochs.seen[0] > 0
    assert epochs.seen[1] == epochs.seen[0]


@pytest.fixture
def without_compiling(monkeypatch):
    """Engines that leave a graph as PyTensor rewrote it, and compute nothing."""
    monkeypatch.setattr(Engine, "_finish", lambda *_: None)


def graph(functions, **arguments):
    """The compiled training graph of a small model in float32."""
    engine = Engine("auto", "float32")
    with engine:
        model = DiffusionModel(**SMALL | arguments)
    CompiledModel(model, engine).objective(4)
    return functions[-1].maker.fgraph


@pytest.mark.thorough
def test_nodes_grow_with_layers_and_scales_but_not_with_kernel_taps(functions, without_compiling):
    """A layer at one scale has three convolutions with its gradient: one node each, where kernel taps would be 27."""
    nodes = {
        (layers, scales): len(graph(functions, n_layers_conv=layers, n_scales=scales).apply_nodes)
        for layers, scales in ((2, 1), (2, 3), (4, 1), (4, 3))
    }
    print(f"nodes by layers and scales: {nodes}")
    per_layer = {scales: (nodes[4, scales] - nodes[2, scales]) / 2 for scales in (1, 3)}
    assert per_layer[1] <= 40
    assert per_layer[3] <= 3 * 40
    assert nodes[4, 3] <= 600


def test_nothing_is_float64_in_a_float32_graph(functions, without_compiling):
    variables = graph(functions, n_layers_conv=2, n_scales=2).variables
    assert len(variables) > 100
    assert not [v for v in variables if getattr(v.type, "dtype", "") == "float64"]
    assert {np.dtype(v.type.dtype).kind for v in variables if hasattr(v.type, "dtype")} <= set("fiub")
