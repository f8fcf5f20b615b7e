"""Build the model and the loop of a training run from its settings, compile them, and restore a checkpoint."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dpm.base import noise
from dpm.base.arguments import check_names
from dpm.base.errors import InputError
from dpm.engines import compile_times
from dpm.engines.compiled import CompiledModel
from dpm.engines.engine import Engine
from dpm.experiments.variants import Variant
from dpm.likelihood.bound import example_costs
from dpm.model import DiffusionModel, argument_names
from dpm.optimizers import LBFGS, SFO, Adam, RMSProp
from dpm.optimizers.sfo import default_subspace
from dpm.runs import checkpoint
from dpm.runs.data import RunData, load_data
from dpm.runs.settings import FROZEN, Settings
from dpm.training.frozen_loop import SubfunctionLoop, default_number
from dpm.training.loop import Loop, MainLoop, TrainingState
from dpm.training.recipe import Recipe
from dpm.training.variable_projection import ProjectionLoop


def prepare_loop(settings: Settings, saved: Any = None) -> tuple[Loop, RunData]:
    """Return the loop at its start, without extensions, and the data. saved: as in load_data."""
    data = load_data(settings, saved)
    engine = Engine(settings.backend, settings.dtype, settings.threads)
    with engine:
        model = settings.toy.model(settings.model_args) if settings.toy else build_model(settings, data)
    loop = build_loop(settings, data, CompiledModel(model, engine))
    return loop, data


def build_model(settings: Settings, data: RunData) -> DiffusionModel:
    """Return the DiffusionModel of the settings for the data."""
    _, n_colors, width, _ = data.test.shape
    arguments: dict[str, Any] = {"spatial_width": width, "n_colors": n_colors}
    arguments["uniform_noise"] = gray_level_noise(settings.variant, data)
    for key in ("spatial_width", "n_colors"):
        if settings.model_args.get(key, arguments[key]) != arguments[key]:
            raise InputError(
                f"--model-args {key}={settings.model_args[key]!r} contradicts the data, whose {key} is {arguments[key]}"
            )
    arguments |= {"network": settings.model} | settings.variant.model_arguments
    return DiffusionModel(**(arguments | check_names(settings.model_args, argument_names())))


def gray_level_noise(variant: Variant, data: RunData) -> float:
    """Return the width, in the model's units, of the noise that dequantizes 8-bit levels; 0 for continuous data."""
    if not data.quantized:
        return 0.0
    scale = data.scaling.scale
    return scale / 255 if variant.dequantize_multiplied else 1 / 255 / scale


def build_loop(settings: Settings, data: RunData, compiled: CompiledModel) -> Loop:
    """Return the loop at its start, without extensions."""
    theta = compiled.start(noise.generator(settings.seed, noise.START, 1))
    build = build_frozen_loop if settings.optimizer in FROZEN else build_main_loop
    loop = build(settings, data.train, compiled, theta)
    loop.max_skipped, loop.hours = settings.max_skipped, settings.hours
    return loop


def build_main_loop(settings: Settings, X: Any, compiled: CompiledModel, theta: np.ndarray) -> MainLoop:
    """Return the loop of an optimizer that steps after each minibatch."""
    layout, variant = compiled.layout, settings.variant
    blocks = list(layout.slices.values()) if variant.step_by_parameter else None
    rule: RMSProp | Adam = RMSProp(layout.size, theta.dtype, blocks=blocks)
    if settings.optimizer == "adam":
        rule = Adam(layout.size, theta.dtype)
    kind = ProjectionLoop if settings.solves_readouts else MainLoop
    return kind(
        compiled,
        theta,
        rule,
        X,
        variant,
        batch_size=settings.batch_size,
        lr=settings.lr,
        epochs=settings.n_epochs,
        seed=settings.seed,
        dropout_rate=settings.dropout_rate,
        recipe=build_recipe(settings),
    )


def build_recipe(settings: Settings) -> Recipe:
    """Return how a run trains."""
    return Recipe(*(getattr(settings, name) for name in Recipe._fields))


