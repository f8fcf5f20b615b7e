"""Tiny training loops on the host and on the device, whose compiled loops are shared by the tests."""

import functools

import numpy as np

import dpm
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.runs.settings import Settings
from dpm.training import building

WIDTH, N, BATCH, T = 8, 61, 12, 50
MODEL = {
    "trajectory_length": T,
    "n_hidden_conv": 2,
    "n_layers_conv": 1,
    "n_hidden_dense_lower": 8,
    "n_layers_dense_upper": 1,
    "n_hidden_dense_upper": 2,
    "uniform_noise": 0.01,
}
LOOPS = {}


@functools.cache
def images(width=WIDTH):
    """Return N images in model units, with 30 levels."""
    levels = np.random.default_rng(0).integers(0, 30, (N, 1, width, width))
    return (levels / 30 - 0.5) / 0.3


def share_loops(monkeypatch):
    """Let equal steps share their compiled loop."""
    compile_loop = Engine.loop

    def loop(engine, step, capacity, facts=None):
        types = [(str(v.dtype), v.type.shape) for v in step.inputs]
        key = repr((facts, types, capacity, engine.dtype, engine.noise))
        if facts is None or key not in LOOPS:
            LOOPS[key] = compile_loop(engine, step, capacity, facts)
        return LOOPS[key]

    monkeypatch.setattr(Engine, "loop", loop)


@functools.cache
def compiled(noise, dtype, n_t):
    """Return a compiled tiny model."""
    engine = Engine("jax", dtype, noise=noise)
    with engine:
        model = dpm.DiffusionModel(spatial_width=WIDTH, n_colors=1, **MODEL, n_t_per_minibatch=n_t)
    return CompiledModel(model, engine)


def make_loop(kind, steps_per_call=None, noise="host", dtype="float64", n_t=1, X=None, extensions=(), **settings):
    """Return a loop over the images X; kind: MainLoop or DeviceLoop; settings: those of train.py that differ."""
    given = {"dataset": "MNIST", "dtype": dtype, "batch_size": BATCH, "epochs": 10, "seed": 0} | settings
    chosen = Settings.from_arguments(**given)
    model = compiled(noise, dtype, n_t)
    theta = model.start(np.random.default_rng(0))
    arguments = building._main_arguments(chosen)
    X = images() if X is None else X
    X = X.astype(dtype) if isinstance(X, np.ndarray) else X
    loop = kind(model, theta, building.build_rule(chosen, model, theta), X, **arguments, extensions=extensions)
    loop.quiet = True
    if steps_per_call:
        loop.steps_per_call = steps_per_call
    return loop


class StopAt:
    """Stop a loop at a step, or after the call in which it is reached."""

    def __init__(self, step):
        self.step = step

    def after_batch(self, loop):
        loop.stopped = loop.state.step >= self.step


def train(kind, steps=50, **options):
    """Return a loop that has made at least that many steps."""
    loop = make_loop(kind, extensions=[StopAt(steps)], **options)
    loop.run()
    return loop


def state(loop):
    """Return all arrays of a loop that a checkpoint holds, by name."""
    return {"theta": loop.averaged_theta, **loop.optimizer_state()}


def difference(a, b):
    """Return the largest difference of two loops' states, next to the largest element of each array."""
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    return max(float(abs(first[k] - second[k]).max() / max(1, abs(first[k]).max())) for k in first)


def same_bits(a, b):
    """Return True if the states of two loops have the same bits."""
    first, second = state(a), state(b)
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)