def build_frozen_loop(settings: Settings, X: Any, compiled: CompiledModel, theta: np.ndarray) -> SubfunctionLoop:
    """Return the loop of SFO or L-BFGS. Raises InputError if a checkpoint could not hold the optimizer's history."""
    number = settings.n_subfunctions or default_number(len(X))
    if number > len(X):
        raise InputError(f"--n-subfunctions: {number} is more than the {len(X)} training examples; take fewer")
    is_sfo, size, epochs = settings.optimizer == "sfo", compiled.layout.size, settings.n_epochs
    passes = min(settings.refresh_noise or epochs, epochs)
    most = checkpoint.LARGEST_ARRAY / (size * (theta.itemsize if is_sfo else 8))
    rows = default_subspace(number) if is_sfo else passes
    if rows > most:
        advice = f"--refresh-noise or --epochs up to {int(most)}"
        if is_sfo:
            advice = f"--n-subfunctions up to {int(most / 3)}"
        raise InputError(
            f"--optimizer {settings.optimizer}: would store {rows} vectors of {size:,} parameters, more than a "
            f"checkpoint holds; take {advice}, or another optimizer"
        )
    kind: Callable[..., Any] = SFO if is_sfo else LBFGS
    return SubfunctionLoop(
        compiled,
        theta,
        kind,
        X,
        settings.variant,
        number,
        epochs=epochs,
        seed=settings.seed,
        refresh_noise=settings.refresh_noise,
        time_weights=build_recipe(settings).time_weights(compiled.model.trajectory_length),
    )


def compile_functions(loop: Loop, test: np.ndarray, settings: Settings) -> float:
    """Compile the functions of an epoch, after a line that announces how long it may take; return the seconds."""
    engine = loop.compiled.engine
    choices = [settings.batch_size, settings.optimizer, settings.dropout_rate]
    key = compile_times.key_of(str(engine), engine.threads, loop.compiled.model.arguments, choices)
    if not settings.quiet:
        before = compile_times.last_seconds(key)
        estimate = "the first time with this model" if before is None else f"{before:.0f} s the last time"
        print(f"compiling with {engine.name}, {estimate} ...", flush=True)
    start = time.perf_counter()
    # Engines compile part of a function at its first call.
    loop.first_gradient()
    size = min(loop.batch_size, len(test))
    example_costs(loop.compiled, loop.averaged_theta, test[:size], loop.seed, size)
    seconds = time.perf_counter() - start
    compile_times.keep_seconds(key, seconds)
    return seconds


def restore(loop: Loop, meta: Any, arrays: dict[str, np.ndarray], new_schedule: bool = False) -> None:
    """Put a loop where the checkpoint was.

    Args:
        loop: at its start.
        meta, arrays: contents of the checkpoint.
        new_schedule: begin the schedule of the learning rate here.

    Raises:
        InputError: the checkpoint is of another model, or the learning rate is 0 for the rest of the run.
    """
    parameters, optimizer = checkpoint.split(arrays)
    theta = loop.compiled.layout.flatten(parameters, str(loop.theta.dtype))
    kinds = {name: type(value) for name, value in vars(TrainingState()).items()}
    for name, value in meta["state"].items():
        if not isinstance(value, kinds.get(name, ())):
            raise InputError(f"checkpoint {meta.path}: its state {name!r} is {value!r}, which train.py does not write")
    loop.state = TrainingState(**meta["state"])
    loop.load(theta, optimizer)
    if new_schedule:
        loop.state.schedule_step, loop.state.schedule_seconds = loop.state.step, loop.state.seconds
    elif loop.going and _schedule_ended(loop, meta):
        raise InputError(
            "--resume-file: the learning rate of this run has fallen to 0; give --lr-schedule, such as cosine, for the "
            "training that is added"
        )


def _schedule_ended(loop: Loop, meta: Any) -> bool:
    """Return True if the learning rate had come to its end under the settings of the checkpoint."""
    if not isinstance(loop, MainLoop) or not loop.recipe.lr_ends:
        return False
    saved = meta["config"]["flags"]
    epochs, hours = saved.get("epochs"), saved.get("hours")
    by_steps = epochs is not None and loop.state.step >= epochs * loop.epoch_length
    return by_steps or (hours is not None and loop.state.seconds >= 3600 * hours)
